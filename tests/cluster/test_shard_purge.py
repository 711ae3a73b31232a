"""Erasing in several shards, without processes: a run outlives its answers, and what was not done is said by its shard."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.bus.shard_words import packed
from gateway.core.register import Register
from gateway.errors import Refused, StoreDown
from gateway.mirror_asking import Asking
from gateway.retention import Counts, Retention
from gateway.shard_purge import Runs, Wanted, purge_all


class Work(Retention):
    """Erases when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun = 0
        self.fails = False

    async def old(self, actor: str) -> Counts:
        assert actor == "the clerk"
        self.begun += 1
        await self.may_end.wait()
        if self.fails:
            raise StoreDown("no room")
        return Counts(entries=3)

    async def person(self, person: str, register: Register, actor: str, reason: str) -> Counts:
        return Counts(incidents=1)


class House:
    def __init__(self) -> None:
        self.retention: Retention = Work()
        self.register = Register()


class Shards(Asking):
    """answers: by shard, called with what is asked."""

    def __init__(self, *answers: Callable[[Wanted], Counts]) -> None:
        self.answers = answers
        self.asked: list[tuple[int, bool]] = []

    async def ask(self, shard: int, verb: str, wanted: Any, kind: Any, *, patience_s: float = 0.0) -> Any:
        self.asked.append((shard, wanted.only_look))
        return self.answers[shard](wanted)


def down(_: Wanted) -> Counts:
    raise StoreDown("shard 1 has no core at the moment; try again")


def refused(reason: str, **facts: Any) -> Callable[[Wanted], Counts]:
    def answer(_: Wanted) -> Counts:
        raise Refused(reason, 409, **facts)

    return answer


async def test_two_who_wait_for_the_same_run_hear_why_it_failed() -> None:
    house = House()
    work = house.retention
    assert isinstance(work, Work)
    runs = Runs(house, lambda: None)
    work.fails = True
    work.may_end.set()
    body = packed(Wanted("k", "the clerk"))
    told = await asyncio.gather(runs.answer(body), runs.answer(body), return_exceptions=True)
    assert [str(one) for one in told] == ["no room", "no room"]
    assert work.begun == 1


async def test_who_asks_again_hears_of_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.shard_purge.WAIT_S", 0.01)
    house, forgotten = House(), []
    work = house.retention
    assert isinstance(work, Work)
    runs = Runs(house, lambda: forgotten.append(1))
    wanted = packed(Wanted("key", "the clerk"))
    assert await runs.answer(wanted) is None
    assert await runs.answer(wanted) is None
    work.may_end.set()
    assert await runs.answer(wanted) == await runs.answer(wanted) == Counts(entries=3)
    assert (work.begun, forgotten) == (1, [])
    assert await runs.answer(packed(Wanted("other", "the clerk", "asked", "p-1"))) == Counts(incidents=1)
    assert forgotten == [1]
    work.fails = True
    for begun in (2, 3):  # a run that failed is tried again
        with pytest.raises(StoreDown):
            await runs.answer(packed(Wanted("failing", "the clerk")))
        assert work.begun == begun
    work.may_end.clear()
    assert await runs.answer(packed(Wanted("last", "the clerk"))) is None
    await runs.close()


async def test_counts_are_of_all_shards_and_who_did_not_answer_is_named() -> None:
    some = Shards(lambda _: Counts(entries=1, seen=2), lambda _: Counts(entries=4))
    assert await purge_all(some, 2, "the clerk") == Counts(entries=5, seen=2)
    with pytest.raises(StoreDown, match=r"^shard 1: it has no core at the moment; try again; the other 1 have answered\. Start the cores"):
        await purge_all(Shards(lambda _: Counts(), down), 2, "the clerk")


async def test_a_person_is_forgotten_everywhere_or_nowhere() -> None:
    one, two = refused("still_open", incidents=["I100002"]), refused("still_open", incidents=["I100001", "I100003"])
    for answers, reason, incidents in (
        ((lambda _: Counts(), down), None, None),
        ((refused("still_registered", person="p-1"), one), "still_open", ["I100002"]),
        ((two, one), "still_open", ["I100001", "I100002", "I100003"]),
    ):
        asked = Shards(*answers)  # type: ignore[arg-type]
        with pytest.raises((StoreDown, Refused)) as found:
            await purge_all(asked, 2, "the clerk", "p-1", "asked for it")
        assert {is_look for _, is_look in asked.asked} == {True}, "nothing was erased"
        if isinstance(found.value, Refused):
            assert (found.value.reason, found.value.facts.get("incidents")) == (reason, incidents)
