"""Starts a coverage-guided fuzzer (atheris, libFuzzer) as a process of its own, and fails with what it found."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


def fuzz(harness: str, runs: int, seed: int, folder: Path, *arguments: str, longest: int = 4096) -> None:
    """Run `harness` (a file beside this one) so many times; `folder` takes its findings."""
    if importlib.util.find_spec("atheris") is None:
        if os.environ.get("CI"):
            pytest.fail("atheris is not installed")
        pytest.skip("atheris is not installed: the coverage-guided fuzzer did not run")
    program = str(Path(__file__).with_name(harness))
    done = subprocess.run(
        [sys.executable, program, *arguments, f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", "-verbosity=0"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
