"""Providers → what the console shows of them: life, agreement, stars, score, what stands against them, what they carry. No personal data."""

from collections.abc import Mapping
from datetime import datetime

from gateway.console.views import Json, kind_name
from gateway.core.provider_matters import PROPOSED
from gateway.core.providers import MOVES, LookUp, bare_without, grade_of, local_day, look_up, may_work, state_of
from gateway.core.register import Register
from gateway.core.services import Services
from gateway.core.state import SERVICE_POOL
from gateway.core.territory import Provider, Standing


def provider_row(
    register: Register, services: Services, standings: Mapping[str, Standing], load: Mapping[str, int], row: Provider, now: datetime
) -> Json:
    """One provider. why_not: why it may not be sent to alarms or to any of its services now, "" when it may; score: None = not counted yet."""
    find = look_up(standings, now)
    mine = register.responders.get(row.id)
    state = state_of(register, find, row.id)
    why = {may_work(register, find, mine, now, service) for service in row.services or ("",)} if mine is not None else {"no_responder"}
    score, proposal = find(f"score:{row.id}"), find(f"proposal:{row.id}")
    left = (row.until - local_day(now)).days if row.until is not None else None
    return {
        "id": row.id,
        "name": mine.name if mine is not None else row.id,
        "kind": mine.kind if mine is not None else None,
        "kind_name": kind_name(register, row.id),
        "state": state,
        "moves": sorted(MOVES[state]) if state is not None else [],
        "why_not": min(why) if "" not in why else "",
        "since": row.since,
        "until": row.until,
        "days_left": left,
        "areas": mine.areas if mine is not None else (),
        "services": [{"code": code, "name": services.name_of(code)} for code in row.services],
        "urgent": row.urgent,
        "response_min": row.response_min,
        "grade": _grade(register, find, row, now),
        "points": row.points,
        "score": float(score.value) if score is not None else None,
        "sample": score.detail.get("sample") if score is not None else None,
        "scored_at": score.at if score is not None else None,
        "ruled": ruled_view(find(f"provider:{row.id}")),
        "frozen": ruled_view(find(f"frozen:{row.id}")),
        "blocked": ruled_view(find(f"blocked:{row.id}")) or ({"value": row.blocked, "by": "providers.csv"} if row.blocked else None),
        "proposal": ruled_view(proposal) if proposal is not None and proposal.value == PROPOSED else None,
        "capacity": mine.capacity if mine is not None else 0,
        "load": {"alarms": load.get(row.id, 0), "services": load.get(f"{row.id}|{SERVICE_POOL}", 0)},
    }


def provider_detail(
    register: Register, services: Services, standings: Mapping[str, Standing], load: Mapping[str, int], row: Provider, now: datetime
) -> Json:
    """The row, with what nobody else could serve without it, and what was decided of the last proposal."""
    find = look_up(standings, now)
    bare, areas = bare_without(register, find, row.id, now), register.areas
    last = find(f"proposal:{row.id}")
    return {
        **provider_row(register, services, standings, load, row, now),
        "leaves_bare": {"area": bare[0], "area_name": areas[bare[0]].name if bare[0] in areas else bare[0], "what": bare[1]} if bare else None,
        "last_proposal": ruled_view(last),
    }


def ruled_view(standing: Standing | None) -> Json | None:
    """What was ruled, by whom, when and why."""
    if standing is None:
        return None
    view: Json = {"value": standing.value, "by": standing.actor, "at": standing.at, "reason": standing.reason, "until": standing.until}
    return view | ({"detail": standing.detail} if standing.detail else {})


def _grade(register: Register, find: LookUp, row: Provider, now: datetime) -> Json | None:
    """Stars with scale, assessor and days; share: of the highest there is, None when they are not valid any more."""
    share = grade_of(register, find, row.id, local_day(now))
    ruled = find(f"grade:{row.id}")
    if ruled is not None:
        facts = {name: ruled.detail.get(name) for name in ("scale", "assessor", "on")}
        return {"stars": float(ruled.value), **facts, "until": ruled.until, "share": share}
    if row.grade is None:
        return None
    return {"stars": row.grade, "scale": row.scale, "assessor": row.assessor, "on": row.graded_on, "until": row.grade_until, "share": share}
