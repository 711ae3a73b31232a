"""What docs/guide/scaip.md tells people to paste can be built, and what its tables say is what the driver does."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from certificates import self_signed

from drivers.bodies.scaip_codes import DEVICE_TYPES, STATUSES
from drivers.bodies.scaip_signal import meaning
from drivers.bodies.scaip_text import Request
from drivers.registry import check_line
from drivers.user_agent.options import read_credentials
from gateway.config import LineConfig, read_config
from simulators.home_unit import parser

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guide/scaip.md").read_text("utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
LINES = [text for text in BLOCKS if "[[line]]" in text]


@pytest.mark.parametrize("text", LINES, ids=range(len(LINES)))
def test_a_line_as_pasted(text: str, tmp_path: Path) -> None:
    (tmp_path / "home-units.credentials").write_text(next(text for text in BLOCKS if "[devices]" in text))
    chain, key = self_signed(tmp_path, "cert")
    key.rename(tmp_path / "units-key.pem")
    chain.rename(tmp_path / "units-chain.pem")
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    (tmp_path / "gateway.toml").write_text(text.replace("/etc/gateway", str(tmp_path)))
    [line] = read_config(tmp_path / "gateway.toml").line
    assert check_line(line) == []


def test_the_credentials_as_pasted() -> None:
    [text] = [text for text in BLOCKS if "[devices]" in text]
    assert read_credentials(text).devices == {"1234567890": "a long password"}


def test_a_mistake_in_a_line_is_told() -> None:
    tables = tomllib.loads(LINES[0])
    tables["line"][0]["options"]["body_options"]["scaip"]["voice"]["cre"] = "62"
    [line] = msgspec.convert(tables["line"], list[LineConfig])
    assert any("tnu" in problem for problem in check_line(line))


def test_the_command_as_typed() -> None:
    [command] = re.findall(r"^simulate home-unit (.*)$", GUIDE, re.MULTILINE)
    assert parser().parse_args(command.split()).alarm == ["0003:0010"]


# What a row of the guide promises: device types with an automatic alarm, status codes of an alarm message of the home unit.
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| \| ([^|]+) \| ([^|]+) \|$", GUIDE, re.MULTILINE)[1:]


def kind_of(dty: int, stc: int) -> tuple[str, str]:
    kind, phase = meaning(Request(root="mrq", values={"ref": "1", "cid": "1", "dty": str(dty), "stc": str(stc)}))
    return kind.value, phase.value


def numbers(text: str) -> list[int]:
    found = []
    for first, last in re.findall(r"(\d{4})(?:-(\d{4}))?", text):
        found += range(int(first), int(last or first) + 1)
    return found


def test_the_table_of_device_types_is_what_happens() -> None:
    told: set[int] = set()
    for left, kinds, _, _ in ROWS:
        groups = [numbers(part) for part in left.split(" / ")]
        for codes, kind in zip(groups, re.findall("`(\\w+)`", kinds), strict=False):
            told |= set(codes)
            assert {kind_of(code, 9)[0] for code in codes} == ({kind} if codes else set()), codes
    faults = {31, 32, 38, 40, 41, 50}  # said of the status, not of the type
    assert {code for code, one in DEVICE_TYPES.items() if one.kind != "general"} - told == faults


def test_the_table_of_statuses_is_what_happens() -> None:
    told: set[int] = set()
    for _, _, left, right in ROWS:
        codes, kinds = [numbers(part) for part in left.split(" / ")], re.findall("`(\\w+)`", right)
        told |= {code for group in codes for code in group}
        if "begins" in right:
            assert [{kind_of(2, code) for code in group} for group in codes] == [{(kinds[0], "raise")}, {(kinds[0], "clear")}], left
        elif kinds:
            assert {kind_of(2, code) for code in codes[0]} == {(kinds[0], "raise")}, left
        elif right.strip() == "test":
            assert {kind_of(2, code) for code in codes[0]} == {("test", "test")}
        elif "ends" in right:
            assert {kind_of(3, code) for code in codes[0]} == {("sos", "clear")}
        else:
            assert {kind_of(2, code)[1] for code in codes[0]} == {"state"}, left
    doubtful = {3, 6, 62, 104, 117, 119, 120}  # an alarm when the message says so
    assert set(STATUSES) - told == doubtful | {9, 10, 11, 110}
