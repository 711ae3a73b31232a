"""Corrections on disk: written with their journal entry, read back as they were, and erased with the person they tell of."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from gateway.core.corrections import Correction, CorrectionWrite, End, Level, RecordKind, What
from gateway.core.state import Record
from gateway.event import Kind, Phase
from gateway.store import corrections
from gateway.store.erase import Eraser
from gateway.store.store import Batch, Store

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
SECRET = "+8617400000077"


def correction(number: int, person: str, what: What = What.CHANGED, **more: object) -> Correction:
    given: dict[str, object] = {"kind": RecordKind.PERSONS, "key": person, "by": "李娜", "role": "operator", "level": Level.COMMUNITY, "at": NOW}
    given |= {"reason": "来电", "person": person, "before": {"phones": SECRET}}
    return Correction(number=number, what=what, **(given | more))  # type: ignore[arg-type]


def entry(one: Correction) -> Record:
    facts = msgspec.json.encode({"key": one.key, "before": one.before})
    return Record(kind=Kind.CORRECTED, phase=Phase.STATE, at=NOW, facts=facts, actor=one.by, person=one.person)


def test_written_with_their_entry_and_erased_with_their_person(tmp_path: Path) -> None:
    store = Store("sqlite:///gateway.db", tmp_path)
    assert corrections.load(store.engine) == []
    store.open()
    some = [correction(1, "p1", cells={"phones": "1"}), correction(2, "p1", What.REMOVED), correction(3, "p2", cells={"phones": "2"})]
    store.write(Batch(records=[entry(one) for one in some], corrections=[CorrectionWrite(tuple(some))]))
    assert corrections.load(store.engine) == some
    ended = msgspec.structs.replace(some[2], ended=End.TAKEN_BACK, ended_at=NOW, ended_by="李娜")
    store.write(Batch(records=[entry(ended)], corrections=[CorrectionWrite((ended,))]))
    assert corrections.load(store.engine)[2] == ended

    eraser = Eraser(store.engine)
    ranges = eraser.entries_of("p1", [])
    store.write(
        Batch(records=[Record(kind=Kind.PURGED, phase=Phase.STATE, at=NOW, facts=msgspec.json.encode({"what": "content", "ranges": ranges}))])
    )
    eraser.erase_entries(ranges)
    eraser.erase_corrections("p1")
    left = corrections.load(store.engine)
    assert [(one.number, one.key, one.what) for one in left] == [(2, "p1", What.REMOVED), (3, "p2", What.CHANGED)]
    assert SECRET not in str(left[0])  # only that this id is to be no more, else the next file would bring them back
    assert all(SECRET not in str(row.facts) for row in store.journal() if row.seq <= 2)
    assert store.verify()[1] is None

    assert eraser.erase_corrections_until(NOW) == 0
    assert eraser.erase_corrections_until(NOW + timedelta(days=1)) == 1
    store.write(Batch(records=[entry(some[0])], corrections=[CorrectionWrite((), (2,))]))
    assert corrections.load(store.engine) == []
    store.close()
