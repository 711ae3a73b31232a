"""The service: what we tell systemd over a real socket, and the unit file judged by systemd's own tools."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.cli import GAVE_WAY_STATUS
from gateway.systemd import Notifier

UNITS = Path(__file__).parents[1] / "systemd"
# Each that runs a part of the gateway, as it is started: one machine, and several (docs/guide/cluster.md).
RUNNING = {
    "gateway.service": "gateway.service",
    "gateway-edge@.service": "gateway-edge@north.service",
    "gateway-core.service": "gateway-core.service",
    "gateway-console.service": "gateway-console.service",
}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """Systemd's end of the notification socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(tmp_path / "notify"))
    sock.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return sock


def test_ready_status_stopping(manager: socket.socket) -> None:
    with manager:
        notifier = Notifier()
        notifier.ready("3 lines live")
        notifier.status("1 line lost")
        notifier.stopping()
        assert [manager.recv(1024) for _ in range(3)] == [b"READY=1\nSTATUS=3 lines live", b"STATUS=1 line lost", b"STOPPING=1\nSTATUS=stopping"]


def test_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"gateway-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert Notifier().notify("READY=1")
        assert sock.recv(64) == b"READY=1"


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not Notifier().notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not Notifier().notify("READY=1")


async def test_watchdog_at_half_the_interval_and_only_while_healthy(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    health = iter([True, False, True])
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    with manager, pytest.raises(asyncio.CancelledError):
        await Notifier().watch(lambda: next(health), sleep)
    assert pauses == [15, 15, 15]


async def test_no_watchdog_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    await Notifier().watch(lambda: pytest.fail("asked for health although nobody watches us"))


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is missing: apt-get install systemd")
    return found


@pytest.mark.parametrize("file", RUNNING)
def test_unit_verifies(tmp_path: Path, file: str) -> None:
    program = tmp_path / "gateway"  # the unit names an installed program: verify with one that exists
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / RUNNING[file]
    unit.write_text((UNITS / file).read_text().replace("/usr/lib/gateway-12349/bin/gateway", str(program)))
    done = subprocess.run([tool("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "gateway" in line]
    assert (done.returncode, complaints) == (0, [])


@pytest.mark.parametrize("file", RUNNING)
def test_unit_is_hardened(tmp_path: Path, file: str) -> None:
    unit = tmp_path / RUNNING[file]
    unit.write_text((UNITS / file).read_text())
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True, timeout=60
    )
    exposure = re.search(rf"Overall exposure level for {re.escape(unit.name)}: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= 1.5, done.stdout


def test_a_gateway_that_gave_way_is_not_started_again() -> None:
    text = (UNITS / "gateway.service").read_text()
    assert "\nRestart=always\n" in text
    assert f"\nRestartPreventExitStatus={GAVE_WAY_STATUS}\n" in text


@pytest.mark.parametrize("file", [file for file in RUNNING if file != "gateway.service"])
def test_a_part_of_several_machines_is_started_for_ever_and_never_beside_the_whole(file: str) -> None:
    text = (UNITS / file).read_text()
    role = file.removeprefix("gateway-").partition(".")[0].rstrip("@")
    assert f"gateway run --role {role} " in text
    assert ("--name %i" in text) is ("@" in file)
    for line in ("Restart=always", "StartLimitIntervalSec=0", "Conflicts=gateway.service", "ExecReload=/bin/kill -HUP $MAINPID"):
        assert f"\n{line}\n" in text
