"""A copy of a stream that lacks messages: what a reader on it skips is missed, found by another reader, and done once."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from cluster.cluster import Postgres
from cluster.test_review_cluster import Nats, Reading, cry, opened, sessions_of
from cluster.test_serving import NAMES, bus_at, three
from servers import until
from waiting import wait_until

from drivers.contract import STORED, Rejected, Verdict
from gateway import edge
from gateway.bus import follower as reading
from gateway.bus.contract import Envelope, Message, Refusal, Shorter
from gateway.bus.follower import ELSEWHERE, Follower
from gateway.bus.heard import EDGES_LIMIT, KNOWN, Heard
from gateway.bus.nats_bus import FAULTS, NatsBus, is_led
from gateway.bus.together import end
from gateway.edge import Lane, _Waiting
from gateway.event import Event
from gateway.inbox import Submission
from gateway.metrics import Metrics

ROUNDS = 15
CUT_S = (4.0, 12.0, 16.0)  # a leader who hears nobody gives up after ten seconds
FIRST, SECOND = "01a2-first", "01a2-second"


def said(number: int, edge: str = "north", life: str = FIRST) -> Envelope:
    word = f"{edge} {life} {number}"
    return Envelope(edge, time.time(), (), (Refusal("frame", word.encode(), edge, None, ""),), life, number)


@pytest.mark.parametrize(
    ("before", "envelope", "missing"),
    [
        pytest.param([], said(7), 0, id="an edge that was never heard of is believed"),
        pytest.param([said(7)], said(8), 0, id="the next"),
        pytest.param([said(7)], said(7), KNOWN, id="the same again"),
        pytest.param([said(7)], said(2), KNOWN, id="an earlier one"),
        pytest.param([said(7)], said(11), 3, id="three are missing"),
        pytest.param([said(7)], said(1, life=SECOND), 0, id="it was started again"),
        pytest.param([said(7)], said(3, life=SECOND), 2, id="it was started again, and its first two are missing"),
        pytest.param([said(1, life=SECOND)], said(9), 0, id="an earlier life is not judged"),
        pytest.param([said(7)], said(3, edge="south"), 0, id="another edge counts for itself"),
        pytest.param([said(7)], said(0), 0, id="not counted"),
    ],
)
def test_what_is_missing(before: list[Envelope], envelope: Envelope, missing: int) -> None:
    heard = Heard()
    for one in before:
        heard.take(one)
    assert Heard.of_text(heard.text()).missing(envelope) == missing


def test_an_earlier_life_does_not_take_the_place_of_a_later_one() -> None:
    heard = Heard()
    for one in (said(4, life=SECOND), said(9), said(0, life="zz")):
        heard.take(one)
    assert heard.missing(said(5, life=SECOND)) == 0
    assert heard.missing(said(4, life=SECOND)) == KNOWN


def test_it_stays_small() -> None:
    heard = Heard()
    for number in range(EDGES_LIMIT + 10):
        heard.take(said(1, edge=f"edge {number}"))
    assert heard.text().count("edge ") == EDGES_LIMIT


class _Copies:
    """Each reader lives on the next copy of the stream, which has these messages and no others."""

    def __init__(self, *copies: list[Envelope]) -> None:
        self.copies = copies
        self.readers = 0

    async def follow(self, shard: int, after: int, made: int) -> AsyncIterator[Message]:
        copy = self.copies[min(self.readers, len(self.copies) - 1)]
        self.readers += 1
        for sequence, envelope in enumerate(copy, 1):
            if sequence > after:
                yield Message(sequence, envelope)
        await asyncio.Event().wait()

    async def span(self, shard: int) -> tuple[int, int]:
        return 1, 99


class _House:
    """What arrives, and what is told to be lost."""

    def __init__(self, bus: _Copies, heard: Heard | None = None) -> None:
        self.words: list[str] = []
        self.lost: list[int] = []
        self.follower = Follower(0, bus, self._receive, lambda _: None, self._keep, 60.0, self._lost, heard)  # type: ignore[arg-type]

    async def _receive(self, content: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        self.words += [one.raw.decode().removeprefix("north 01a2-") for one in content if isinstance(one, Rejected)]
        return [STORED for _ in content]

    async def _keep(self, _: bool) -> bool:
        return True

    async def _lost(self, _position: int, messages: int) -> None:
        self.lost.append(messages)


async def read(house: _House, after: int, last: str) -> list[str]:
    running = asyncio.create_task(house.follower.run(after, 0))
    try:
        await wait_until(lambda: last in house.words and not house.follower.under_way, f"{last} is on disk")
    finally:
        await end([running])
    return house.words


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AGAIN_S", 0.0)


async def test_what_one_copy_lacks_is_read_from_another_before_what_follows_it() -> None:
    whole = [said(number) for number in range(1, 9)]
    house = _House(_Copies([*whole[:3], *whole[5:]], whole))
    assert await read(house, 0, "first 8") == [f"first {number}" for number in range(1, 9)]
    assert (house.lost, house.follower.reread) == ([], 1)


async def test_a_reader_that_moves_to_a_copy_with_other_numbers_skips_nothing() -> None:
    """Its last owner read up to the fifth message of a whole copy; the next reader's copy lacks two before that, and has the eighth as its sixth."""
    whole = [said(number) for number in range(1, 10)]
    heard = Heard()
    for one in whole[:5]:
        heard.take(one)
    house = _House(_Copies([*whole[:1], *whole[3:]], whole), heard)
    assert await read(house, 5, "first 9") == ["first 6", "first 7", "first 8", "first 9"]
    assert house.lost == []


async def test_what_comes_again_is_not_done_again() -> None:
    one, two = said(1), said(2)
    house = _House(_Copies([one, two, one, two, said(3)]))
    assert await read(house, 0, "first 3") == ["first 1", "first 2", "first 3"]


async def test_what_no_copy_has_is_told_once_and_does_not_hold_up_the_rest() -> None:
    bus = _Copies([said(1), said(4), said(5)])
    house = _House(bus)
    assert await read(house, 0, "first 5") == ["first 1", "first 4", "first 5"]
    assert house.lost == [2]
    assert bus.readers == ELSEWHERE + 1


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[Nats]:
    found = Nats(tmp_path)
    found.server.start()
    yield found
    found.server.kill()


async def test_the_end_of_what_an_edge_said_is_said_again(nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    """So its last message is missed, too; and who has said nothing has no end to tell."""
    monkeypatch.setattr(edge, "MARKS_S", (0.01, 0.02))
    bus = await nats.bus()
    lane, silent = Lane(0, "north", bus), Lane(0, "south", bus)
    running = [asyncio.create_task(one.run()) for one in (lane, silent)]
    read = Reading(bus)
    try:
        for number in (1, 4):
            answer: asyncio.Future[list[Verdict]] = asyncio.get_running_loop().create_future()
            assert lane.put(_Waiting(cry(number), Submission(1, answer), 0, Metrics().books("wearables")))
            await until(lambda number=number: len(read.found) == number + 2, "the cry, and its end twice")  # type: ignore[misc]
    finally:
        await end(running)
        await read.end()
        await bus.close()
    envelopes = [message.envelope for message in read.found]
    assert [(one.edge, one.number, len(one.events)) for one in envelopes] == [("north", n, int(n in (1, 4))) for n in range(1, 7)]
    assert len({one.life for one in envelopes}) == 1


async def test_what_was_heard_is_kept_with_the_position(tmp_path: Path) -> None:
    """Also by tables of a gateway that did not know of it."""
    postgres = Postgres(tmp_path)
    postgres.start()
    try:
        await until(postgres.answers, "PostgreSQL answers")
        first = opened(postgres, tmp_path)
        with first.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE ownership DROP COLUMN heard")
        first.close()
        await until(lambda: not sessions_of(postgres), "nobody has the shard")
        store = opened(postgres, tmp_path)
        assert store.ownership.heard == ""
        heard = Heard()
        heard.take(said(7))
        store.ownership.position, store.ownership.heard = 9, heard.text()
        store.probe()
        store.close()
        await until(lambda: not sessions_of(postgres), "nobody has the shard")
        heir = opened(postgres, tmp_path)
        assert heir.ownership.position == 9
        assert Heard.of_text(heir.ownership.heard).missing(said(8)) == 0
        assert Heard.of_text(heir.ownership.heard).missing(said(10)) == 2
        heir.close()
    finally:
        postgres.kill(signal.SIGINT)


async def _leader(bus: NatsBus) -> str:
    """Of the stream, as soon as somebody says."""
    async with asyncio.timeout(120):
        while True:
            try:
                info = await bus._js.stream_info("gateway-0")
                if is_led(info):
                    return str(info.cluster.leader)
            except FAULTS:
                pass
            await asyncio.sleep(0.2)


async def _follow(house: _House, bus: NatsBus) -> None:
    """As a core does (gateway.cores)."""
    after = 0
    while True:
        try:
            await house.follower.run(after, await bus.made(0))
        except Shorter:
            after = (await bus.span(0))[0] - 1


async def _cry(lane: Lane, confirmed: dict[str, int]) -> None:
    """Fifty a second, each confirmed before the books count it."""
    metrics = Metrics()
    while True:
        confirmed[lane._name] += 1
        word = f"{lane._name} {confirmed[lane._name]}"
        answer: asyncio.Future[list[Verdict]] = asyncio.get_running_loop().create_future()
        assert lane.put(_Waiting(Rejected(reason="frame", raw=word.encode(), line="wearables"), Submission(1, answer), 0, metrics.books("wearables")))
        await asyncio.sleep(0.02)  # a pace, no waiting for anything


@pytest.mark.campaign
async def test_nothing_is_skipped_while_one_leader_after_the_other_is_cut_off(tmp_path: Path) -> None:
    """On real servers, for some minutes: what was confirmed to two edges is read once each, in the order of each edge, whatever the copies lack."""
    async with three(tmp_path) as (wires, servers):
        buses = [await bus_at(servers[name], tmp_path) for name in NAMES]
        lanes = [Lane(0, edge, bus) for edge, bus in zip(("north", "south"), buses, strict=False)]
        house = _House(buses[2])  # type: ignore[arg-type]
        tasks = [asyncio.create_task(one) for one in (*(lane.run() for lane in lanes), _follow(house, buses[2]))]
        confirmed = {lane._name: 0 for lane in lanes}
        tasks += [asyncio.create_task(_cry(lane, confirmed)) for lane in lanes]
        try:
            for round_ in range(ROUNDS):
                leader = await _leader(buses[2])
                others = [name for name in NAMES if name != leader]
                wires.part(leader, others)
                await asyncio.sleep(CUT_S[round_ % len(CUT_S)])  # the fault itself
                wires.join(leader, others)
                await until(lambda: not any(lane.is_stuck for lane in lanes), "the bus keeps again", 120)
                assert not [task.exception() for task in tasks if task.done()]
            await end(tasks[3:])
            await until(lambda: not any(lane.waiting for lane in lanes), "everything is confirmed", 120)
            await until(lambda: all(f"{edge} {number}" in house.words for edge, number in confirmed.items()), "the last of each is read", 120)
        finally:
            await end(tasks)
            for bus in buses:
                await bus.close()
    for name in confirmed:
        mine = [word for word in house.words if word.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(1, len(mine) + 1)]
    assert house.lost == []
    print(f"{len(house.words)} messages, {ROUNDS} cuts, read again {house.follower.reread} times, none lost, none twice, all in order")
