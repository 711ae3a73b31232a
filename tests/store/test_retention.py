"""What was kept long enough is erased, and the chain holds all the same; what nobody told of as erased is a forgery."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from waiting import WAIT_S

from gateway.config.retention import RetentionConfig
from gateway.core.incident import Action
from gateway.core.matters import on_ruling
from gateway.core.register import Register
from gateway.core.standing import Ruling
from gateway.core.state import Draft, Record, Seen
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.event import Kind, Phase
from gateway.retention import Purge, Retention
from gateway.store.chain import Broken
from gateway.store.erase import PIECE
from gateway.store.store import Batch, Store
from tests.core.room import START, Room
from tests.store.test_store import tamper

DAY = timedelta(days=1)
NOBODY = Register()


async def unsee(_: object) -> int:
    return 0


def two_lives(store: Store) -> Room:
    """Wang's incident, over and closed, and Li's, still open; two years ago. Wang's number is said in a call."""
    room = Room()
    room.press("w-wang", raw=b"bytes of wang", dedup="1", detail={"heard": "a word"})
    room.call(Kind.CALL_OFFERED, "+8613800000001")
    room.press("w-li", raw=b"bytes of li", dedup="2")
    wang = next(one for one in room.working.open_incidents if one.person == "wang").id
    room.do(Action.ACKNOWLEDGE, wang)
    room.do(Action.NOTE, wang, text="she sat on the floor")
    room.do(Action.RESOLVE, wang, outcome="helped")
    room.do(Action.CALL_BACK, wang, satisfaction=5)
    store.write(Batch(records=room.records, incidents=list(room.working.incidents.values())))
    store.checkpoint([("person:wang", Seen(at=START)), ("wearables|w-wang", Seen(at=START)), ("wearables|w-li", Seen(at=START))])
    return room


def purge(store: Store, **config: Any) -> Purge:
    def tell(actor: str, facts: Any) -> None:
        store.write(Batch(records=[Record(kind=Kind.PURGED, phase=Phase.STATE, at=START + 700 * DAY, facts=msgspec.json.encode(facts), actor=actor)]))

    return Purge(store, RetentionConfig(**config), tell)


def everything(url: str) -> str:
    """All that is in the database, as text."""
    tables = ("journal", "incident", "call", "last_seen", "rejected", "standing")
    return "".join(str(tamper(url, f"select * from {table}")) for table in tables)


def test_a_person_is_forgotten_and_the_chain_holds(store: Store, url: str, tmp_path: Path) -> None:
    two_lives(store)
    wang = [one for one in store.load().incidents if one.person == "wang"]
    assert wang == [], "only open ones are loaded"
    before, _ = store.verify()
    counts = purge(store).person("wang", NOBODY, "the clerk", "asked for it")
    assert (counts.incidents, counts.seen) == (1, 2)
    assert store.verify() == (before + 1, None)
    left = everything(url)
    for trace in ("wang", "she sat on the floor", "bytes of wang", "a word"):
        assert trace not in left
    for stays in ("w-li", "bytes of li", "asked for it"):
        assert stays in left
    again = Store(url, tmp_path)
    store.close()
    again.open()
    found = again.load()
    assert [one.person for one in found.incidents] == ["li"]
    assert (found.opened, found.closed) == (2, 1), "the books still count the incident"
    assert again.told(START - DAY)[0].device == "w-li", "what a line takes up after a start passes over what is erased"
    counts = purge(again).person("wang", NOBODY, "the clerk", "twice")
    assert (counts.entries, counts.incidents) == (0, 0)
    again.close()


def test_who_was_taken_for_somebody_else_is_forgotten_there_too(store: Store, url: str) -> None:
    """Li's incident was once merged with Wang's and was thought to be Wang's: that goes, Li's own story stays."""
    room = Room()
    room.press("w-li", raw=b"bytes of li")
    (li,) = room.working.open_incidents
    room.do(Action.ACKNOWLEDGE, li.id)
    room.do(Action.RESOLVE, li.id, outcome="helped")
    room.do(Action.CALL_BACK, li.id, satisfaction=5)
    mixed_up = msgspec.structs.replace(room.working.incidents[li.id], candidates=("li", "wang"))
    linked = Standing(key="family_link:wang:0", value="given", at=START, actor="Li Na")
    mapped = Standing(key="platform_person:city:77", value="wang", at=START, actor="city")
    other = Standing(key="platform_person:city:78", value="li", at=START, actor="city")
    warned = Draft(room.working)
    fallen = {"value": 1.5, "facts": {"week": 3, "month": 3}}
    on_ruling(warned, Ruling(key="risk:repeat_faller:wang", value="raised", actor="gateway", detail=fallen), START)
    on_ruling(warned, Ruling(key="risk_seen:repeat_faller:wang", value="seen", actor="Li Na", reason="visit on Monday"), START)
    warnings = [one for one in warned.standings.written.values() if one is not None]
    assert len(warnings) == 2
    store.write(Batch(records=[*room.records, *warned.records], incidents=[mixed_up], standings=[linked, mapped, other, *warnings]))
    purge(store).person("wang", NOBODY, "the clerk", "asked for it")
    assert "wang" not in everything(url)
    assert "visit on Monday" not in everything(url)
    found = store.incident(li.id)
    assert found is not None
    assert (found.person, found.candidates) == ("li", ("li", "erased"))
    assert "bytes of li" in everything(url)
    assert "city:78" in everything(url)
    assert store.verify()[1] is None


@pytest.mark.parametrize(("stopped", "jumped", "trusts"), [(0, 0, True), (30, 0.5, True), (32, 0, False), (0, 2, False), (0, -2, False)])
def test_a_clock_that_jumped_erases_nothing(tmp_path: Path, stopped: float, jumped: float, trusts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set to a year to come, by a dead battery or a wrong time server, it would make everything older than every period."""

    async def note(*_: object, **__: object) -> None: ...

    retention = Retention(Store("sqlite:///gateway.db", tmp_path), RetentionConfig(), note, lambda _: None, unsee)
    began, ticks = retention.began
    retention.stopped_at = began - stopped * DAY
    monkeypatch.setattr("gateway.retention.utc_now", lambda: began + (90 + jumped) * DAY)
    monkeypatch.setattr("gateway.retention.monotonic", lambda: ticks + 90 * 86400)
    assert retention.trusts_clock() is trusts


@pytest.mark.parametrize("word", ["sos", "raise", "1", "station", "Li Na", ""])
def test_a_word_that_is_nobodys_id_erases_nothing(store: Store, url: str, word: str) -> None:
    """Mentions are found by the word alone: a slip of the pen must not cost the journal."""
    two_lives(store)
    before = everything(url)
    counts = purge(store).person(word, NOBODY, "the clerk", "a slip of the pen")
    assert (counts.entries, counts.incidents) == (0, 0)
    assert everything(url) == before


def test_who_is_spoken_of_in_an_open_incident_is_not_forgotten(store: Store) -> None:
    """It would be written back from memory with the incident's next change."""
    room = Room()
    room.press("w-li")
    (li,) = room.working.open_incidents
    store.write(Batch(records=room.records, incidents=[msgspec.structs.replace(li, candidates=("li", "wang"))]))
    store.checkpoint([("person:wang", Seen(at=START))])
    with pytest.raises(Refused) as refused:
        purge(store).person("wang", NOBODY, "the clerk", "asked for it")
    assert (refused.value.reason, refused.value.facts["incidents"]) == ("still_open", [li.id])


async def test_a_gateway_that_stops_does_not_wait_for_what_is_left_to_erase(tmp_path: Path) -> None:
    """A first run may take hours; the thread ends with the task, and so does one that waits for its entry in the journal."""
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    store.write(Batch(records=[Record(kind=Kind.SOS, at=START - 2000 * DAY, facts=b"{}", raw=b"old") for _ in range(5 * PIECE)]))
    noted = asyncio.Event()
    answers = [True, False]  # the first entry is written, the second never

    async def note(*_: object, **__: object) -> None:
        noted.set()
        if not answers.pop(0):
            await asyncio.get_running_loop().create_future()

    for _ in range(2):
        noted.clear()
        running = asyncio.create_task(Retention(store, RetentionConfig(), note, lambda _: None, unsee).old("gateway"))
        await noted.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    async with asyncio.timeout(WAIT_S):
        await asyncio.get_running_loop().shutdown_default_executor()
    left = [row for row in tamper(f"sqlite:///{tmp_path}/gateway.db", "select raw from journal") if bytes(row[0]) == b"old"]
    assert left
    store.close()


def test_figures_of_an_erased_incident_stay(store: Store) -> None:
    room = two_lives(store)
    was = next(one for one in room.working.incidents.values() if one.person == "wang")
    purge(store).person("wang", NOBODY, "the clerk", "asked for it")
    is_ = store.incident(was.id)
    assert is_ is not None
    kept = ("id", "kind", "severity", "state", "opened_at", "closed_at", "area", "outcome", "satisfaction", "cries")
    assert [getattr(is_, name) for name in kept] == [getattr(was, name) for name in kept]
    assert (is_.person, is_.device, is_.legs, is_.owner, is_.position) == (None, None, (), None, None)


def test_who_is_registered_or_in_need_is_not_forgotten(store: Store) -> None:
    room = two_lives(store)
    with pytest.raises(Refused) as refused:
        purge(store).person("li", NOBODY, "the clerk", "asked for it")
    assert refused.value.reason == "still_open"
    with pytest.raises(Refused) as refused:
        purge(store).person("wang", room.working.register, "the clerk", "asked for it")
    assert refused.value.reason == "still_registered"
    with pytest.raises(Refused) as refused:
        purge(store).person("wang", NOBODY, "the clerk", " ")
    assert refused.value.reason == "missing_reason"


def test_periods(store: Store, url: str) -> None:
    """Raw bytes go first, then what entries say; of an incident that is still open nothing goes."""
    two_lives(store)
    proven, _ = store.verify()
    young = purge(store, raw_days=100, journal_days=800).old(START + 90 * DAY)
    assert (young.raw, young.entries) == (0, 0)
    store.write(Batch(records=[Record(kind=Kind.SOS, at=START - 200 * DAY, facts=b'{"of":"yore"}', raw=b"old bytes")]))
    some = purge(store, raw_days=100, journal_days=800).old(START)
    assert (some.raw, some.entries) == (1, 0)
    assert "old bytes" not in everything(url)
    assert '"of":"yore"' in everything(url)
    more = purge(store, raw_days=50, journal_days=100).old(START)
    assert more.entries == 1
    assert "yore" not in everything(url)
    late = purge(store, raw_days=1, journal_days=1, incident_days=1, seen_days=1).old(START + 700 * DAY)
    assert (late.entries, late.raw) == (0, 0), "Li's incident is open, and began before all the others' entries"
    assert (late.incidents, late.seen) == (1, 3)
    assert "bytes of li" in everything(url)
    assert store.verify() == (proven + 3, None)


def test_an_erasure_that_nobody_told_of_is_a_forgery(store: Store, url: str) -> None:
    two_lives(store)
    eraser = purge(store)._eraser
    eraser.erase_entries([(2, 3)])
    proven, broken = store.verify()
    assert broken == Broken(2, "erased")
    assert proven == store.load().opened + len(list(store.journal())) - 2
    tamper(url, 'update journal set facts = \'{"erased":"00"}\' where seq = 1')
    assert store.verify() == (0, Broken(1, "digest"))


@pytest.mark.parametrize("column", ["kind = 'fall'", "at = at + 1", "incident = 'I9'", "line = 'x'", "person = 'li'", "actor = 'x'"])
def test_what_stays_of_an_erased_entry_is_still_proven(store: Store, url: str, column: str) -> None:
    two_lives(store)
    purge(store).person("wang", NOBODY, "the clerk", "asked for it")
    seq = tamper(url, "select min(seq) from journal where facts like '{\"erased\":%'")[0][0]
    tamper(url, f"update journal set {column} where seq = {seq}")
    assert store.verify() == (seq - 1, Broken(seq, "digest"))
