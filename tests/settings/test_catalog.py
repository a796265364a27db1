"""What is said about every setting is complete and true."""

from __future__ import annotations

import pytest

from voicelat.settings import SETTINGS, Setting

by_name = pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)


@by_name
def test_every_setting_says_what_it_means_and_allows(setting: Setting) -> None:
    assert setting.meaning.endswith(".")
    assert setting.allowed
    assert setting.unit in ("ms", "s") or not setting.name.endswith(("_MS", "_SEC"))


@by_name
def test_every_default_is_a_value_one_could_write(setting: Setting) -> None:
    if setting.default is None:
        assert setting.parse("") is None
    else:
        written = setting.written(setting.default).removesuffix(f" {setting.unit}")
        assert setting.parse(written) == setting.default


def test_every_secret_is_known_to_be_one() -> None:
    secrets = {s.name for s in SETTINGS if s.secret}
    # The URL of a database may hold a password.
    endings = ("_KEY", "_TOKEN", "REDIS_URL", "SQL_URL", "_DB_URL")
    assert secrets == {s.name for s in SETTINGS if s.name.endswith(endings)}
