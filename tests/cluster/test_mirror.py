"""How a console follows a shard: in order, without a gap, by one owner at a time; and how the pasts of all shards are laid together."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from waiting import wait_until

from gateway.bus.contract import BusDown
from gateway.bus.shard_words import DONE, DOWN, REFUSED, Answer, Beat, Told, packed
from gateway.bus.together import end
from gateway.core.incident import Incident, State
from gateway.errors import Refused, StoreDown
from gateway.event import Kind, Severity
from gateway.mirror_archive import ArchiveOfShards, SearchOfShards
from gateway.mirror_asking import Asking
from gateway.mirror_model import Found
from gateway.mirror_shards import Replica
from gateway.store.archive import Archive
from gateway.store.audit import AuditWanted
from gateway.store.history import Search
from gateway.store.reports import Entry

BEAT = Beat("c0", datetime(2026, 1, 1, tzinfo=UTC))
NOTHING = Found(incidents=[], closed=[], calls=[], seen=[], standings=[], steps=[])


class House:
    """Remembers what it was given. `reading`: called in the thread that reads."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.taken = 0
        self.reading: Callable[[], None] = lambda: None

    def read(self, _shard: int) -> Found:
        self.reading()
        return NOTHING

    def take(self, _shard: int, _found: Found) -> None:
        self.taken += 1

    def apply(self, _shard: int, told: Told) -> None:
        self.told.append((told.epoch, told.number))


def beat(epoch: int, number: int) -> Told:
    return Told(epoch, number, time.time(), BEAT)


def change(epoch: int, number: int) -> Told:
    return Told(epoch, number, time.time())


class Followed:
    """A replica at work."""

    def __init__(self) -> None:
        self.house = House()
        self.replica = Replica(3, self.house, lambda _shard: None)

    async def __aenter__(self) -> "Followed":
        self._task = asyncio.create_task(self.replica.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end([self._task])

    async def read(self, times: int) -> None:
        await wait_until(lambda: self.replica.reads == times, f"read {times} times")


async def test_what_follows_is_laid_over_and_a_beat_changes_nothing() -> None:
    async with Followed() as one:
        one.replica.heard(beat(1, 7))
        await one.read(1)
        for told in (change(1, 7), change(1, 8), beat(1, 8), change(1, 9)):
            one.replica.heard(told)
        assert one.house.told == [(1, 8), (1, 9)], "what was told before the reading is in what was read"
        await one.replica.reached(1, 9, 0)
        assert one.replica.number == 9


@pytest.mark.parametrize("late", [change(1, 10), beat(1, 9)], ids=["a change", "a beat"])
async def test_a_number_that_is_missing_makes_it_read_again(late: Told) -> None:
    async with Followed() as one:
        one.replica.heard(beat(1, 7))
        await one.read(1)
        one.replica.heard(change(1, 8))
        one.replica.heard(late)
        await one.read(2)
        assert one.house.told == [(1, 8)]
        one.replica.heard(change(1, late.number + 1))
        assert one.house.told == [(1, 8), (1, late.number + 1)]


async def test_a_new_owner_is_read_again_and_the_old_one_is_not_heard_any_more() -> None:
    async with Followed() as one:
        one.replica.heard(beat(1, 7))
        await one.read(1)
        one.replica.heard(beat(2, 0))
        await one.read(2)
        one.replica.heard(change(1, 8))
        one.replica.heard(change(2, 1))
        assert one.house.told == [(2, 1)]


async def test_what_is_told_while_it_reads_is_laid_over_what_it_read() -> None:
    async with Followed() as one:
        loop = asyncio.get_running_loop()

        def reading() -> None:
            if one.replica.reads == 0:
                for told in (change(4, 2), change(4, 3)):
                    asyncio.run_coroutine_threadsafe(_hear(one.replica, told), loop).result(5)

        one.house.reading = reading
        one.replica.heard(change(4, 1))
        await one.read(1)
        assert one.house.told == [(4, 2), (4, 3)]


async def test_a_gap_while_it_reads_loses_nothing_of_what_comes_after() -> None:
    async with Followed() as one:
        loop = asyncio.get_running_loop()

        def reading() -> None:
            if one.replica.reads == 0:
                for told in (change(4, 5), change(4, 6)):
                    asyncio.run_coroutine_threadsafe(_hear(one.replica, told), loop).result(5)

        one.house.reading = reading
        one.replica.heard(change(4, 1))
        await one.read(2)
        assert one.house.told == [(4, 6)], "5 is in what was read the second time"
        assert one.replica.number == 6


async def _hear(replica: Replica, told: Told) -> None:
    replica.heard(told)


async def test_a_reading_that_began_before_the_owner_was_heard_does_not_count() -> None:
    async with Followed() as one:
        loop = asyncio.get_running_loop()

        def reading() -> None:
            if one.replica.reads == 0:
                asyncio.run_coroutine_threadsafe(_hear(one.replica, change(4, 9)), loop).result(5)

        one.house.reading = reading
        await one.read(2)
        one.replica.heard(change(4, 10))
        assert (one.house.taken, one.house.told) == (2, [(4, 10)])


async def test_a_shard_that_cannot_be_read_is_tried_again() -> None:
    async with Followed() as one:
        faults = iter([ValueError("a row nobody can read")])

        def reading() -> None:
            for fault in faults:
                raise fault

        one.house.reading = reading
        one.replica.heard(beat(1, 1))
        await one.read(1)
        assert one.house.taken == 1


# --- asking ----------------------------------------------------------------------------------------------------------


class Owners:
    """A bus with a list of answers: one a question. An exception: nobody answers."""

    def __init__(self, *answers: Answer | BusDown) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, bytes]] = []

    async def ask(self, subject: str, body: bytes, _timeout_s: float) -> bytes:
        self.asked.append((subject, body))
        answer = self.answers.pop(0) if self.answers else BusDown("nobody")
        if isinstance(answer, BusDown):
            raise answer
        return packed(answer)


async def _at_once(_shard: int, _epoch: int, _number: int, _timeout_s: float) -> None:
    return


async def test_a_question_waits_for_the_new_owner_and_is_the_same_each_time() -> None:
    owners: Any = Owners(BusDown("nobody"), Answer(DOWN, reason="shard 2 has another owner by now"), Answer(DONE, packed("done")))
    assert await Asking(owners, _at_once).ask(2, "command", "wish", str) == "done"
    assert owners.asked == [("shard.2.command", packed("wish"))] * 3


async def test_a_refusal_comes_as_it_was_and_an_empty_shard_says_so() -> None:
    refused: Any = Owners(Answer(REFUSED, reason="already_acknowledged", status=409, facts={"by": "Li Na"}))
    with pytest.raises(Refused) as no:
        await Asking(refused, _at_once).ask(0, "command", "wish", str)
    assert (no.value.reason, no.value.status, no.value.facts) == ("already_acknowledged", 409, {"by": "Li Na"})
    nobody: Any = Owners()
    with pytest.raises(StoreDown, match="shard 0 has no core"):
        await Asking(nobody, _at_once).ask(0, "command", "wish", str, patience_s=0.5)
    assert len(nobody.asked) > 1


# --- the pasts -------------------------------------------------------------------------------------------------------


def incident(number: int) -> Incident:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    facts: Any = {"kind": Kind.SOS, "severity": Severity.CRITICAL, "opened_at": at, "changed_at": at, "last_event_at": at, "ts": 0, "key": "k"}
    return Incident(id=f"I{number}", state=State.CLOSED, **facts)


class ShardSearch(Search):
    """Numbers of one shard, newest first."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._left = sorted(numbers, reverse=True)
        self.before = None
        self.looked_to = None
        self.is_done = not numbers

    def piece(self, limit: int = 2) -> list[Incident]:
        some, self._left = self._left[:2], self._left[2:]
        self.before = some[-1] if some else self.before
        self.is_done = not self._left
        return [incident(number) for number in some]


@pytest.mark.parametrize("shards", [[[9, 6, 3], [8, 5, 2, 1], []], [[1], [2], [3]], [[], []], [[9, 8, 7, 6, 5], [1]]])
def test_a_search_over_all_shards_is_newest_first_and_whole(shards: list[list[int]]) -> None:
    search, found, befores = SearchOfShards([ShardSearch([n + 100_000 for n in numbers]) for numbers in shards], None), [], []
    while not search.is_done:
        piece = [int(one.id[1:]) - 100_000 for one in search.piece()]
        found += piece
        if not search.is_done and piece:
            befores.append(all(n >= int(search.before or 0) - 100_000 for n in piece))
    found += [int(one.id[1:]) - 100_000 for one in search.piece()]
    assert found == sorted((n for numbers in shards for n in numbers), reverse=True)
    assert all(befores), "whoever goes on from `before` sees nothing twice"


class Audits(Archive):
    """Entries of one shard's list."""

    def __init__(self, times: Sequence[int]) -> None:
        self._list = [
            Entry(seq=n, at=at, kind="note", phase="state", person=None, incident=None, actor="Li Na", facts="{}") for n, at in enumerate(times)
        ]

    def audited(self, wanted: AuditWanted, before: int | None, limit: int) -> tuple[list[Entry], int | None]:
        until = wanted.until.timestamp() * 1_000_000 if wanted.until is not None else float("inf")
        mine = [one for one in reversed(self._list) if one.at < until and (before is None or one.seq < before)]
        return mine[:limit], mine[limit - 1].seq if len(mine) > limit else None


def test_who_did_what_in_all_shards_page_by_page() -> None:
    times = [[1_000, 3_000, 4_000, 9_000], [2_000, 3_000, 5_000, 6_000, 7_000], []]
    archive = ArchiveOfShards([Audits(one) for one in times], lambda _name: 0)
    assert list(_pages(archive)) == sorted((at for one in times for at in one), reverse=True)


def _pages(archive: Archive) -> Iterator[int]:
    before: int | None = None
    while True:
        rows, before = archive.audited(AuditWanted(), before, 3)
        assert len(rows) <= 3
        yield from (one.at for one in rows)
        if before is None:
            return
