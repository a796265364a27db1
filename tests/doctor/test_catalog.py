"""Every check has its words, once, and a name that can be typed."""

from __future__ import annotations

import re

import pytest

from voicelat.doctor.catalog import CHECKS, fault, ok, skipped
from voicelat.doctor.catalog_settings import SETTINGS_CHECKS
from voicelat.doctor.catalog_turns import TURNS_CHECKS
from voicelat.doctor.catalog_url import URL_CHECKS


def test_no_two_checks_share_a_name() -> None:
    names = [one.name for one in (*SETTINGS_CHECKS, *URL_CHECKS, *TURNS_CHECKS)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_what_it_looks_at_why_and_what_to_do(name: str) -> None:
    check = CHECKS[name]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert check.subjects
    assert check.looks_at.endswith(".")
    assert check.why
    assert check.fix


def test_only_a_fault_brings_why_and_fix() -> None:
    assert fault("dns", "slow", "80 ms").fix == CHECKS["dns"].fix
    assert (ok("dns", "quick").fix, skipped("dns", "offline").why) == ("", "")


def test_a_check_that_is_not_in_the_catalog_cannot_be_told() -> None:
    with pytest.raises(KeyError):
        fault("horoscope", "unfavourable", "Saturn")
