"""A day's reports compared with what the counterpart has: equal, or which numbers are lost, there twice, altered or unknown to us.

What is lost or altered is sent again under its own number; what is there twice, and what we never sent, only they can put right: it is told.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from gateway.clock import micros, utc_now
from gateway.core.reported import DayFound, Outgoing
from gateway.store.reports import ReportBooks
from gateway.upward.feed import digest_of, lines_of
from gateway.upward.link import Failed, Link, Reported

NAMED = 200  # numbers named of each kind; nobody reads more, and the count says how many there are
# Reports that they may have of a day beside what we sent, and be believed: each is 300 octets of our memory while we compare.
MORE_THAN_OURS = 100_000
AT_ONCE = 200  # reports sent again in one request


async def compare(books: ReportBooks, link: Link, name: str, day: str) -> tuple[DayFound, set[int]]:
    """Compare one local day; gives what was found, and all numbers that must be sent again. Raises Failed when they do not say what they have."""
    ours = await asyncio.to_thread(_ours, books, name, day)
    said = await link.summary(day)
    found = DayFound(name=name, day=day, at=micros(utc_now()), outcome="equal", sent=len(ours), received=said.count)
    if said.count == len(ours) and said.digest == _whole(ours.values()) and not said.twice:
        return found, set()
    theirs = await _theirs(link, day, limit=len(ours) + min(said.count, MORE_THAN_OURS))
    lost = {number for number in ours if number not in theirs}
    altered = {number for number, digest in ours.items() if number in theirs and theirs[number].digest != digest}
    found = msgspec.structs.replace(
        found,
        outcome="unequal",
        received=len(theirs),
        lost=_named(lost),
        twice=_named(number for number, one in theirs.items() if one.copies > 1),
        altered=_named(altered),
        unknown=_named(number for number in theirs if number not in ours),
    )
    return found, lost | altered


async def mend(books: ReportBooks, link: Link, found: DayFound, wanted: set[int]) -> DayFound:
    """Send what is lost or altered again and compare once more; the numbers found at first stay named. Raises Failed."""
    if not wanted:
        return found
    await send_again(link, found.name, _chosen(books, found, wanted))
    after, left = await compare(books, link, found.name, found.day)
    outcome = "unequal" if left or after.twice or after.unknown else "mended"
    return msgspec.structs.replace(found, outcome=outcome, received=after.received, twice=after.twice, unknown=after.unknown)


async def send_again(link: Link, name: str, reports: Iterable[tuple[int, bytes]], *, needs_receipt: bool = True) -> int:
    """Send these once more, a few at a time; gives how many. Raises Failed."""
    count = 0
    waiting: list[tuple[int, bytes]] = []
    source = iter(reports)
    while True:
        one = await asyncio.to_thread(next, source, None)
        if waiting and (one is None or len(waiting) == AT_ONCE):
            await link.post(name, waiting[0][0], waiting[-1][0], b"\n".join(line for _, line in waiting), needs_receipt=needs_receipt)
            count += len(waiting)
            waiting = []
        if one is None:
            return count
        waiting.append(one)


def of_batches(batches: Iterable[Outgoing]) -> Iterator[tuple[int, bytes]]:
    """The reports of several batches, in order."""
    for batch in batches:
        yield from lines_of(batch)


def _chosen(books: ReportBooks, found: DayFound, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in of_batches(books.of_day(found.name, found.day)) if number in wanted)


def _ours(books: ReportBooks, name: str, day: str) -> dict[int, str]:
    """Number → digest of what was sent for the day. A city's busiest day has some 100,000 of them: 15 MB for a moment."""
    return {number: digest_of(line) for number, line in of_batches(books.of_day(name, day))}


def _whole(digests: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(digest.encode() + b"\n")
    return whole.hexdigest()


async def _theirs(link: Link, day: str, limit: int) -> dict[int, Reported]:
    """What they have, report by report. `limit`: one that goes on and on without end is not believed."""
    found: dict[int, Reported] = {}
    after = 0
    while True:
        page = await link.detail(day, after)
        for one in page.reports:
            if one.number <= after:
                raise Failed("bad_receipt")
            found[one.number], after = one, one.number
        if not page.more:
            return found
        if not page.reports or len(found) > limit:
            raise Failed("bad_receipt")


def _named(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers)[:NAMED])
