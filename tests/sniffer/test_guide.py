"""What docs/guide/mirror-port.md tells people to paste: the line can be built, the drop-in is sound, the commands are ones we have."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest
from scapy.arch.common import compile_filter, free_filter
from servers import program

from drivers.registry import check_line
from drivers.sniffer.program import _parser
from drivers.sniffer.report import COUNTS
from drivers.sniffer.sender import parse_target
from gateway.cli import main
from gateway.config import CallsConfig, LineConfig
from tests.sniffer.ear import ROOT

GUIDE = (ROOT / "docs" / "guide" / "mirror-port.md").read_text("utf-8")
UNIT = ROOT / "systemd" / "gateway-sniffer.service"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


def commands(name: str) -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(f"{name} ")]


def test_the_line_can_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [text] = blocks("toml")
    monkeypatch.chdir(tmp_path)
    Path("hep.key").write_text("s3cret\n")
    tables = tomllib.loads(text)
    msgspec.convert(tables["calls"], CallsConfig)
    [config] = msgspec.convert(tables["line"], list[LineConfig])
    assert check_line(config) == []


def test_the_drop_in_gives_a_command_that_is_understood(tmp_path: Path) -> None:
    """systemd itself reads unit and drop-in; the words that come of it go to the sniffer's own parser."""
    [text] = blocks("ini")
    unit = tmp_path / "gateway-sniffer.service"
    stand_in = tmp_path / "gateway-sniffer"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    unit.write_text(UNIT.read_text().replace("/usr/lib/gateway-12349/bin/gateway-sniffer", str(stand_in)))
    (tmp_path / "gateway-sniffer.service.d").mkdir()
    (tmp_path / "gateway-sniffer.service.d" / "override.conf").write_text(text)
    done = subprocess.run([program("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "gateway-sniffer" in line or "override" in line]
    assert (done.returncode, complaints) == (0, [])
    settings = dict(re.findall(r'^Environment="?(\w+)=([^"\n]*)"?$', UNIT.read_text() + text, re.MULTILINE))
    command = re.search(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.MULTILINE)
    assert command is not None
    words = command[1].replace("$OPTIONS", settings["OPTIONS"].replace("%d", "/run/credentials/gateway-sniffer.service"))
    args = _parser().parse_args(shlex.split(re.sub(r"\$\{(\w+)\}", lambda name: settings[name[1]], words)))
    assert (args.interface, args.to, args.ports, args.agent_id) == ("eth1", "udp:127.0.0.1:9060", (5060, 5080), 31)
    assert args.auth_key_file == "/run/credentials/gateway-sniffer.service/hep-key"


def test_commands_of_the_sniffer_are_understood() -> None:
    found = [_parser().parse_args(words) for words in commands("gateway-sniffer")]
    assert [args.speed for args in found] == [1.0, 10.0, 0.0]
    assert {parse_target(args.to).kind for args in found} == {"udp", "tcp"}
    for option in re.findall(r"`(--[a-z-]+)", GUIDE):
        known = {text for action in _parser()._actions for text in action.option_strings}
        assert option in known | {"--collector"}, option


def test_commands_of_the_gateway_are_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = ROOT / "tests" / "vectors" / "captures" / "answered_udp.pcapng"
    found = commands("gateway")
    assert len(found) == 2
    for words in found:
        assert main([str(capture) if word.startswith("/tmp/") else word for word in words]) == 0
    assert '"outcome": "answered"' in capsys.readouterr().out


def test_the_filter_for_tcpdump_compiles() -> None:
    [words] = commands("tcpdump")
    free_filter(compile_filter(words[-1], linktype=1))


def test_counts_and_metrics_are_ours() -> None:
    told = re.search(r"^    gateway-sniffer: (frames .*)$", GUIDE, re.MULTILINE)
    assert told is not None
    names = [pair.split()[0] for pair in told[1].split(", ")]
    assert names == [name for name in COUNTS if name in names]  # in the order in which they are said
    for name in re.findall(r"`([a-z]+_[a-z_]+)`", GUIDE):
        assert name in COUNTS or name in ("auth_key_file", "silence_s", "gateway_sniffer_last_message_timestamp_seconds"), name
