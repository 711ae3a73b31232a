"""`gateway decode sia_dc09` and `contact_id`: what a field engineer pastes of an alarm panel, and what is printed."""

import io
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.cli import main

VECTORS = Path(__file__).parent / "vectors" / "panel"
FRAMES = tomllib.loads((VECTORS / "sia_dc09.toml").read_text("utf-8"))["frame"]
CONTACT_ID = tomllib.loads((VECTORS / "contact_id.toml").read_text())
PENDANT = next(row for row in FRAMES if row["id"] == "encrypted pendant, 128 bits")
KEY = "000102030405060708090a0b0c0d0e0f"


class Command:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.error = ""
        self.out = ""

    def __call__(self, *argv: str, given: str = "") -> tuple[int, list[dict[str, Any]]]:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = main(list(argv))
        self.out, self.error = self._capsys.readouterr()
        assert "Traceback" not in self.error
        return code, [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def line_file(folder: Path, *options: str) -> list[str]:
    file = folder / "line.toml"
    file.write_text("\n".join(['[[line]]\nname = "panels"\ncodec = "sia_dc09"\nlisten = "tcp:12000"\n[line.options]', *options]), "utf-8")
    return ["--config", str(file)]


def framed(body: str) -> str:
    """LF, CRC, length, CR around a body, as hex digits; the CRC is looked up among the vectors' own."""
    crc = 0
    for byte in body.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return f"\n{crc:04X}{len(body.encode()):04X}{body}\r".encode().hex()


@pytest.mark.parametrize("form", ["--hex", "--text", "pasted"])
@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row["id"])
def test_every_frame(gateway: Command, tmp_path: Path, row: dict[str, Any], form: str) -> None:
    accounts = "\n".join(
        f"accounts.{name} = {{ {', '.join(f'{k} = {json.dumps(v)}' for k, v in keys.items())} }}" for name, keys in row.get("accounts", {}).items()
    )
    options = [*line_file(tmp_path, accounts), "--now", row["now"]]
    if form == "pasted":  # as it stands in a log, without control characters
        code, seen = gateway("decode", "sia_dc09", *options, given=row["frame"])
    else:
        wire = "\n" + row["frame"] + "\r"
        code, seen = gateway("decode", "sia_dc09", form, *options, given=wire.encode().hex() if form == "--hex" else wire)
    if "rejected" in row:
        [one] = seen
        assert (code, one["rejected"]) == (1, row["rejected"])
        assert bytes.fromhex(one["raw_hex"]).strip() == row["frame"].encode()
        assert one.get("reply_hex") == (framed(row["reply"]) if row["reply"] else None)
        return
    assert code == 0
    for one, expected in zip(seen, row["events"], strict=True):
        assert {name: one[name] for name in ("kind", "phase", "device", "kind_raw", "detail")} == {
            name: expected[name] for name in expected if name != "time"
        }
        assert one["sequence"] in (int(row["frame"].split('"')[2][:4], 16), int("".join(filter(str.isdigit, row["frame"].split('"')[2][:4]))))
    if "reply_opens_to" in row:
        head, _, digits = bytes.fromhex(seen[-1]["reply_hex"]).decode()[9:-1].partition("[")
        [keys] = row["accounts"].values()
        key = bytes.fromhex(keys["key"]) if "key" in keys else keys["key_text"].encode()
        cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
        assert f"{head}[" == row["reply_head"]
        assert cipher.update(bytes.fromhex(digits)).endswith(row["reply_opens_to"].encode())
    else:
        assert seen[-1]["reply_hex"] == framed(row["reply"])


def test_keys_in_a_file_beside_the_configuration(gateway: Command, tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(f'[8A8A]\nkey = "{KEY}"\n', "utf-8")
    options = [*line_file(tmp_path, 'accounts_file = "accounts.toml"'), "--now", PENDANT["now"]]
    code, [seen] = gateway("decode", "sia_dc09", *options, given=PENDANT["frame"])
    assert (code, seen["kind"]) == (0, "sos")
    (tmp_path / "accounts.toml").write_text(f'[8A8A]\nkey = "{KEY}0"\n', "utf-8")
    assert gateway("decode", "sia_dc09", *options, given=PENDANT["frame"])[0] == 2
    assert "accounts.toml: 8A8A.key: " in gateway.error
    assert KEY not in gateway.error


def test_window_moves_with_now(gateway: Command, tmp_path: Path) -> None:
    options = line_file(tmp_path, f'accounts = {{ 8A8A = {{ key = "{KEY}" }} }}')
    code, [seen] = gateway("decode", "sia_dc09", *options, "--now", "2026-02-01T12:00:41Z", given=PENDANT["frame"])
    assert (code, seen["rejected"], bytes.fromhex(seen["reply_hex"])[9:]) == (1, "stale_timestamp", b'"NAK"0000R0L0A0[]_12:00:41,02-01-2026\r')
    assert gateway("decode", "sia_dc09", *options, "--now", "2026-02-01T12:00:40Z", given=PENDANT["frame"])[0] == 0


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('accounts_file = "none.toml"', "accounts_file: there is no file 'none.toml'"),
        ('accounts_file = "accounts.toml"', "accounts.toml: 8A8A.key: has 3 hex digits; write 32, 48 or 64"),
        ("accounts = { 8A8A = { keys = 1 } }", "8A8A.keys: is not known"),
        ('dialect = "klingon"', "dialect"),
        ('zones = { "005" = "fall" }', 'write "ACCOUNT:ZONE"'),
        ("window_s = [1, 20]", "window_s: does not hold our own time"),
    ],
)
def test_check_names_the_fault_and_no_key(gateway: Command, tmp_path: Path, lines: str, problem: str) -> None:
    (tmp_path / "accounts.toml").write_text('[8A8A]\nkey = "abc"\n', "utf-8")
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    file = line_file(tmp_path, lines)[1]
    assert gateway("check", "--config", file)[0] != 0
    told = gateway.out + gateway.error
    assert problem in told
    assert "panels" in told or "line[1]" in told


@pytest.mark.parametrize("row", CONTACT_ID["block"], ids=lambda row: row["id"])
def test_every_block(gateway: Command, row: dict[str, Any]) -> None:
    for argv in ([row["digits"]], [row["digits"].encode().hex(), "--hex"]):
        code, [seen] = gateway("decode", "contact_id", *argv[1:], given=argv[0])
        assert code == 0
        assert {name: seen[name] for name in ("kind", "phase", "device", "detail")} == {
            name: row[name] for name in ("kind", "phase", "device", "detail")
        }
        assert seen["reply_hex"] == "06"


@pytest.mark.parametrize("row", CONTACT_ID["bad"], ids=lambda row: row["id"])
def test_every_bad_block(gateway: Command, row: dict[str, Any]) -> None:
    code, [seen] = gateway("decode", "contact_id", given=row["digits"])
    assert (code, seen) == (1, {"rejected": row["reason"], "raw_hex": row["digits"].encode().hex()})
