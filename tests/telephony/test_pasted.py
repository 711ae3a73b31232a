"""What the guide tells people to paste is what the tests run: the same file, the same lines, and a gateway.toml that can be built."""

import re
import subprocess
import tomllib
from pathlib import Path

import msgspec
from servers import program

from drivers.registry import build_line, check_line
from gateway.config import CallsConfig, LineConfig

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guide/kamailio.md").read_text("utf-8")
SNIPPET = ROOT / "config/pbx/kamailio/gateway-siptrace.cfg"
TRACER = (ROOT / "config/pbx/opensips/gateway-tracer.cfg").read_text("utf-8")
MODULES = "".join(f'loadmodule "{name}.so"\n' for name in ("tm", "sl", "rr", "pv", "maxfwd", "textops", "siputils"))


def blocks(language: str) -> list[str]:
    """The guide's code blocks in this language, without the indentation of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", GUIDE, re.DOTALL | re.MULTILINE)
    return ["".join(line.removeprefix(indent) for line in text.splitlines(keepends=True)) for indent, text in found]


def test_each_line_to_paste_is_in_a_file_that_is_shipped() -> None:
    address, include, snippet, key, tracer = blocks("cfg")
    shipped = SNIPPET.read_text("utf-8").splitlines()
    assert set((address + snippet).splitlines()) <= set(shipped)
    assert f"#     {include.strip()}" in shipped
    assert key.startswith("#!define GATEWAY_HEP_KEY ")
    assert set(tracer.splitlines()) <= set(TRACER.splitlines())


def test_kamailio_takes_it_as_pasted(tmp_path: Path) -> None:
    """The file beside kamailio.cfg, a key above the line that includes it; nothing on the command line."""
    _, include, _, key, _ = blocks("cfg")
    (tmp_path / SNIPPET.name).write_bytes(SNIPPET.read_bytes())
    config = tmp_path / "kamailio.cfg"
    config.write_text(f'#!KAMAILIO\nlisten=udp:127.0.0.1:5060\n{MODULES}{key}{include}request_route {{ sl_send_reply("404", "Not here"); }}\n')
    checked = subprocess.run([program("kamailio"), "-c", "-E", "-f", str(config)], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "config file ok" in checked.stderr


def test_the_gateway_takes_its_part(tmp_path: Path) -> None:
    plain, encrypted = (tomllib.loads(text) for text in blocks("toml"))
    calls = msgspec.convert(plain["calls"], CallsConfig)
    [config] = msgspec.convert(plain["line"], list[LineConfig])
    assert check_line(config) == []
    more = {"strip": ["9"], "answer_on": "agent_leg", "agents": {"192.0.2.31": "8001"}}
    line = build_line(msgspec.structs.replace(config, options={**config.options, **more}), calls)
    assert (line.name, line.codec_name, line.mandatory) == ("pbx", "hep", True)

    [config] = msgspec.convert(encrypted["line"], list[LineConfig])
    for name in ("hep-key.pem", "hep-chain.pem"):
        (tmp_path / name).touch()
    assert config.listen is not None
    config = msgspec.structs.replace(config, listen=config.listen.replace("/etc/gateway", str(tmp_path)))
    assert check_line(config) == []
