"""How HEP packets leave: UDP datagrams, or one TCP connection that is made again and again. Neither ever waits for the other side.

What cannot leave is dropped and counted: telephony goes on, and the newest call matters more than the oldest.
"""

import contextlib
import errno
import os
import select
import socket
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

MAX_WAITING = 4 * 1024 * 1024  # bytes for a TCP peer that is away or slow: some thousand messages, a minute of a large exchange
RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
CONNECT_S = 10.0
SEND_BUFFER = 1024 * 1024


class Target(NamedTuple):
    """udp:HOST:PORT or tcp:HOST:PORT, found out already."""

    kind: str
    family: int
    address: tuple[object, ...]


def parse_target(text: str) -> Target:
    """Raises ValueError that says what is wrong with it."""
    kind, _, rest = text.partition(":")
    host, colon, port = rest.rpartition(":")
    if kind not in ("udp", "tcp") or not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is no target; write udp:HOST:PORT or tcp:HOST:PORT, for instance udp:127.0.0.1:9060 or udp:[::1]:9060")
    wanted = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=wanted)[0]
    except OSError as error:
        raise ValueError(f"{host} has no address ({error.strerror or error}); write the address itself") from None
    return Target(kind, family, address)


class Sender(Protocol):
    """counts: hep_sent, hep_dropped."""

    counts: Counter[str]

    def send(self, packet: bytes, now: float) -> None:
        """Let it leave, or drop and count it."""
        ...

    def work(self, now: float) -> None:
        """Go on with what waits. `now` is monotonic seconds."""
        ...

    @property
    def waiting(self) -> int:
        """Bytes that have not left yet."""
        ...

    def wait(self, seconds: float) -> None:
        """Until something can be done, at most so long."""
        ...

    def close(self) -> None: ...


def open_sender(target: Target, tell: Callable[[str], None]) -> Sender:
    """The sender of this kind; TCP connects when it has something to do. tell: takes one line when the target is lost, and one when it is back."""
    return UdpSender(target) if target.kind == "udp" else TcpSender(target, tell)


class UdpSender:
    """Nobody need listen: then the kernel tells with a later datagram that an earlier one was refused."""

    waiting = 0

    def __init__(self, target: Target) -> None:
        self.counts: Counter[str] = Counter()
        self._socket = socket.socket(target.family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._socket.connect(target.address)

    def send(self, packet: bytes, now: float) -> None:  # noqa: ARG002
        for _ in range(2):  # the first may only bring the news of an earlier one's end
            try:
                self._socket.send(packet)
            except ConnectionRefusedError:
                self.counts["hep_refused"] += 1
            except OSError:
                break
            else:
                self.counts["hep_sent"] += 1
                return
        self.counts["hep_dropped"] += 1

    def work(self, now: float) -> None: ...

    def wait(self, seconds: float) -> None:
        select.select([], [], [], seconds)

    def close(self) -> None:
        self._socket.close()


class TcpSender:
    """Packets back to back; a connection lost in the middle of one begins anew with the next whole packet."""

    def __init__(self, target: Target, tell: Callable[[str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._target = target
        self._tell = tell
        self._is_lost = False  # told, and not yet back
        self._socket: socket.socket | None = None
        self._is_connected = False
        self._queue: list[bytes] = []
        self._sent = 0  # octets of the first of the queue that have left
        self._failures = 0
        self._retry_at = 0.0
        self._give_up_at = 0.0
        self.waiting = 0

    def send(self, packet: bytes, now: float) -> None:
        if self.waiting + len(packet) > MAX_WAITING:
            self.counts["hep_dropped"] += 1
        else:
            self._queue.append(packet)
            self.waiting += len(packet)
        self.work(now)

    def work(self, now: float) -> None:
        if self._socket is None:
            if now < self._retry_at:
                return
            self._connect(now)
        if self._socket is None or not self._is_up(now):
            return
        done = 0
        try:
            for packet in self._queue:
                sent = self._socket.send(packet[self._sent :])
                self.waiting -= sent
                self._sent += sent
                if self._sent < len(packet):
                    break
                self._sent = 0
                done += 1
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost(now, error.strerror or str(error))
        del self._queue[:done]
        self.counts["hep_sent"] += done

    def wait(self, seconds: float) -> None:
        if self._socket is not None and self._queue:
            select.select([], [self._socket], [], seconds)
        else:
            select.select([], [], [], seconds)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _connect(self, now: float) -> None:
        self._socket = socket.socket(self._target.family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._is_connected = False
        self._give_up_at = now + CONNECT_S
        code = self._socket.connect_ex(self._target.address)
        if code not in (0, errno.EINPROGRESS):
            self._lost(now, os.strerror(code))

    def _is_up(self, now: float) -> bool:
        assert self._socket is not None
        if self._is_connected:
            # the gateway never says anything: whatever can be read is the end of the connection
            with contextlib.suppress(BlockingIOError):
                try:
                    if self._socket.recv(4096):
                        return True
                    self._lost(now, "it has hung up")
                except ConnectionError as error:
                    self._lost(now, error.strerror or str(error))
            return self._socket is not None
        if select.select([], [self._socket], [], 0)[1]:
            if code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._lost(now, os.strerror(code))
                return False
            self._is_connected, self._failures = True, 0
            if self._is_lost:
                self._is_lost = False
                self._tell(f"{self._where} takes packets again; {self.counts['hep_dropped']} were dropped so far")
            return True
        if now >= self._give_up_at:
            self._lost(now, f"no answer within {CONNECT_S:g} s")
        return False

    @property
    def _where(self) -> str:
        host, port = self._target.address[:2]
        return f"tcp:[{host}]:{port}" if ":" in str(host) else f"tcp:{host}:{port}"

    def _lost(self, now: float, reason: str) -> None:
        assert self._socket is not None
        if not self._is_lost:  # the edge, not each try
            self._is_lost = True
            self._tell(f"{self._where} cannot be reached ({reason.lower()}); trying again and again: is the gateway running, and --to its hep line?")
        self._socket.close()
        self._socket = None
        self.counts["hep_connections_lost"] += 1
        self._retry_at = now + RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        self.waiting += self._sent  # a packet sent in part is sent again whole: the receiver has dropped the rest with the connection
        self._sent = 0
