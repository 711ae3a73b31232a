"""`gateway doctor` on a real disk, real sockets and a real pseudo-terminal: what is good is called good, what is not comes with a remedy."""

import os
import socket
from pathlib import Path

from gateway.config import Config, ConsoleConfig, DispatchConfig, GatewayConfig, LineConfig, MqttChannelConfig
from gateway.doctor import Finding, examine, fsync_ms


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
    assert set(findings) == {"SQLite", "disk, durable write", "disk, free", "line wearables", "line panel", "dispatch.mqtt", "console"}
    assert all(findings[what].good for what in ("line wearables", "line panel", "dispatch.mqtt", "console"))


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
    assert "running already" in findings["console"].text


def test_the_disk_is_measured_and_left_clean(tmp_path: Path) -> None:
    took = fsync_ms(tmp_path, 5)
    assert len(took) == 5
    assert took == sorted(took)
    assert took[0] > 0
    assert list(tmp_path.iterdir()) == []
