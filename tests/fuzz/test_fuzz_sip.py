"""Runs the coverage-guided fuzzer of SIP, HEP and digest: short here, long in the campaign."""

from pathlib import Path

import pytest

from tests.fuzz.starter import fuzz


def test_ten_thousand_runs(tmp_path: Path) -> None:
    fuzz("fuzz_sip.py", 10_000, 4475, tmp_path)


@pytest.mark.campaign
def test_a_million_runs(tmp_path: Path) -> None:
    fuzz("fuzz_sip.py", 1_000_000, 3261, tmp_path)
