"""A failed test pays for what it leaves behind, not the test that runs when Python looks for garbage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LEFT = """
import gc
import socket
import pytest

class Loop:
    def __init__(self):
        self.itself = self  # only the garbage collector finds it
        self.socket = socket.socket()

@pytest.fixture
def given():
    return Loop()

@pytest.fixture
def not_closed():
    yield
    left = Loop()
    raise RuntimeError("never ended")

def test_fails():
    left = Loop()
    try:
        raise OSError("cause")
    except OSError:
        assert left is None

def test_is_innocent():
    gc.collect()

def test_fails_with_what_it_was_given(given):
    assert given is None

def test_is_innocent_too():
    gc.collect()

def test_fails_at_its_end(not_closed):
    pass

def test_is_innocent_as_well():
    gc.collect()
"""


@pytest.mark.parametrize("again", [[], ["--reruns", "1"]], ids=["one-try", "two-tries"])
def test_what_a_failed_test_leaves_is_charged_to_it(tmp_path: Path, again: list[str]) -> None:
    (tmp_path / "test_left.py").write_text(LEFT)
    command = [sys.executable, "-m", "pytest", "-c", str(TESTS.parent / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "conftest", *again]
    command += ["-rA", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "temporary"), "test_left.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False).stdout
    told = {line.split(" - ")[0] for line in said.splitlines() if line.split(" ")[0] in {"PASSED", "FAILED", "ERROR"}}
    innocent = {f"PASSED test_left.py::{name}" for name in ("test_is_innocent", "test_is_innocent_too", "test_is_innocent_as_well")}
    failed = {f"{word} test_left.py::{name}" for name in ("test_fails", "test_fails_with_what_it_was_given") for word in ("FAILED", "ERROR")}
    at_its_end = {"PASSED test_left.py::test_fails_at_its_end", "ERROR test_left.py::test_fails_at_its_end"}
    assert told == innocent | failed | at_its_end, said
    assert "and left behind: PytestUnraisableExceptionWarning" in said
