"""Watched persons → what a reader may see of them, as plain JSON values: masked for everybody, the person's record is opened elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice

from gateway.console.reader import Reader
from gateway.console.seam import JournalRow
from gateway.console.views import Json, mask_name, mask_numbers, short_person
from gateway.core.account import AccountRole
from gateway.core.incident import Incident
from gateway.core.missed import is_missed
from gateway.core.state import WorkingSet
from gateway.core.watched import Absence, Watched

STATES = ("missed", "absent", "well")  # what may be asked for
PAGE = 100  # rows of one answer, about 40 KB
ANYBODY = Reader(name=None, role=AccountRole.LOCAL)


def some_of(
    working: WorkingSet, missed: Mapping[str, Incident], start: int, now: datetime, state: str = "", reader: Reader = ANYBODY
) -> tuple[list[Json], int | None]:
    """One page and where the next begins: who is missed first, then who is away, then whose interval began first. 50 ms of a thread for 22,000."""

    def place(one: Watched) -> tuple[int, datetime, str]:
        person = one.person.id
        return (0 if person in missed else 1 if one.state.absence is not None else 2), one.state.since, person

    ranks = {"missed": (0,), "absent": (1,), "well": (2,)}.get(state, (0, 1, 2))
    mine = (one for one in working.watch.by_person.values() if reader.covers(working.register, one.person.area))
    ordered = sorted((one for one in mine if place(one)[0] in ranks), key=place)
    rows = [watched_row(working, one, missed.get(one.person.id), now) for one in islice(ordered, start, start + PAGE)]
    return rows, start + PAGE if len(ordered) > start + PAGE else None


def counts_of(working: WorkingSet, missed: Mapping[str, Incident], reader: Reader = ANYBODY) -> Json:
    """How many persons of the reader's areas are watched, absent, missed."""
    mine = [one for one in working.watch.by_person.values() if reader.covers(working.register, one.person.area)]
    absent = sum(one.state.absence is not None for one in mine)
    gone = sum(one.person.id in missed for one in mine)
    return {"watched": len(mine) - absent - gone, "absent": absent, "missed": gone}


def missed_by_person(incidents: Iterable[Incident]) -> dict[str, Incident]:
    """The incident of everybody who gives no sign of life."""
    return {incident.person: incident for incident in incidents if incident.person is not None and is_missed(incident)}


def watched_row(working: WorkingSet, one: Watched, incident: Incident | None, now: datetime) -> Json:
    """One person of the list. due_at: when the check-in will be missed (never right after a start); none while it is, or they are away."""
    state = one.state
    absence = state.absence
    is_waited_for = absence is None and incident is None
    return {
        "person": short_person(working.register, one.person, now),
        "rules": one.rules.name,
        "state": "missed" if incident is not None else "absent" if absence is not None else "well",
        "last_sign": state.sign or None,
        "last_sign_at": state.sign_at,
        "due_at": max(one.due(state), working.due.get(one.name) or now, now) if is_waited_for else None,
        "absent": absent_view(absence) if absence is not None else None,
        "incident": incident.id if incident is not None else None,
    }


def absent_view(absence: Absence) -> Json:
    """Since when and until when somebody is away, and who said so, masked."""
    return {"since": absence.since, "until": absence.until, "by": absence.by, "name": mask_name(absence.name)}


def part_of(working: WorkingSet, incident: Incident, rows: Sequence[JournalRow], now: datetime, hotlines: Iterable[str] = ()) -> Json | None:
    """What the detail of an incident says of the watch over its person; None: nobody watches."""
    one = working.watch.by_person.get(incident.person or "")
    if one is None:
        return None
    missed = incident if is_missed(incident) else None
    told = next((row.facts.get("detail") for row in reversed(rows) if row.kind == "missed_checkin" and row.phase == "raise"), None)
    path_out = told.get("path_out") if isinstance(told, Mapping) and missed is not None else None
    row = watched_row(working, one, missed, now)
    if one.state.absence is not None:
        row["absent"] = absent_view(one.state.absence) | {"note": mask_numbers(one.state.absence.note, hotlines)}
    return {**row, "path_out": path_out, "ladder": _ladder(working, incident, rows)}


def _ladder(working: WorkingSet, incident: Incident, rows: Sequence[JournalRow]) -> Json | None:
    """The steps: done, skipped, next or later; what came of each and when; why the next one is put off."""
    rules = working.watch.rules.get(incident.watch) if incident.watch else None
    if rules is None:
        return None
    taken = {row.facts["reason"]: row for row in rows if row.kind == "escalate" and str(row.facts.get("reason")).startswith("ladder_")}
    waits = next((row for row in reversed(rows) if row.kind == "remind" and row.facts.get("reason") == "ladder_waits"), None)
    steps: list[Json] = []
    for number, step in enumerate(rules.steps):
        row = taken.get(f"ladder_{step}")
        result = row.facts.get("result") if row is not None else None
        due_at = incident.deadlines.get(f"ladder:{number}")
        state = "later"
        if row is not None:
            state = "skipped" if str(result).startswith("no_") else "done"
        elif due_at is not None:
            state = "next"
        why = waits.facts.get("why") if waits is not None and state == "next" and waits.facts.get("step") == step else None
        steps.append({"step": step, "state": state, "result": result, "at": row.at if row is not None else None, "due_at": due_at, "why": why})
    return {"steps": steps}
