"""What was, as plain JSON values: a row of a closed incident, the story of one person or device. Masked as every list; reads the archive."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain, islice

from gateway.console.reader import Reader
from gateway.console.views import Json, incident_row, short_person, to_second
from gateway.core.incident import Incident, Outcome
from gateway.core.register import Register
from gateway.event import ALARM_KINDS, Kind
from gateway.store.archive import Archive
from gateway.store.history import is_complained, things_of

TREND = timedelta(days=90)
TREND_AT_MOST = 500  # incidents looked at for a trend, 30 ms of a thread; a device that cries more often is one that runs away
SHOWN = 10
FALLS = frozenset((Kind.FALL, Kind.FALL_SUSPECTED))


def history_row(register: Register, one: Incident, now: datetime) -> Json:
    """A row of the queue, with how it ended."""
    return incident_row(register, one, now) | {
        "outcome": one.outcome,
        "closed_at": to_second(one.closed_at) if one.closed_at else None,
        "complaint": is_complained(one),
        "satisfaction": one.satisfaction,
    }


def story_of(register: Register, reader: Reader, archive: Archive, open_ones: Iterable[Incident], thing: str, now: datetime, but: str = "") -> Json:
    """The newest incidents of "person:<id>" or "device:<address>" that this reader may see (but one), and what was with them in ninety days.

    arrival_min: from the alarm until somebody was there, on average, of `arrivals`; None: nobody ever was.
    """
    field, _, name = thing.partition(":")
    mine = sorted((one for one in open_ones if thing in things_of(one)), key=lambda one: -int(one.id[1:]))
    names = {one.id for one in mine}
    past = (one for one in archive.latest(thing, TREND_AT_MOST) if one.id not in names)
    found = [one for one in chain(mine, past) if one.id != but and one.merged_into is None and reader.sees(register, one)]
    lately = [one for one in found if one.opened_at >= now - TREND]
    arrivals = [
        (there - one.opened_at).total_seconds() / 60
        for one in lately
        if one.kind in ALARM_KINDS and (there := min((leg.arrived_at for leg in one.legs if leg.arrived_at), default=None)) is not None
    ]
    person = register.persons.get(name) if field == "person" else None
    return {
        "of": field,
        "id": name,
        "person": short_person(register, person, now) if person else None,
        "days": TREND.days,
        "incidents": len(lately),
        "falls": sum(one.kind in FALLS for one in lately),
        "false_alarms": sum(one.outcome is Outcome.FALSE_ALARM for one in lately),
        "complaints": sum(is_complained(one) for one in lately),
        "arrival_min": round(sum(arrivals) / len(arrivals), 1) if arrivals else None,
        "arrivals": len(arrivals),
        "latest": [history_row(register, one, now) for one in islice(found, SHOWN)],
    }
