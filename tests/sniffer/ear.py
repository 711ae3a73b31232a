"""The real program in a process of its own, a gateway's ear at its other end, and whether this machine lets us listen."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import scapy
from servers import START_S
from waiting import free_port, wait_until

from drivers.calls.hep import HepCodec, HepOptions
from drivers.calls.hep3 import Packet, parse_packet
from drivers.contract import Rejected, Signal
from gateway.config import CallsConfig

PROGRAM = ["-m", "drivers.sniffer.program"]
DEBIAN_PYTHON = "/usr/bin/python3"
ROOT = Path(__file__).parents[2]
CALLS = CallsConfig(hotlines=("12349",), area_code="0931")


def path_of_packages() -> str:
    """For a Python other than ours: where scapy is, and the project."""
    return f"{Path(scapy.__file__).parents[1]}:{ROOT}"


class Ear:
    """A HEP receiver over UDP: what came, and what the gateway's own codec makes of it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.target = f"udp:127.0.0.1:{self._socket.getsockname()[1]}"
        self.datagrams: list[bytes] = []

    def listen(self) -> list[Packet]:
        """Everything so far."""
        while True:
            try:
                self.datagrams.append(self._socket.recv(65_535))
            except BlockingIOError:
                return [parse_packet(datagram) for datagram in self.datagrams]

    def close(self) -> None:
        self._socket.close()


def calls_of(datagrams: list[bytes], **options: object) -> dict[str, list[str]]:
    """Call by call (by the caller's number) what the gateway's codec says; a rejection is a failure."""
    codec = HepCodec(HepOptions(**options), CALLS)  # type: ignore[arg-type]
    told: dict[str, list[str]] = {}
    for datagram in datagrams:
        at = parse_packet(datagram).time or 0.0
        for one in codec.receive_message(("127.0.0.1", 9), datagram, at, datetime.fromtimestamp(at, UTC)):
            assert isinstance(one, Signal), one.reason if isinstance(one, Rejected) else one
            told.setdefault(str(one.detail["call"]), []).append(one.kind.value.removeprefix("call_"))
    return told


class Sniffer:
    """`gateway-sniffer` listening or reading. `said` is its standard error."""

    def __init__(self, folder: Path, *argv: str, before: list[str] | None = None, python: str = sys.executable) -> None:
        self._log = folder / f"sniffer-{free_port()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*(before or []), python, *PROGRAM, *argv], stderr=log, stdout=log, cwd=ROOT)

    @property
    def said(self) -> str:
        return self._log.read_text()

    async def listening(self) -> "Sniffer":
        await wait_until(lambda: "listening on" in self.said or self.process.poll() is not None, "the sniffer listens", START_S)
        assert self.process.poll() is None, self.said
        return self

    async def ended(self) -> int:
        await wait_until(lambda: self.process.poll() is not None, "the sniffer has ended", START_S)
        return int(self.process.returncode)

    async def stop(self) -> str:
        """SIGTERM; what it said."""
        self.process.terminate()
        assert await self.ended() == 0, self.said
        return self.said

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def ear() -> Iterator[Ear]:
    one = Ear()
    yield one
    one.close()


@pytest.fixture
def sniffers(tmp_path: Path) -> Iterator["list[Sniffer]"]:
    """Put started ones in: they are ended whatever happens."""
    started: list[Sniffer] = []
    yield started
    for one in started:
        one.kill()


@pytest.fixture
def may_capture() -> None:
    """Skip where the capability is missing; fail in CI, where it must be there."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except PermissionError:
        missing = "no CAP_NET_RAW here: run the tests as root, or with `setpriv --ambient-caps +net_raw --inh-caps +net_raw`"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
