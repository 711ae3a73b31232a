"""The examples that a developer copies out of docs/guide/upward.md are right."""

import hashlib
import re
import subprocess
from pathlib import Path

from servers import program

GUIDE = (Path(__file__).parents[2] / "docs/guide/upward.md").read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_python_example_proves_itself() -> None:
    exec(block("python"), {})


def test_the_shell_example_prints_what_the_guide_says() -> None:
    program("openssl")
    done = subprocess.run(["sh", "-c", block("sh")], capture_output=True, text=True, check=True, timeout=60)
    assert f"which prints `{done.stdout.strip()}`" in GUIDE


def test_the_digest_is_that_of_the_line_shown() -> None:
    found = re.search(r'^    (\{"number":101.*?),\n     ("incident".*?\})$', GUIDE, re.MULTILINE)
    assert found is not None
    assert hashlib.sha256(f"{found[1]},{found[2]}".encode()).hexdigest() in GUIDE
