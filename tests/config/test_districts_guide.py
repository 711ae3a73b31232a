"""docs/guide/districts.md, followed to the letter: the files as they stand there make a district without faults and without doubts."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.core.duty import CHINA, duty_of
from gateway.core.geometry import area_of
from gateway.register_files import read_all

GUIDE = Path(__file__).parents[2] / "docs/guide/districts.md"
FILES = re.findall(r"^`(config/[^`]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
[EXPECTED] = re.findall(r"^```text\n(.*?)^```$", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name, text in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / "config" / "gateway.toml"


def test_the_guide_shows_every_file_that_the_readme_describes() -> None:
    readme = (Path(__file__).parents[2] / "config/districts/README.md").read_text("utf-8")
    described = set(re.findall(r"^\| (\w+\.csv)\b", readme, re.MULTILINE)) | set(re.findall(r"^`(\w+\.(?:toml|geojson))`", readme, re.MULTILINE))
    assert {Path(name).name for name, _ in FILES} - {"gateway.toml"} == described


def test_the_district_of_the_guide_is_sound(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in EXPECTED.splitlines() if not any(told.startswith(line) for told in lines)] == []
    assert not any("doubt" in line for line in lines), lines


def at(clock: str) -> datetime:
    return datetime.fromisoformat(clock).replace(tzinfo=CHINA)


def test_what_the_guide_says_about_it_is_so(config: Path) -> None:
    _, register = read_all(config)
    willow, home = register.responders["willow"], register.responders["care-home"]

    def staff(clock: str) -> int:
        return duty_of(register, willow, at(clock)).capacity

    assert [staff(f"2027-01-20T{hour}:00") for hour in ("10", "22")] == [2, 1]
    assert staff("2027-01-23T10:00") == 1  # Saturday
    assert staff("2027-02-05T10:00") == 1  # a holiday: as on a Sunday
    assert staff("2027-02-06T10:00") == 0  # closed
    assert staff("2027-02-20T10:00") == 2  # a worked Saturday
    assert "medical-infirmary" in duty_of(register, home, at("2027-01-20T10:00")).skills
    assert area_of(register, register.persons["p-1"].lat, register.persons["p-1"].lon) == "east-1"
