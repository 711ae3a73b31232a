"""What the devices that cried are told: taken, coming, over. Follows from the incident's state wherever that changes, so no action can forget it.

A telling whose state is pending is the outbox (gateway.dispatch.tellings delivers it). It decides nothing: help comes whether a watch
could be told or not. Under duress nothing is told: no display may light up beside whoever threatens the person (event model, kinds).
"""

from collections.abc import Set
from datetime import datetime

import msgspec

from gateway.core.incident import COMING, INFORMED, Incident, Sounded, State, Telling
from gateway.event import ALARM_KINDS, Kind

TAKEN, COMING_WORD, OVER, PROMPT = "taken", "coming", "over", "prompt"
_ORDER = ("", TAKEN, COMING_WORD, OVER)  # what is told only ever advances, until the next cry
SOUNDED = 8  # devices of one incident that are told; a home has two or three
KEPT = 32  # tellings that an incident remembers, the oldest settled ones give way


def with_tellings(incident: Incident, lines: Set[str]) -> Incident:
    """The incident with whatever its devices are now to be told. lines: those that can tell their devices anything."""
    if incident.kind not in ALARM_KINDS or incident.line not in lines or incident.device is None:
        if not incident.sounded:
            return incident
    elif not any((one.line, one.device) == (incident.line, incident.device) for one in incident.sounded):
        incident = msgspec.structs.replace(incident, sounded=(*incident.sounded, Sounded(incident.line, incident.device))[-SOUNDED:])
    if incident.silent or incident.kind is Kind.DURESS:
        return untold(incident)
    word = _word(incident)
    if not word:
        return incident
    new = tuple(
        Telling(
            id=f"{incident.id}.{incident.cries}.{word}.{number}",
            line=one.line,
            device=one.device,
            word=word,
            at=incident.changed_at,
            cries=incident.cries,
        )
        for number, one in enumerate(incident.sounded)
        if one.line in lines and _rank(_last_told(incident, one)) < _rank(word)
    )
    return _with(incident, new) if new else incident


def silenced(incident: Incident, kind: Kind) -> Incident:
    """Once there was a cry under duress in it, its devices stay dark."""
    return msgspec.structs.replace(incident, silent=True) if kind is Kind.DURESS and not incident.silent else incident


def prompted(incident: Incident, devices: tuple[Sounded, ...], step: str, now: datetime) -> Incident:
    """The person is asked for a sign by these devices. step: makes the ids of one asking differ from those of the next."""
    if incident.silent:
        return incident
    new = tuple(
        Telling(id=f"{incident.id}.{step}.{PROMPT}.{number}", line=one.line, device=one.device, word=PROMPT, at=now, cries=incident.cries)
        for number, one in enumerate(devices[:SOUNDED])
    )
    return _with(incident, new) if new else incident


def asking_of(incident: Incident) -> str:
    """Which asking the last step of its ladder is; climbed again after another cry, it is another one."""
    return f"ladder{incident.cries}-{incident.ladder}"


def unasked(incident: Incident) -> Incident:
    """The person has given a sign: nobody is asked for one any more."""
    if not any(one.word == PROMPT and one.state == "pending" for one in incident.tellings):
        return incident
    tellings = (
        msgspec.structs.replace(one, state="overtaken") if one.word == PROMPT and one.state == "pending" else one for one in incident.tellings
    )
    return msgspec.structs.replace(incident, tellings=tuple(tellings))


def untold(incident: Incident) -> Incident:
    """There was a cry under duress: what has not left yet stays untold."""
    if not any(one.state == "pending" for one in incident.tellings):
        return incident
    tellings = tuple(msgspec.structs.replace(one, state="overtaken") if one.state == "pending" else one for one in incident.tellings)
    return msgspec.structs.replace(incident, tellings=tellings)


def is_asked_in_vain(incident: Incident, done: Telling) -> bool:
    """Could none of the devices be told that were asked by the last step of the ladder, of which this telling is one?"""
    asking = f"{incident.id}.{asking_of(incident)}.{PROMPT}."
    mine = [one for one in incident.tellings if one.id.startswith(asking)]
    return done.id.startswith(asking) and all(one.state in ("failed", "overtaken") for one in mine)


def settled(incident: Incident, name: str, reason: str) -> tuple[Incident, Telling | None]:
    """What became of one telling: "" = told, else why not. (incident after it, the telling as it is now; None: known already, or gone)."""
    telling = next((one for one in incident.tellings if one.id == name and one.state == "pending"), None)
    if telling is None:
        return incident, None
    done = msgspec.structs.replace(telling, state="failed" if reason else "told", reason=reason)
    tellings = tuple(done if one.id == name else one for one in incident.tellings)
    return msgspec.structs.replace(incident, tellings=tellings, version=incident.version + 1), done


def _word(incident: Incident) -> str:
    if incident.state in (State.RESOLVED, State.CLOSED):
        return OVER if incident.merged_into is None else ""  # merged: the other one goes on
    if any(leg.state in COMING and leg.role not in INFORMED for leg in incident.legs):
        return COMING_WORD
    return TAKEN if incident.state is State.ACKNOWLEDGED else ""


def _last_told(incident: Incident, one: Sounded) -> str:
    """The furthest that this device has heard, or will hear, since the newest cry."""
    words = [
        telling.word
        for telling in incident.tellings
        if (telling.line, telling.device, telling.cries) == (one.line, one.device, incident.cries) and telling.word in _ORDER
    ]
    return max(words, key=_rank, default="")


def _rank(word: str) -> int:
    return _ORDER.index(word)


def _with(incident: Incident, new: tuple[Telling, ...]) -> Incident:
    """With these; what was still to leave and is overtaken by them leaves no more."""
    overtaken = {(one.line, one.device) for one in new}
    kept = tuple(
        msgspec.structs.replace(one, state="overtaken") if one.state == "pending" and (one.line, one.device) in overtaken else one
        for one in incident.tellings
    )
    return msgspec.structs.replace(incident, tellings=(*kept, *new)[-KEPT:])
