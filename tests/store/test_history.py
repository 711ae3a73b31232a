"""Searching what is closed, on both databases: every field, newest first and page by page, text, an older database taken over, erasing."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from gateway.clock import micros
from gateway.core.incident import Flag, Incident, Leg, LegState, Outcome, Sounded, Stage, State
from gateway.core.state import Record
from gateway.event import Kind, Phase, Severity
from gateway.store import audit, history
from gateway.store.audit import AuditWanted, audited, entries_of, prove
from gateway.store.chain import Broken
from gateway.store.erase import Eraser
from gateway.store.history import Search, Wanted, latest
from gateway.store.schema import journal, meta
from gateway.store.store import Batch, Store

START = datetime(2026, 3, 1, tzinfo=UTC)
NUMBERS = count(100_001)


def closed(**more: object) -> Incident:
    number = next(NUMBERS)
    at = START + timedelta(minutes=number - 100_000)
    one = Incident(
        id=f"I{number}", key="person:p1", kind=Kind.SOS, severity=Severity.CRITICAL, state=State.CLOSED, opened_at=at, changed_at=at,
        last_event_at=at, ts=1, closed_at=at + timedelta(hours=1), outcome=Outcome.HELPED,
    )  # fmt: skip
    return msgspec.structs.replace(one, **more)


def leg(responder: str) -> Leg:
    return Leg(delivery=f"d-{responder}", responder=responder, channel="mqtt", state=LegState.DONE, ordered_at=START, reply_by=START, ts=1)


def written(one: Incident, kind: Kind, **facts: object) -> Record:
    return Record(kind=kind, at=one.opened_at, facts=msgspec.json.encode(facts), phase=Phase.STATE, incident=one.id, actor="李娜")


def found(store: Store, piece: int = 200, **wanted: object) -> list[str]:
    search, names = Search(store.engine, Wanted(**wanted)), []  # type: ignore[arg-type]
    while not search.is_done:
        names += [one.id for one in search.piece(piece)]
    return names


def test_every_field_finds_newest_first(store: Store) -> None:
    one = closed(person="p1", area="haishiwan", device="w1", sounded=(Sounded("wearables", "w2"),), owner="李娜", hotline="12349")
    two = closed(person="p2", kind=Kind.FALL, severity=Severity.MAJOR, outcome=Outcome.FALSE_ALARM, legs=(leg("station-1"), leg("station-1")))
    three = closed(caller="+8619900000001", area="pingan", owner="李娜", stages=(Stage(name="complain", at=START),), person="p1")
    store.write(Batch(incidents=[one, two, three]))
    assert found(store) == [three.id, two.id, one.id]
    for wanted, expected in (
        ({"things": (("person:p1",),)}, [three, one]),
        ({"things": (("person:p1", "person:p2"),)}, [three, two, one]),
        ({"things": (("device:w1",),)}, [one]),
        ({"things": (("device:w2",),)}, [one]),
        ({"things": (("owner:李娜",),)}, [three, one]),
        ({"things": (("owner:李娜",), ("person:p1", "person:p9"), ("device:w1",))}, [one]),
        ({"things": (("responder:station-1",),)}, [two]),
        ({"things": (("caller:+8619900000001",),)}, [three]),
        ({"things": (("person:p9",),)}, []),
        ({"kind": "fall"}, [two]),
        ({"severity": "critical"}, [three, one]),
        ({"outcome": "false_alarm"}, [two]),
        ({"hotline": "12349"}, [one]),
        ({"complaint": True}, [three]),
        ({"complaint": False}, [two, one]),
        ({"areas": ("haishiwan",)}, [two, one]),  # what has no area is given too, for the caller to judge
        ({"since": two.opened_at}, [three, two]),
        ({"until": two.opened_at}, [one]),
        ({"things": (("person:p1",),), "areas": ("pingan",), "kind": "sos"}, [three]),
        ({"things": (("person:p1",),), "kind": "fall"}, []),
    ):
        assert found(store, **wanted) == [one.id for one in expected], wanted  # type: ignore[arg-type]
        mine = [one for one in (three, two, one) if Wanted(**wanted).fits(one)]  # type: ignore[arg-type]
        assert mine == expected, wanted  # in memory as in the database


def test_page_by_page_nothing_twice_and_nothing_left_out(store: Store) -> None:
    many = [closed(person="p1", kind=(Kind.SOS, Kind.FALL)[i % 2]) for i in range(23)]
    store.write(Batch(incidents=many))
    names = [one.id for one in reversed(many)]
    assert found(store, piece=5) == names
    assert found(store, piece=5, things=(("person:p1",),)) == names
    assert found(store, piece=5, kind="fall") == [one.id for one in reversed(many) if one.kind is Kind.FALL]
    after = Search(store.engine, Wanted(), before=int(names[4][1:]))
    assert [one.id for one in after.piece(3)] == names[5:8]


def test_what_people_wrote(store: Store) -> None:
    one, two, three = closed(person="p1"), closed(person="p2"), closed(person="p1")
    records = [
        written(one, Kind.NOTE, text='她说"钥匙在邻居家", 100% 清醒'),
        written(two, Kind.RESOLVE, outcome="helped", note="Key at the neighbour's"),
        written(three, Kind.STEP, step="钥匙"),  # nobody wrote that
        written(three, Kind.NOTE, other="钥匙"),
    ]
    store.write(Batch(records=records, incidents=[one, two, three]))
    assert found(store, text="钥匙") == [one.id]
    assert found(store, text='"钥匙') == [one.id]
    assert found(store, text="100%") == [one.id]
    assert found(store, text="1%0") == []
    assert found(store, text="KEY at") == [two.id]
    assert found(store, text="note") == []  # the name of a fact is not what somebody wrote
    assert found(store, text="钥匙", things=(("person:p2",),)) == []
    assert found(store, piece=1, text="钥匙") == [one.id]


def test_opened_again_it_is_left_to_memory_and_comes_back_with_its_end(store: Store) -> None:
    one = closed(person="p1", owner="李娜")
    store.write(Batch(incidents=[one]))
    store.write(Batch(incidents=[msgspec.structs.replace(one, state=State.ACKNOWLEDGED, closed_at=None, flags=(Flag.COMPLAINT,))]))
    assert found(store) == []
    store.write(Batch(incidents=[msgspec.structs.replace(one, person="p2", owner="周敏", outcome=Outcome.REFUSED)]))
    assert found(store, things=(("owner:周敏",),)) == [one.id]
    assert found(store, things=(("person:p2",),)) == [one.id]
    assert found(store, things=(("person:p1",),)) == []  # it was somebody else's


def test_an_open_incident_is_not_on_the_list(store: Store) -> None:
    store.write(Batch(incidents=[closed(state=State.RAISED, closed_at=None, outcome=None)]))
    assert found(store) == []


def test_a_database_of_before_is_taken_over(url: str, tmp_path: Path) -> None:
    store = Store(url, tmp_path)
    store.open()
    one = closed(person="p1")
    store.write(Batch(records=[note(Kind.ACCESS), note(Kind.SENT)], incidents=[one, closed(state=State.RAISED, closed_at=None)]))
    with store.engine.begin() as connection:
        for table in (history.history, history.history_of, audit.audit):
            connection.execute(table.delete())
        connection.execute(meta.delete().where(meta.c.name.in_(("history", "audit"))))
    store.close()
    store = Store(url, tmp_path)
    store.open()
    try:
        assert found(store, things=(("person:p1",),)) == [one.id]
        assert [entry.kind for entry in audited(store.engine, AuditWanted(), None, 9)[0]] == ["access"]
    finally:
        store.close()


def test_who_is_erased_is_not_found_any_more(store: Store) -> None:
    one, other = closed(person="p1", device="w1", owner="李娜", caller="+8619900000001"), closed(person="p2")
    store.write(Batch(incidents=[one, other]))
    eraser = Eraser(store.engine)
    eraser.erase_incidents([int(one.id[1:])])
    eraser.erase_standings("p1")
    for word in ("person:p1", "device:w1", "owner:李娜", "caller:+8619900000001"):
        assert found(store, things=((word,),)) == []
    assert found(store) == [other.id, one.id]  # its figures stay
    with store.engine.connect() as connection:
        left = connection.execute(select(history.history_of.c.what)).scalars().all()
    assert left == ["person:p2"]


def test_the_latest_of_a_person(store: Store) -> None:
    many = [closed(person="p1") for _ in range(7)]
    store.write(Batch(incidents=[*many, closed(person="p2")]))
    assert [one.id for one in latest(store.engine, "person:p1", 3)] == [one.id for one in many[:3:-1]]
    assert len(list(latest(store.engine, "person:p1", 100))) == 7


def note(kind: Kind, actor: str | None = "李娜", minutes: int = 0, **facts: object) -> Record:
    return Record(kind=kind, at=START + timedelta(minutes=minutes), facts=msgspec.json.encode(facts), phase=Phase.STATE, actor=actor)


def seqs(entries: Iterable[audit.Entry]) -> list[int]:
    return [entry.seq for entry in entries]


def test_who_saw_what(store: Store) -> None:
    one = closed()
    store.write(
        Batch(
            records=[
                note(Kind.ACCESS, what="log_in"),
                note(Kind.VIEWED, minutes=1, incident="I100001", person="p1"),
                written(one, Kind.NOTE, text="of the timeline"),
                note(Kind.STARTED, None, minutes=2),
                note(Kind.EXPORTED, "王强", minutes=3, what="incidents"),
                note(Kind.NOTE, minutes=4, duty=True),
            ],
            incidents=[one],
        )
    )

    def ask(limit: int = 100, before: int | None = None, **wanted: object) -> list[int]:
        return seqs(audited(store.engine, AuditWanted(**wanted), before, limit)[0])  # type: ignore[arg-type]

    assert ask() == [6, 5, 2, 1]
    assert ask(kinds=("viewed",)) == [2]
    assert ask(kinds=("viewed", "access")) == [2, 1]
    assert ask(actor="王") == [5]
    assert ask(about="I100001") == [2]
    assert ask(since=START + timedelta(minutes=1), until=START + timedelta(minutes=4)) == [5, 2]
    assert ask(limit=2) == [6, 5]
    assert ask(before=5) == [2, 1]
    entries, following = audited(store.engine, AuditWanted(), None, 3)
    assert (seqs(entries), following) == ([6, 5, 2], 2)
    assert audited(store.engine, AuditWanted(), 2, 3)[1] is None
    assert seqs(entries_of(store.engine, START + timedelta(minutes=1), START + timedelta(minutes=3), ())) in ([2, 3, 4], [2])
    assert seqs(entries_of(store.engine, START, START + timedelta(minutes=9), ("access", "exported"))) == [1, 5]


def test_the_chain_is_proven_told_of_and_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "TOLD_EVERY", 2)
    store.write(Batch(records=[note(Kind.ACCESS, minutes=i) for i in range(7)]))
    told: list[int] = []
    assert prove(store.journal(), lambda count: told.append(count) or True) == (7, None)
    assert told == [2, 4, 6]
    assert prove(store.journal(), lambda count: count < 4) == (4, None)
    with store.engine.begin() as connection:
        connection.execute(journal.update().where(journal.c.seq == 5).values(actor="somebody else", at=micros(START)))
    assert prove(store.journal(), lambda _: True) == (4, Broken(5, "digest"))
