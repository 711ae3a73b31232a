"""Stream codecs over UDP on real sockets: one codec a peer, answers from the port that was written to, bounded, and no flood through it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import structlog
from waiting import free_port, wait_until

from drivers.contract import STORED, Rejected
from drivers.lines import datagram_peers
from drivers.lines.datagram_peers import DatagramPeersLine
from drivers.registry import build_line
from drivers.supervisor import LineState, LineStatus, keep_running
from gateway.config import CallsConfig, LineConfig
from tests.lines.tiny import CODECS, STORE_DOWN, House, Store


class Peer:
    """A device on UDP. Connected: it hears only what comes from the very port that it wrote to."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.heard: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self._socket.connect(("127.0.0.1", port))

    def say(self, *datagrams: str | bytes) -> None:
        for datagram in datagrams:
            self._socket.send(datagram if isinstance(datagram, bytes) else datagram.encode())

    async def hears(self, *datagrams: bytes) -> None:
        """Exactly these, in this order, since it was last asked."""
        await wait_until(lambda: self._listen() == list(datagrams), f"{datagrams} and not {self.heard}")
        self.heard.clear()

    def _listen(self) -> list[bytes]:
        try:
            while True:
                self.heard.append(self._socket.recv(65_535))
        except BlockingIOError:
            return self.heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
async def house(a_house: Callable[..., House]) -> House:
    house = a_house(listen=f"udp:{free_port(socket.SOCK_DGRAM)}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live, "live")
    return house


@pytest.fixture
async def a_peer(house: House) -> AsyncIterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(host: str = "127.0.0.1") -> Peer:
        peers.append(Peer(line_of(house).port or 0, host))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


def line_of(house: House) -> DatagramPeersLine:
    assert isinstance(house.line, DatagramPeersLine)
    return house.line


async def test_two_peers_have_codecs_of_their_own_and_are_answered_from_the_same_port(house: House, a_peer: Callable[..., Peer]) -> None:
    one, two = a_peer(), a_peer()
    one.say("ALARM a ")  # half a message each: a shared codec would mix them
    two.say("ALARM b ")
    await wait_until(lambda: len(CODECS) == 2)
    one.say("1\n")
    two.say("2\n")
    await one.hears(b"OK 1\n")
    await two.hears(b"OK 2\n")
    assert sorted(house.store.cries) == ["a 1", "b 2"]
    assert line_of(house).connections == 2


async def test_a_message_in_datagrams_of_one_octet(house: House, a_peer: Callable[..., Peer]) -> None:
    peer = a_peer()
    peer.say(*(bytes([octet]) for octet in b"PING\nALARM a 1\n"))
    await peer.hears(b"PONG\n", b"OK 1\n")


async def test_each_receipt_is_a_datagram_of_its_own_and_follows_the_commit(house: House, a_peer: Callable[..., Peer]) -> None:
    peer = a_peer()
    house.store.may_commit.clear()
    peer.say("ALARM a 1\nALARM a 2\nPING\n")
    await wait_until(lambda: house.store.asked)
    await peer.hears(b"PONG\n")
    house.store.may_commit.set()
    await peer.hears(b"OK 1\n", b"OK 2\n")


async def test_store_down_then_back_and_the_peers_retry_is_stored(house: House, a_peer: Callable[..., Peer]) -> None:
    peer = a_peer()
    house.store.verdict = STORE_DOWN
    peer.say("ALARM a 1\n")
    await peer.hears(b"BUSY 1\n")
    house.store.verdict = STORED
    peer.say("ALARM a 1\n")
    await peer.hears(b"OK 1\n")
    assert house.store.cries == ["a 1"]


async def test_each_peers_deadlines_run(house: House, a_peer: Callable[..., Peer]) -> None:
    a_peer().say("ALARM a")
    a_peer().say("ALARM b")
    await wait_until(lambda: house.store.rejected == ["cut", "cut"])


@pytest.mark.usefixtures("a_house")
async def test_what_a_peer_would_not_repeat_outlives_a_run_of_the_line() -> None:
    port = free_port(socket.SOCK_DGRAM)
    config = LineConfig(name="tiny", codec="tiny", listen=f"udp:{port}:interface=127.0.0.1", options={"repeats": False})
    line, store, peer = build_line(config, CallsConfig()), Store(), Peer(port)
    store.verdict = STORE_DOWN
    for alarm, verdict in (("ALARM a 1\n", STORE_DOWN), ("", STORED)):
        status = LineStatus("tiny")
        task = asyncio.create_task(keep_running(line, store.emit, status))
        await wait_until(lambda status=status: status.is_live)
        if alarm:
            peer.say(alarm)
        store.verdict = verdict
        await wait_until(lambda seen=store.asked: store.asked > seen)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert store.cries == ["a 1"]
    peer.close()


async def test_a_full_table_forgets_the_one_silent_longest_but_nobody_with_unanswered_work(
    house: House, a_peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_peers, "MAX_PEERS", 2)
    waits, silent, new, late = a_peer(), a_peer(), a_peer(), a_peer()
    house.store.may_commit.clear()
    waits.say("ALARM a 1\n")
    await wait_until(lambda: house.store.asked)
    silent.say("PING\nALARM x")
    await silent.hears(b"PONG\n")
    new.say("ALARM b 2\n")  # the first is older, but waits for its receipt
    await wait_until(lambda: line_of(house).counts["forgotten"] == 1)
    late.say("ALARM c 3\n")  # and now everybody waits
    await wait_until(lambda: line_of(house).counts["dropped"] == 1)
    house.store.may_commit.set()
    await waits.hears(b"OK 1\n")
    await new.hears(b"OK 2\n")
    late.say("ALARM c 3\n")
    await late.hears(b"OK 3\n")
    silent.say(" 9\nPING\n")  # its half was forgotten with it
    await silent.hears(b"PONG\n")
    assert house.store.cries == ["a 1", "b 2", "c 3"]


async def test_a_flood_is_counted_and_told_once_and_another_hosts_alarm_passes(
    a_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_peers, "SOURCE_BURST", 20.0)
    monkeypatch.setattr(datagram_peers, "SOURCE_PER_S", 0.001)
    house = a_house(listen=f"udp:{free_port(socket.SOCK_DGRAM)}:interface=127.0.0.1")
    await wait_until(lambda: house.status.is_live)
    line = line_of(house)
    flooder, other = Peer(line.port or 0), Peer(line.port or 0, "127.0.0.2")
    with structlog.testing.capture_logs() as logged:
        for number in range(200):
            flooder.say(f"ALARM flood {number}\n")
        other.say("ALARM quiet 1\n")
        await other.hears(b"OK 1\n")
        await wait_until(lambda: line.counts["datagrams"] == 201)
    [warning] = [one for one in logged if one["event"] == "source_flooding"]
    assert (warning["log_level"], warning["line"], warning["host"]) == ("warning", "tiny", "127.0.0.1")
    await wait_until(lambda: len(house.store.cries) == 21)
    assert line.counts["flooding"] == 180
    [flooding] = [one for one in house.store.kept if isinstance(one, Rejected)]
    assert (flooding.reason, flooding.line, flooding.raw) == ("flooding", "tiny", b"ALARM flood 20\n")
    assert "127.0.0.1" in flooding.detail
    flooder.close()
    other.close()


async def test_a_codec_that_wants_to_be_rid_of_its_peer_starts_anew_with_it(house: House, a_peer: Callable[..., Peer]) -> None:
    peer = a_peer()
    peer.say("ALARM a 1\nBYE\n")
    await peer.hears(b"OK 1\n")
    await wait_until(lambda: line_of(house).connections == 0)
    peer.say("PING\n")
    await peer.hears(b"PONG\n")
    assert line_of(house).counts["hung_up"] == 1


async def test_port_in_use_is_a_lost_line(house: House, a_house: Callable[..., House]) -> None:
    second = a_house(listen=f"udp:{line_of(house).port}:interface=127.0.0.1")
    await wait_until(lambda: second.status.state is LineState.LOST)
    assert "cannot listen on udp port" in second.status.reason


async def test_a_bug_in_a_codec_restarts_the_line(house: House, a_peer: Callable[..., Peer]) -> None:
    a_peer().say(b"\xff\n")
    await wait_until(lambda: house.status.reason == "internal error (UnicodeDecodeError)")
    await wait_until(lambda: house.status.is_live)
    peer = a_peer()
    peer.say("PING\n")
    await peer.hears(b"PONG\n")
