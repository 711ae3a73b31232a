"""The store, the same on SQLite and PostgreSQL: what was written is there, nothing is there twice, and every change shows."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from servers import free_port
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import utc_now
from gateway.core.incident import Action
from gateway.core.state import Call, Draft, Edge, Record, Refusal, Seen, WorkingSet
from gateway.errors import StoreBroken
from gateway.event import Kind, Phase, Position
from gateway.store.chain import Broken
from gateway.store.store import CACHE_KIB, READING_CACHE_KIB, Batch, KnownAlready, Store
from tests.core.room import START, Room


def tamper(url: str, statement: str, **values: object) -> list[Any]:
    """Behind the gateway's back."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []
    finally:
        engine.dispose()


def record(number: int, dedup: str | None = None, raw: bytes = b"\x00\xff") -> Record:
    return Record(kind=Kind.SOS, at=START, facts=f'{{"n":{number}}}'.encode(), line="wearables", device="w-1", dedup=dedup, raw=raw)


def told(room: Room) -> Batch:
    return Batch(records=room.records, incidents=list(room.working.incidents.values()))


def test_what_was_written_is_restored(store: Store, url: str, tmp_path: Path) -> None:
    room = Room()
    room.press("w-wang", position=Position(lat=36.3, lon=102.8, fixed_at=START), raw=b"\x00raw")
    room.press("w-li")
    call = Call(key="pbx|c1", line="pbx", state=Kind.CALL_OFFERED, at=START, detail={"call": "c1", "caller": "+86138"}, persons=("wang",))
    store.write(msgspec.structs.replace(told(room), calls=[(call.key, call)]))
    store.checkpoint([("wearables|w-wang", Seen(at=utc_now(), battery_pct=80.0, firmware="1.2"))])
    store.close()

    again = Store(url, tmp_path)
    again.open()
    found = again.load()
    assert {incident.id: incident for incident in found.incidents} == room.working.incidents
    assert found.calls == [call]
    assert found.next_number == room.working.next_number
    assert (found.opened, found.closed) == (2, 0)
    kept = dict(found.seen)["wearables|w-wang"]
    assert (kept.battery_pct, kept.firmware) == (80.0, "1.2")
    assert again.verify() == (len(room.records), None)
    again.write(Batch(records=[record(1)]))
    assert again.verify() == (len(room.records) + 1, None)
    again.close()


def test_the_working_set_after_a_restart_goes_on_where_it_was(store: Store) -> None:
    room = Room()
    room.press("w-wang", dedup="1")
    store.write(told(room))
    found = store.load()
    working = WorkingSet(room.working.register)
    working.restore(found.incidents, found.calls, found.known, found.seen, found.standings)
    assert working.load == room.working.load
    assert working.by_delivery == room.working.by_delivery
    assert working.by_key == room.working.by_key
    assert Draft(working).is_known("wearables|1")


def test_what_devices_told_since_a_time_is_read_back_oldest_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    room.press("w-wang", raw=b"old")
    room.now += timedelta(hours=1)
    room.press("w-wang", raw=b"\x00first", kind_raw="AL bit 16", detail={"text": "help"})
    room.call(Kind.CALL_OFFERED, "+8617400000009")
    room.event(Kind.SOS, "w-li", phase=Phase.TEST)
    room.event(Kind.SOS, "w-wang", phase=Phase.REPEAT)
    room.event(Kind.SOS, "w-wang", phase=Phase.CLEAR)
    store.write(told(room))
    found = store.told(START + timedelta(minutes=1))
    assert [(one.device, one.phase, one.raw) for one in found] == [
        ("w-wang", Phase.RAISE, b"\x00first"),
        ("w-wang", Phase.REPEAT, b""),
        ("w-wang", Phase.CLEAR, b""),
    ]
    assert (found[0].line, found[0].kind_raw, found[0].detail, found[0].received_at) == ("wearables", "AL bit 16", {"text": "help"}, room.now)
    assert len(store.told(START)) == 4
    assert store.told(room.now + timedelta(seconds=1)) == []
    monkeypatch.setattr("gateway.store.store.TOLD_AT_MOST", 2)
    assert [one.phase for one in store.told(START)] == [Phase.REPEAT, Phase.CLEAR], "the newest"


def test_a_state_is_written_with_the_event_that_tells_it_or_not_at_all(store: Store) -> None:
    burning = Seen(at=utc_now(), edges=(Edge("smoke", True, START), Edge("zone 5@005", False, START)))
    store.write(Batch(records=[record(1, "a")], seen=[("wearables|w-1", burning)]))
    assert store.load().seen == [("wearables|w-1", burning)]
    clear = msgspec.structs.replace(burning, edges=())
    with pytest.raises(KnownAlready):
        store.write(Batch(records=[record(2, "a")], seen=[("wearables|w-1", clear)]))
    assert store.load().seen == [("wearables|w-1", burning)]
    store.write(Batch(records=[record(2, "b")], seen=[("wearables|w-1", clear)]))
    assert store.load().seen == [("wearables|w-1", clear)]


def test_a_closed_incident_is_not_restored_and_still_found(store: Store) -> None:
    room = Room()
    room.press("w-wang")
    name = room.only.id
    for action, facts in ((Action.ACKNOWLEDGE, {}), (Action.RESOLVE, {"outcome": "test"}), (Action.CALL_BACK, {})):
        room.do(action, name, **facts)
    store.write(told(room))
    found = store.load()
    assert found.incidents == []
    assert (found.opened, found.closed) == (1, 1)
    closed = store.incident(name)
    assert closed is not None
    assert closed.outcome == "test"
    assert [row.kind for row in store.timeline(name)] == room.kinds(name)


def test_the_same_identity_is_never_stored_twice(store: Store) -> None:
    store.write(Batch(records=[record(1, "a"), record(2, "b")]))
    with pytest.raises(KnownAlready) as known:
        store.write(Batch(records=[record(3, "c"), record(4, "b")]))
    assert known.value.identities == {"b"}
    store.write(Batch(records=[record(3, "c")]))
    assert store.verify() == (3, None)


def test_a_batch_is_there_whole_or_not_at_all(store: Store) -> None:
    room = Room()
    room.press("w-wang")
    bad = msgspec.structs.replace(room.only, id="I99999999999999999999999")  # no column takes such a number
    with pytest.raises((SQLAlchemyError, OverflowError)):
        store.write(Batch(records=[record(1)], incidents=[room.only, bad]))
    store.probe()
    assert store.verify() == (0, None)
    assert store.load().incidents == []


def test_a_call_that_is_over_is_gone(store: Store) -> None:
    call = Call(key="k", line="pbx", state=Kind.CALL_OFFERED, at=START, detail={})
    store.write(Batch(calls=[("k", call)]))
    store.write(Batch(calls=[("k", None)]))
    assert store.load().calls == []


def test_rejected_messages_are_kept_as_they_came(store: Store, url: str) -> None:
    store.write(Batch(refusals=[Refusal(at=START, line="wearables", reason="bad_json", device="w\x00\udcff", detail="x", raw=b"\x00{")]))
    (row,) = tamper(url, "select reason, raw from rejected")
    assert (row.reason, bytes(row.raw)) == ("bad_json", b"\x00{")


@pytest.mark.parametrize(
    ("damage", "seq", "reason"),
    [
        ("update journal set facts = '{}' where seq = 3", 3, "digest"),
        ("update journal set at = at + 1 where seq = 2", 2, "digest"),
        ("update journal set incident = 'I1' where seq = 4", 4, "digest"),
        ("delete from journal where seq = 2", 2, "gap"),
        ("update journal set chain = digest where seq = 5", 5, "chain"),
    ],
)
def test_verify_names_the_first_broken_entry(store: Store, url: str, damage: str, seq: int, reason: str) -> None:
    store.write(Batch(records=[record(n) for n in range(1, 6)]))
    assert store.verify() == (5, None)
    tamper(url, damage)
    assert store.verify() == (seq - 1, Broken(seq, reason))


def test_a_flipped_byte_of_the_raw_message_is_found(store: Store, url: str) -> None:
    store.write(Batch(records=[record(n, raw=bytes((n, 0, 255))) for n in range(1, 4)]))
    tamper(url, "update journal set raw = :raw where seq = 2", raw=bytes((2, 1, 255)))
    assert store.verify() == (1, Broken(2, "digest"))


def test_one_writer_only(store: Store, url: str, tmp_path: Path) -> None:
    second = Store(url, tmp_path)
    with pytest.raises(StoreBroken, match="another gateway"):
        second.open()
    second.close()


def test_a_schema_of_another_version_is_refused(store: Store, url: str, tmp_path: Path) -> None:
    store.close()
    tamper(url, "update meta set value = '99' where name = 'schema'")
    late = Store(url, tmp_path)
    with pytest.raises(StoreBroken, match="schema 99"):
        late.open()
    late.close()


def test_devices_silent_for_ninety_days_are_forgotten(store: Store, url: str, tmp_path: Path) -> None:
    store.checkpoint([("old", Seen(at=utc_now() - timedelta(days=91))), ("young", Seen(at=utc_now()))])
    store.close()
    again = Store(url, tmp_path)
    again.open()
    assert [device for device, _ in again.load().seen] == ["young"]
    again.close()


def test_looking_makes_nothing_and_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    Store("sqlite:///gateway.db", tmp_path / "var")
    assert not (tmp_path / "var").exists()
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreBroken, match=r"cannot write in the folder .*gateway\.data"):
        Store("sqlite:///gateway.db", tmp_path / "file" / "var").open()


def test_a_database_that_is_away_is_told_in_one_line() -> None:
    with pytest.raises(StoreBroken) as told:
        Store(f"postgresql://somebody:secret@127.0.0.1:{free_port()}/gateway", Path()).open()
    text = str(told.value)
    assert text.startswith("cannot open postgresql://somebody:***@127.0.0.1:")
    assert "refused" in text
    assert "\n" not in text
    assert "sqlalche.me" not in text


def test_only_who_writes_keeps_pages_in_memory(tmp_path: Path) -> None:
    """The pool's connections each fill their cache in a long reading and let go of nothing: it must be small. So also after the writer's was lost."""
    opened = Store("sqlite:///gateway.db", tmp_path)
    opened.open()
    try:
        for _ in range(2):
            writing = opened._writing()
            with ExitStack() as several:
                reading = [several.enter_context(opened.engine.connect()) for _ in range(4)]
                assert [one.exec_driver_sql("PRAGMA cache_size").scalar() for one in reading] == [-READING_CACHE_KIB] * 4
            assert writing.exec_driver_sql("PRAGMA cache_size").scalar() == -CACHE_KIB
            writing.rollback()
            opened._drop_connection()
    finally:
        opened.close()
