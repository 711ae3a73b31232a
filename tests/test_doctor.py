"""`gateway doctor` on a real disk, real sockets and a real pseudo-terminal: what is good is called good, what is not comes with a remedy."""

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
        self.wfile.write(b"ok")

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
    assert "write tcp:HOST:PORT" in findings["line odd"].text


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
