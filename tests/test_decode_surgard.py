"""`gateway decode` for alarm receivers and for ESPA's control station, through the command itself."""

import io
import json
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.cli import main

NOW = ["--now", "2026-03-14T09:26:53Z"]
ROWS = tomllib.loads((Path(__file__).parent / "vectors" / "panel" / "surgard.toml").read_text())["record"]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> object:
    def run(codec: str, given: str, *argv: str, options: str = "") -> tuple[int, list[dict[str, object]]]:
        config = tmp_path / "line.toml"
        config.write_text(f'name = "l"\ncodec = "{codec}"\nlisten = "serial:/dev/x"\n[options]\n{options}')
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = main(["decode", codec, "--config", str(config), *argv, *NOW])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return code, [json.loads(line) for line in out.splitlines()]

    return run


@pytest.mark.parametrize("form", ["--text", "--hex", "pasted"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_record(decoded, row: dict[str, object], form: str) -> None:  # type: ignore[no-untyped-def]
    name = str(row.get("format", "surgard"))
    record = f"\n{row['text']}\r" if name == "ademco685" else f"{row['text']}\x14"
    argv = [] if form == "pasted" else [form]
    given = record.encode().hex(" ") if form == "--hex" else record.replace("\x14", "\n") if form == "pasted" else record
    code, [seen] = decoded("surgard", given, *argv, options=f'format = "{name}"')
    assert code == 0
    assert (seen["kind"], seen["phase"], seen.get("device")) == (row["kind"], row.get("phase", "raise"), row.get("device"))
    detail: dict[str, object] = row["detail"]  # type: ignore[assignment]
    shown: dict[str, object] = seen["detail"]
    assert {name: shown.get(name) for name in detail} == detail
    assert seen["reply_hex"] == "06"


def test_unreadable_asks_again_twice_then_is_shown(decoded) -> None:  # type: ignore[no-untyped-def]
    code, seen = decoded("surgard", 3 * "5000 184321X10100005\x14", "--text")
    assert code == 1
    assert [(one.get("rejected"), one.get("kind"), one["reply_hex"]) for one in seen] == [
        ("unreadable", None, "15"),
        ("unreadable", None, "15"),
        (None, "general", "06"),
    ]


def test_several_events_have_one_answer(decoded) -> None:  # type: ignore[no-untyped-def]
    code, seen = decoded("surgard", "S011[#4321|Nri1/QA003/MA004]\x14", "--text")
    assert code == 0
    assert [(one["kind"], one["reply_hex"]) for one in seen] == [("sos", None), ("medical", "06")]


@pytest.mark.parametrize("given", ["31 05 01 31 02 31 1f 41 03 5f 04", "01 31 02 31 1f 41 03 5f"])
def test_what_a_control_station_hears(decoded, given: str) -> None:  # type: ignore[no-untyped-def]
    code, [seen] = decoded("espa444", given, options='role = "control"')
    assert (code, seen["kind"], seen["device"], seen["reply_hex"]) == (0, "sos", "A", "06")
