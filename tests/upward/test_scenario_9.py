"""Scenario 9 of the requirements: the municipal database is down for six hours.

What a supervisor sees: every order leaves as if nothing were wrong; "reports to the city wait, 6 h" and a number that grows; when the city is
back the number falls to nought within minutes, and the day's reconciliation says "equal".
"""

from pathlib import Path

import pytest

from gateway.upward.reconcile import compare, mend
from tests.upward.told import SECRET, StoredRoom, Told, city, counterpart

DEVICES = ("w-wang", "w-li")


async def six_hours(room: StoredRoom, told: Told | None) -> None:
    """An alarm every fifteen minutes, from the press to the call back."""
    for number in range(24):
        await room.story(DEVICES[number % 2], told)


def orders(room: StoredRoom) -> list[object]:
    """What left, without the ids that are made up anew each time."""
    return [(one["to"], one["channel"], one["kind"], one["ts"], one.get("reply_by")) for one in room.orders]


async def test_the_city_is_down_for_six_hours(tmp_path: Path) -> None:
    with StoredRoom(tmp_path / "alone") as alone:
        await alone.story("w-zhao")
        await six_hours(alone, None)
    with StoredRoom(tmp_path / "told") as room:
        async with city(room) as there, Told(room, counterpart(there.port)) as told:
            await room.story("w-zhao")
            await told.drain()
            before = len(there.copies)
            assert before >= 8, "it is told of everything while it is there"
            await there.stop()
            await six_hours(room, told)
            assert orders(room) == orders(alone), "orders leave as in a house that reports to nobody, to the millisecond"
            assert len(there.copies) == before
            assert told.feed.failing == "unreachable"
            assert 300 < told.turns < 2000, "it is tried again and again, and not in a hurry"
            assert told.feed.lag_s() == pytest.approx(6 * 3600, rel=0.1)
            assert told.feed.lag_entries(room.books.head()) > 200
            waiting = room.books.under_way("city")
            assert waiting is not None
            assert waiting.first == before + 1, "one batch waits; the rest is the journal itself"
            await there.start()
            await told.drain()
            assert sorted(there.copies) == list(range(1, len(there.copies) + 1)), "no number is missing"
            assert [len(lines) for lines in there.copies.values()] == [1] * len(there.copies)
            assert (there.conflicts, there.unsigned, told.feed.failing, told.feed.lag_s()) == ([], 0, "", 0.0)
            told_of = {report["incident"] for report in there.reports if report["kind"] == "resolve"}
            assert len(told_of) == len(room.working.incidents) + (
                room.working.closed - sum(not one.is_open for one in room.working.incidents.values())
            )
            for day in sorted({report["day"] for report in there.reports}):
                found, wanted = await compare(room.books, told.link, "city", day)
                assert (found.outcome, found.sent, wanted) == ("equal", found.received, set())


async def test_a_lost_and_a_duplicated_report_are_found_and_named(tmp_path: Path) -> None:
    with StoredRoom(tmp_path) as room:
        async with city(room, lose={4}, double={9}) as there, Told(room, counterpart(there.port, batch=5)) as told:
            await room.story("w-wang")
            await told.drain()
            assert told.feed.cursor is not None
            assert told.feed.cursor.number == len(there.copies) + 1, "it gave a receipt for what it lost"
            day = there.reports[0]["day"]
            found, wanted = await compare(room.books, told.link, "city", day)
            assert (found.outcome, found.lost, found.twice, found.altered, found.unknown) == ("unequal", (4,), (9,), (), ())
            assert wanted == {4}
            mended = await mend(room.books, told.link, found, wanted)
            assert (mended.outcome, mended.lost, mended.twice) == ("unequal", (4,), (9,)), "what is there twice only they can put right"
            assert 4 in there.copies, "what was lost is there now, under its own number"
            del there.copies[9][1]
            found, wanted = await compare(room.books, told.link, "city", day)
            assert (found.outcome, found.lost, found.twice) == ("equal", (), ())
            there.copies[2] = [there.copies[2][0].replace(b'"number":2', b'"number":2 ')]
            there.copies[5000] = [there.copies[1][0]]
            found, wanted = await compare(room.books, told.link, "city", day)
            assert (found.altered, found.unknown) == ((2,), (5000,))


async def test_whoever_answers_with_nonsense_gave_no_receipt(tmp_path: Path) -> None:
    """The lesson of a store-and-forward that logged "sent" while nobody had it."""
    with StoredRoom(tmp_path) as room:
        async with city(room, nonsense=2, refuse=1) as there, Told(room, counterpart(there.port)) as told:
            await room.story("w-wang")
            for reason in ("http_503", "bad_receipt", "bad_receipt"):
                assert await told.feed.turn() > 0
                assert (told.feed.failing, told.feed.sent, told.feed.cursor.number) == (reason, 0, 0)  # type: ignore[union-attr]
            await told.drain()
            assert told.feed.cursor.number == len(there.copies) == told.feed.sent  # type: ignore[union-attr]
            assert dict(told.feed.failures) == {"http_503": 1, "bad_receipt": 2}


async def test_with_another_secret_nothing_is_taken(tmp_path: Path) -> None:
    with StoredRoom(tmp_path) as room:
        async with city(room) as there, Told(room, counterpart(there.port), secret=SECRET[::-1]) as told:
            room.press("w-wang")
            await told.feed.turn()
            assert (told.feed.failing, there.copies, there.unsigned) == ("http_401", {}, 1)
