"""`gateway decode gt06` and `jt808`: the vectors of the fact sheets through the command itself, each pasted alone."""

import io
import json
import sys
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

VECTORS = Path(__file__).parent / "vectors" / "tracker"
NOW = {"gt06": "2026-08-02T03:04:05Z", "jt808": "2026-08-02T03:04:07Z"}
ROWS = [
    pytest.param(codec, row, id=f"{codec} {row['id']}")
    for codec in NOW
    for row in tomllib.loads((VECTORS / f"{codec}.toml").read_text("utf-8"))["frame"]
]
NOBODY = "000000000000000"  # a gt06 frame pasted alone does not say whose it is

Run = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(codec: str, given: str, *argv: str) -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = main(["decode", codec, "--now", NOW[codec], *argv])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return code, [json.loads(line) for line in out.splitlines()]

    return run


def vector(codec: str, name: str) -> str:
    return next(str(param.values[1]["hex"]) for param in ROWS if param.values[0] == codec and param.values[1]["id"].split()[0] == name)


@pytest.mark.parametrize(("codec", "row"), ROWS)
def test_vector(decode: Run, codec: str, row: dict[str, Any]) -> None:
    code, seen = decode(codec, row["hex"])
    last = seen[-1]
    if "reply" in row:
        assert (last.get("reply_hex") or "").upper() == row["reply"]
    elif codec == "gt06":
        assert last.get("reply_hex") is None
    elif "result" in row:
        assert len(last.get("replies_hex", [last["reply_hex"]])) == row.get("answers", 1) or row["id"].startswith("J21")
        assert all(one[2:6] == "8001" and one[-6:-4] == f"{row['result']:02x}" for one in last.get("replies_hex", [last["reply_hex"]]))
    if "rejected" in row:
        assert (code, last["rejected"]) == (1, row["rejected"])
        return
    assert code == 0
    assert [one["kind"] for one in seen] == [expected["kind"] for expected in row["signals"]]
    for one, expected in zip(seen, row["signals"], strict=True):
        for name in ("device", "sequence", "kind_raw", "phase", "datum", "fix_valid", "battery_pct", "battery_mv", "late", "detail"):
            if name in expected:
                assert one[name] == expected[name], name
        assert expected.get("part", {}).items() <= one.get("detail", {}).items()
        assert (one.get("lat"), one.get("lon")) == (expected.get("lat", one.get("lat")), expected.get("lon", one.get("lon")))
        if "time" in expected and "time_reason" not in one:
            assert (datetime.fromisoformat(one["occurred_at"]), one["time_source"]) == (expected["time"], "device")


def test_whose_frame_it_is_is_not_invented(decode: Run) -> None:
    assert [one["device"] for one in decode("gt06", vector("gt06", "G6"))[1]] == [NOBODY]
    with_login = vector("gt06", "G1") + vector("gt06", "G6")
    assert [one["device"] for one in decode("gt06", with_login)[1]] == ["123456789012345"] * 2


def test_g15_time_and_j7_time(decode: Run) -> None:
    """J7 in the sheet is the second answer of its connection."""
    _, [asked] = decode("gt06", vector("gt06", "G15"))
    assert asked["reply_hex"].upper() == "78780B8A1A0802030405001A1C880D0A"
    _, [_, asked] = decode("jt808", vector("jt808", "J4") + "7E0004400001000000000138001380000007E87E")
    assert asked["reply_hex"].upper() == "7E8004400601000000000138001380000101260802030407457E"


def test_g19_g20_and_g22_line_by_line(decode: Run) -> None:
    frame = vector("gt06", "G6")
    code, seen = decode("gt06", f"{vector('gt06', 'G1')}\n{frame[:18]}\n{frame[18:]}\n", "--hexl")
    assert (code, [one["kind"] for one in seen]) == (0, ["join", "sos"])
    code, seen = decode("gt06", vector("gt06", "G3") + frame + vector("gt06", "G4"))
    assert (code, [one["reply_hex"] is None for one in seen]) == (0, [False, False, True])


def test_j4_is_told_in_wgs84_within_two_metres(decode: Run) -> None:
    _, [one] = decode("jt808", vector("jt808", "J4"))
    lat, lon = one["wgs84"]
    assert abs(lat - 39.90872) * 111_000 < 2
    assert abs(lon - 116.39748) * 85_000 < 2


def test_options_of_a_line(decode: Run, tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text('[[line]]\nname = "t"\ncodec = "jt808"\nlisten = "tcp:1"\n[line.options]\nalarm_bits = { "17" = "tamper" }\n')
    code, [one] = decode("jt808", vector("jt808", "T5"), "--config", str(tmp_path / "line.toml"))
    assert (code, one["kind"], one["kind_raw"]) == (0, "tamper", "alarm bit 17")


@pytest.mark.parametrize("codec", NOW)
def test_rubbish(decode: Run, codec: str) -> None:
    code, seen = decode(codec, "00112233445566778899")
    assert code == 1
    assert seen == []
