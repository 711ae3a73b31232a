"""`gateway decode` for panels and pagers that speak lines: every vector, through the command itself."""

import io
import json
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.cli import main

NOW = ["--now", "2026-02-01T04:00:30Z"]  # half a minute after the constructed lines
VECTORS = Path(__file__).parent / "vectors" / "panel"
CONFIGS = {
    "ness": '[options]\nzones = { 7 = "sos" }\nareas = { 05 = "medical" }\n',
    "alarmdecoder": '[options]\nlearned = { "102532:1" = "sos" }\nchannels = { "7:1" = "water_leak" }\n',
    "ascii_button": '[options.learned]\n"000005:2" = ""\n"0c2f1a:04" = "help"\n5393 = "sos"\n123456 = "smoke"\n1bb4 = "help"\n',
    "tap": '[options]\ntexts = [{ match = "fall", kind = "fall" }]\n',
}


def rows(codec: str, *tables: str) -> list[object]:
    vectors = tomllib.loads((VECTORS / f"{codec}.toml").read_text("utf-8"))
    return [pytest.param(codec, row, id=f"{codec}: {row.get('id') or row.get('text') or row['hex']}") for table in tables for row in vectors[table]]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> object:
    """Runs the command with the line's options and something on standard input; gives (exit code, results)."""

    def run(codec: str, given: str) -> tuple[int, list[dict[str, object]]]:
        config = tmp_path / "line.toml"
        config.write_text(f'name = "l"\ncodec = "{codec}"\nlisten = "serial:/dev/x"\n{CONFIGS.get(codec, "")}', "utf-8")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = main(["decode", codec, "--config", str(config), *NOW])
        out, error = capsys.readouterr()
        assert "Traceback" not in error
        return code, [json.loads(line) for line in out.splitlines()]

    return run


LINES = [row for codec in ("ness", "elk", "alarmdecoder", "ascii_button") for row in rows(codec, "line")]


@pytest.mark.parametrize(("codec", "row"), LINES)
def test_a_line(decoded, codec: str, row: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    code, [seen] = decoded(codec, f"{row['text']}\r\n")
    assert code == 0
    if row.get("edge") and row.get("phase") == "clear":
        assert (seen["kind"], seen["phase"]) == ("heartbeat", "state"), "nobody here has told of it, so nothing is over"
    elif "kind" in row:
        assert (seen["kind"], seen["phase"], seen.get("detail", {})) == (row["kind"], row.get("phase", "raise"), row["detail"])
    assert seen.get("reply_hex") is None, "nothing is acknowledged"


def test_a_panels_time_is_local_time(decoded) -> None:  # type: ignore[no-untyped-def]
    _, [seen] = decoded("ness", "87000361020101260201120000d6\r\n")
    assert (seen["occurred_at"], seen["time_source"]) == ("2026-02-01T04:00:00Z", "device")


@pytest.mark.parametrize(("codec", "row"), [*rows("ness", "status"), *rows("elk", "states"), *rows("alarmdecoder", "keypad")])
def test_states(decoded, codec: str, row: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    code, seen = decoded(codec, f"{row['text']}\r\n")
    assert code == 0
    expected = [word.rpartition(" ")[2] for word in row["raised"]]  # type: ignore[attr-defined]
    assert [one["kind"] for one in seen] == (expected or ["heartbeat"]), "what was never raised is not told as over"


@pytest.mark.parametrize(("codec", "row"), [row for codec in ("ness", "elk", "ascii_button") for row in rows(codec, "bad")])
def test_a_bad_line(decoded, codec: str, row: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    code, [seen] = decoded(codec, f"{row['text']}\r\n")
    assert code == 1
    assert (seen["rejected"], bytes.fromhex(str(seen["raw_hex"])).decode()) == (row["reason"], row.get("kept", row["text"]))


@pytest.mark.parametrize(("codec", "row"), rows("tap", "block"))
def test_a_tap_block_pasted_alone(decoded, codec: str, row: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    code, [seen] = decoded(codec, row["hex"])
    assert code == 0
    assert (seen["kind"], seen["device"], seen["detail"]["text"], seen["reply_hex"]) == (row["kind"], row["device"], row["text"], "060d")


def test_a_tap_block_with_a_wrong_sum(decoded) -> None:  # type: ignore[no-untyped-def]
    code, [seen] = decoded("tap", "02 31 32 33 0d 41 42 43 0d 03 31 37 3c 0d")
    assert (code, seen["rejected"], seen["reply_hex"]) == (1, "bad_checksum", "150d")


@pytest.mark.parametrize(("codec", "row"), rows("comp2", "record"))
def test_a_comp2_record(decoded, codec: str, row: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    code, [seen] = decoded(codec, str(row["hex"]))
    assert code == 0
    assert (seen["device"], seen["detail"], seen["reply_hex"]) == (row["device"], row["detail"], None)


@pytest.mark.parametrize(
    ("codec", "given", "answer"), [("espa444", "32 05", "04"), ("tap", "1b 50 47 31 0d", "060d1b5b700d"), ("tap", "04 0d", "1b040d")]
)
def test_an_answer_that_belongs_to_no_message_is_told(
    codec: str, given: str, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert main(["decode", codec, "--hex", *NOW]) == 1
    out, error = capsys.readouterr()
    assert (out, f"would also send {answer}\n" in error) == ("", True)
