"""Every check has its words, once, and a name that can be typed."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from voicelat.doctor.catalog import CHECKS, fault, ok, skipped
from voicelat.doctor.catalog_app import APP_CHECKS
from voicelat.doctor.catalog_settings import SETTINGS_CHECKS
from voicelat.doctor.catalog_turns import TURNS_CHECKS
from voicelat.doctor.catalog_url import URL_CHECKS
from voicelat.metrics import diagnosis


def test_no_two_checks_share_a_name() -> None:
    every = (*SETTINGS_CHECKS, *URL_CHECKS, *APP_CHECKS, *TURNS_CHECKS)
    names = [one.name for one in every]
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


def test_the_checks_that_a_report_sends_its_reader_to_are_there() -> None:
    tree = ast.parse(inspect.getsource(diagnosis))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    named = re.findall(r"voicelat doctor [^`]*--only ([\w,-]+)", " ".join(map(str, texts)))
    assert len(named) >= 5
    for name in ",".join(named).split(","):
        assert name in CHECKS
