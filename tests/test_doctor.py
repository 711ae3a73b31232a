"""`gateway doctor` on a real disk, real sockets and a real pseudo-terminal: what is good is called good, what is not comes with a remedy."""

import errno
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.config import Config, ConsoleConfig, DispatchConfig, GatewayConfig, LineConfig, MqttChannelConfig
from gateway.doctor import Finding, commit_ms, examine


def found(config: Config) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(config)}


def test_all_is_well(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with socket.create_server(("127.0.0.1", 0)) as broker, socket.create_server(("127.0.0.1", 0)) as reserved:
        url = f"mqtt://127.0.0.1:{broker.getsockname()[1]}"
        free = reserved.getsockname()[1]
        reserved.close()
        findings = found(
            Config(
                gateway=GatewayConfig(data="not/yet/made"),
                console=ConsoleConfig(listen=f"127.0.0.1:{free}"),
                dispatch=DispatchConfig(mqtt=MqttChannelConfig(broker=url)),
                line=(
                    LineConfig(name="wearables", codec="generic", broker=url),
                    LineConfig(name="panel", codec="espa444", listen=f"serial:{os.ttyname(theirs)}:baudrate=9600"),
                ),
                path=str(tmp_path / "gateway.toml"),
            )
        )
    os.close(ours)
    os.close(theirs)
    assert set(findings) == {"store", "store, commit", "store, free space", "line wearables", "line panel", "dispatch.mqtt", "console"}
    assert all(findings[what].good for what in ("store", "line wearables", "line panel", "dispatch.mqtt", "console"))
    assert findings["store"].text.endswith("not/yet/made/gateway.db will be made by the first start")
    assert "below 2 ms: commits run in" in findings["store, commit"].text
    assert sorted(one.name for one in tmp_path.iterdir()) == []


def test_what_is_wrong_comes_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        silent = socket.socket()
        silent.bind(("127.0.0.1", 0))  # bound, not listening: nobody answers there
        findings = found(
            Config(
                console=ConsoleConfig(listen=f"127.0.0.1:{port}"),
                line=(
                    LineConfig(name="wearables", codec="generic", broker=f"mqtt://127.0.0.1:{silent.getsockname()[1]}"),
                    LineConfig(name="panel", codec="espa444", listen=f"serial:{tmp_path}/panel0:baudrate=9600"),
                ),
                path=str(tmp_path / "gateway.toml"),
            )
        )
        silent.close()
    assert {what: finding.good for what, finding in findings.items() if what.startswith(("line", "console"))} == {
        "line wearables": False,
        "line panel": False,
        "console": False,
    }
    assert "start it, or correct the address" in findings["line wearables"].text
    assert "plug it in" in findings["line panel"].text
    assert "choose another port under console.listen" in findings["console"].text


LINES = b"""{"lines": [{"type": "line", "id": "calls", "state": "live", "reason": ""},
 {"type": "line", "id": "mirror", "state": "lost", "reason": "cannot listen on udp port 9060: Permission denied"}]}"""


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """As the console answers: /healthz, and one line that is live and one that is not."""
        told = {"/healthz": b"ok", "/api/v1/lines": LINES}.get(self.path)
        self.send_response(200 if told else 404)
        self.end_headers()
        self.wfile.write(told or b"")

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


def test_a_server_that_a_line_connects_to_is_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as manager, socket.create_server(("127.0.0.1", 0)) as nobody:
        port, free = manager.getsockname()[1], nobody.getsockname()[1]
        nobody.close()
        lines = [("here", f"tcp:127.0.0.1:{port}"), ("gone", f"tls:127.0.0.1:{free}"), ("odd", "tcp:nothing")]
        findings = found(
            Config(
                console=ConsoleConfig(enabled=False),
                line=tuple(LineConfig(name=name, codec="ami", connect=connect) for name, connect in lines),
                path=str(tmp_path / "gateway.toml"),
            )
        )
    assert [findings[f"line {name}"].good for name in ("here", "gone", "odd")] == [True, False, False]
    assert f"tls:127.0.0.1:{free} cannot be reached" in findings["line gone"].text
    assert "not name and password" in findings["line here"].text
    assert "write tcp:HOST:PORT" in findings["line odd"].text


def test_ports_of_lines_are_tried_and_what_is_wrong_names_file_key_and_remedy(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.create_server(("127.0.0.1", 0)) as server:
        taken.bind(("127.0.0.1", 0))
        udp, tcp = taken.getsockname()[1], server.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            free = reserved.getsockname()[1]
        lines = (
            LineConfig(name="calls", codec="hep", listen=f"udp:{udp}:interface=127.0.0.1"),
            LineConfig(name="panel", codec="espa444", listen=f"tcp:{free}:interface=127.0.0.1"),
            LineConfig(name="twice", codec="espa444", listen=f"tcp:{free}:interface=127.0.0.1"),
            LineConfig(
                name="units",
                codec="sip",
                listen="udp:0:interface=192.0.2.7",  # TEST-NET-1: nobody's
                options={"also": [f"tcp:{tcp}:interface=127.0.0.1", "udp:0:interface=\\:\\:1"]},
            ),
        )
        findings = found(Config(console=ConsoleConfig(enabled=False), line=lines, path=str(file)))
    assert {what: one.good for what, one in findings.items() if what.startswith("line")} == {
        "line calls": False,
        "line panel": True,
        "line twice": False,
        "line units": False,
        "line units, also 1": False,
        "line units, also 2": True,
    }
    assert findings["line calls"].text.startswith(f"{file}: line[1].listen: udp:{udp}:interface=127.0.0.1 cannot be listened on (Address already in")
    assert "choose another port" in findings["line calls"].text
    assert "no address of this machine" in findings["line units"].text
    assert findings["line units, also 1"].text.startswith(f"{file}: line[4].options.also: tcp:{tcp}")


def test_a_privileged_port_comes_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: socket.socket, __: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # whoever runs this test may have the capability

    monkeypatch.setattr(socket.socket, "bind", refuse)
    line = LineConfig(name="units", codec="sip", listen="udp:506")
    finding = found(Config(console=ConsoleConfig(enabled=False), line=(line,), path=str(tmp_path / "gateway.toml")))["line units"]
    assert not finding.good
    assert "CAP_NET_BIND_SERVICE" in finding.text


def test_a_running_gateway_is_asked_how_its_lines_stand_and_not_disturbed(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Health) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            lines = [LineConfig(name=name, codec="hep", listen="udp:0:interface=127.0.0.1") for name in ("calls", "mirror", "new")]
            console = ConsoleConfig(listen=f"127.0.0.1:{running.server_port}")
            findings = found(Config(console=console, line=tuple(lines), path=str(tmp_path / "gateway.toml")))
        finally:
            running.shutdown()
            thread.join()
    address = "udp:0:interface=127.0.0.1"
    assert findings["line calls"] == Finding("line calls", True, f"{address} is in use by the running gateway")
    assert findings["line mirror"].text.endswith("the running gateway says: cannot listen on udp port 9060: Permission denied")
    assert findings["line new"] == Finding("line new", True, f"{address} is free")


def test_the_port_of_a_running_gateway_is_no_fault(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Health) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            listen = f"127.0.0.1:{running.server_port}"
            finding = found(Config(console=ConsoleConfig(listen=listen), path=str(tmp_path / "gateway.toml")))["console"]
        finally:
            running.shutdown()
            thread.join()
    assert finding == Finding("console", True, f"{listen} is in use by a running gateway")


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").mkdir()
    settings = {"gateway": GatewayConfig(data="."), "console": ConsoleConfig(enabled=False), "path": str(tmp_path / "gateway.toml")}
    [finding] = found(Config(**settings)).values()  # type: ignore[arg-type]
    assert not finding.good
    assert finding.text.startswith(f"{tmp_path}/gateway.db may not be written; let the gateway's user write there")


def test_the_store_is_measured_and_left_clean(tmp_path: Path) -> None:
    took = commit_ms(tmp_path, 5)
    assert len(took) == 5
    assert min(took) > 0
    assert list(tmp_path.iterdir()) == []
