"""`gateway decode watch3g`: what a field engineer pastes of a watch, and what is printed."""

import io
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

VECTORS = tomllib.loads((Path(__file__).parent / "vectors" / "tracker" / "watch3g.toml").read_text())
NOW = ["--now", "2026-08-02T03:05:00Z"]
ROWS: list[dict[str, Any]] = [*VECTORS["sheet"], *VECTORS["field"]]
TEXTS = {row["id"]: row["text"] for row in VECTORS["sheet"] if "text" in row}


class Decode:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, given: str, *argv: str) -> tuple[int, list[dict[str, Any]]]:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = main(["decode", "watch3g", *NOW, *argv])
        out, error = self._capsys.readouterr()
        assert "Traceback" not in error
        return code, [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def decode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Decode:
    return Decode(monkeypatch, capsys)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_vector(decode: Decode, row: dict[str, Any]) -> None:
    code, seen = decode(row["hex"], "--hex") if "hex" in row else decode(row["text"])
    assert code == 0
    assert [one["kind"] for one in seen] == row["kinds"]
    replies = [one["reply_hex"] for one in seen]
    assert replies == [None] * (len(seen) - 1) + [row["answer"].encode().hex() or None]
    for one in seen:
        for name in ("lat", "lon", "fix_valid", "battery_pct", "accuracy_m", "late"):
            assert one.get(name) == row.get(name), name
        assert one.get("wgs84") == ([row["lat"], row["lon"]] if "lat" in row else None)
        assert one.get("vitals", {}) == row.get("vitals", {})
        assert row.get("detail", {}).items() <= one.get("detail", {}).items()


def test_a_believed_time_and_one_that_is_not(decode: Decode) -> None:
    _, [new] = decode(TEXTS["W15"])
    assert (new["occurred_at"], new["time_source"]) == ("2026-08-02T03:04:05Z", "device")
    _, [old] = decode(TEXTS["W3"])
    assert (old["occurred_at"], old["time_reason"]) == ("2026-08-02T03:05:00Z", "device_time_too_old")


def test_w19_to_w22(decode: Decode) -> None:
    code, seen = decode(TEXTS["W2"] + TEXTS["W15"])
    assert [one["kind"] for one in seen] == ["heartbeat", "sos"]
    code, [seen_w21] = decode("HTTP/1.1" + TEXTS["W15"])
    assert (code, seen_w21["detail"]["skipped"]) == (0, 8)
    halves = "".join(f"{half.encode().hex()}\n" for half in (TEXTS["W15"][:40], TEXTS["W15"][40:]))
    assert [one["kind"] for one in decode(halves, "--hexl")[1]] == ["sos"]
    moved = TEXTS["W15"].replace("114.057865", "114.060001")
    _, [first, second] = decode(TEXTS["W15"] + moved)
    assert (first["phase"], second["phase"]) == ("raise", "repeat")
    assert first["reply_hex"] == second["reply_hex"] == b"[ZJ*8800000015*0007*0002*AL]".hex()


def test_options_of_the_line(decode: Decode, tmp_path: Path) -> None:
    config = tmp_path / "line.toml"
    config.write_text('[[line]]\nname = "w"\ncodec = "watch3g"\nlisten = "tcp:9000"\n[line.options]\nzone = "Asia/Shanghai"\ndatum = "gcj02"\n')
    _, [seen] = decode(TEXTS["W15"], "--config", str(config))
    assert seen["occurred_at"] == "2026-08-01T19:04:05Z"
    assert (seen["lat"], seen["lon"], seen["datum"]) == (22.543096, 114.057865, "gcj02")
    assert seen["wgs84"] == [pytest.approx(22.54593, abs=5e-4), pytest.approx(114.05276, abs=5e-4)]
    assert seen["wgs84"] != [seen["lat"], seen["lon"]]
    config.write_text(config.read_text().replace("gcj02", "unknown"))
    _, [seen] = decode(TEXTS["W15"], "--config", str(config))
    assert (seen["datum"], "wgs84" in seen) == ("unknown", False)


def test_what_is_no_frame(decode: Decode) -> None:
    code, [seen] = decode("[3G*8800000015*0054*AL,0208")
    assert (code, seen["rejected"]) == (1, "half_frame")
    code, [seen] = decode("5b33472a312a303030352a544b2c7d095d", "--hex")
    assert (code, seen["rejected"]) == (1, "bad_escape")
