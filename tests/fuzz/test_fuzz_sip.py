"""Runs the coverage-guided fuzzer of SIP, HEP and digest: short here, long in the campaign."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("fuzz_sip.py")


def run(runs: int, seed: int, corpus: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        if os.environ.get("CI"):
            pytest.fail("atheris is not installed")
        pytest.skip("atheris is not installed: the coverage-guided fuzzer did not run")
    done = subprocess.run(
        [sys.executable, str(HARNESS), f"-runs={runs}", f"-seed={seed}", "-max_len=4096", "-verbosity=0"],
        capture_output=True,
        text=True,
        cwd=corpus,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_ten_thousand_runs(tmp_path: Path) -> None:
    run(10_000, 4475, tmp_path)


@pytest.mark.campaign
def test_a_million_runs(tmp_path: Path) -> None:
    run(1_000_000, 3261, tmp_path)
