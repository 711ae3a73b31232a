"""Runs the coverage-guided fuzzer: short here, long in the campaign."""

from pathlib import Path

import pytest

from tests.fuzz.starter import fuzz


def test_ten_thousand_runs(tmp_path: Path) -> None:
    fuzz("fuzz_espa.py", 10_000, 444, tmp_path, str(tmp_path), longest=256)


@pytest.mark.campaign
def test_a_million_runs(tmp_path: Path) -> None:
    fuzz("fuzz_espa.py", 1_000_000, 1, tmp_path, str(tmp_path), longest=256)
