"""The books of reporting, the same on SQLite and PostgreSQL."""

import msgspec

from gateway.clock import micros
from gateway.core.reported import Cursor, DayFound, Outgoing, ReportWrite
from gateway.event import Kind
from gateway.store.reports import ReportBooks
from gateway.store.store import Batch, Store
from tests.core.room import START, Room

AT = micros(START)


def outgoing(first: int, last: int, day: str, sent_at: int | None = AT) -> Outgoing:
    return Outgoing(name="city", first=first, last=last, day=day, seq=last * 10, at_from=AT + first, at_to=AT + last, sent_at=sent_at, lines=b"\x00z")


def test_what_left_under_which_numbers_is_found_again(store: Store) -> None:
    books = ReportBooks(store.engine)
    assert (books.cursor("city"), books.under_way("city"), books.head()) == (None, None, 0)
    cursor = Cursor(name="city", seq=20, number=2, at=AT)
    pending = outgoing(5, 6, "2026-03-15", None)
    found = DayFound(name="city", day="2026-03-14", at=AT, outcome="unequal", sent=4, received=3, lost=(2,))
    batches = (outgoing(1, 2, "2026-03-14"), outgoing(3, 4, "2026-03-14"), pending)
    store.write(Batch(reports=[ReportWrite(cursors=(cursor,), batches=batches, days=(found,))]))
    assert books.cursor("city") == cursor
    assert books.under_way("city") == pending
    assert [one.first for one in books.of_day("city", "2026-03-14")] == [1, 3]
    assert [one.first for one in books.of_time("city", AT + 2, AT + 4)] == [1, 3]
    assert list(books.of_day("city", "2026-03-15")) == [], "without a receipt it was not sent"
    assert books.days("city") == [found]
    receipt = msgspec.structs.replace(pending, sent_at=AT + 9)
    store.write(Batch(reports=[ReportWrite(cursors=(msgspec.structs.replace(cursor, number=6),), batches=(receipt,))]))
    assert (books.under_way("city"), list(books.of_day("city", "2026-03-15"))) == (None, [receipt])
    store.write(Batch(reports=[ReportWrite(forget=(("city", "2026-03-15"), ("other", "2099-01-01")))]))
    assert [one.first for one in books.of_time("city", 0, 2 * AT)] == [5]
    assert books.days("city") == []


def test_the_journal_is_read_a_page_at_a_time_with_the_incidents_it_is_about(store: Store) -> None:
    room = Room()
    room.press("w-wang", dedup="province:P-1:00ff")
    room.press("w-li", dedup="province:P-11:00ff")
    store.write(Batch(records=room.records, incidents=list(room.working.incidents.values())))
    books = ReportBooks(store.engine)
    first = books.page(0, 1)
    assert [(one.seq, one.kind, one.person) for one in first] == [(1, Kind.SOS, "wang")]
    rest = books.page(1, 1000)
    assert [one.seq for one in rest] == list(range(2, books.head() + 1))
    assert books.incidents({str(first[0].incident), "I999999", "nonsense"}) == {
        first[0].incident: next(one for one in room.working.incidents.values() if one.person == "wang")
    }
    assert books.before(AT) == 0
    assert books.before(AT + 1) == books.head()
    assert books.incident_of_identity("wearables|province:P-1:") == first[0].incident
    assert books.incident_of_identity("wearables|province:P-2:") is None
