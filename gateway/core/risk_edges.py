"""Which warnings begin, grow worse and are over: the edges between what rules measure and what stands (gateway.core.standing). Pure.

risk:<rule>:<subject>       "raised", or ""; ruled by the machine alone. detail: value, and the facts of the rule
risk_seen:<rule>:<subject>  "seen" by a person: it waits for nobody any more, unless it grows worse. Beside it, as another process may keep it
risk_usual:lines            "learned": how much each line usually brings by the hour
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from gateway.core.provider_matters import MACHINE
from gateway.core.register import Device, Person, Register
from gateway.core.risk import Concern, Measured, Rule
from gateway.core.risk_rules import BY_NAME
from gateway.core.standing import Ruling, plain
from gateway.core.state import Draft
from gateway.core.territory import Standing
from gateway.errors import Refused

RISK, SEEN, USUAL = "risk", "risk_seen", "risk_usual"
RAISED = "raised"
SUBJECT_LIMIT = 300  # characters of a key
MOST_AT_ONCE = 200  # warnings of one rule: nobody reads more; the worst stay
WORSE = 1.5  # so many times what it was when it was last told: told again, and nobody has seen it


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """One warning that stands. seen_by: "" while nobody has looked at it since it was last told."""

    rule: Rule
    subject: str
    at: datetime
    value: float
    facts: dict[str, float]
    seen_by: str = ""
    seen_at: datetime | None = None
    note: str = ""


def on_risk(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:  # noqa: ARG001  the shape of a check
    """Raises Refused: unknown_matter, no_right."""
    matter, rule, subject = split(ruling.key)
    if matter != USUAL and (rule not in BY_NAME or not subject or len(ruling.key) > SUBJECT_LIMIT):
        raise Refused("unknown_matter", 404)
    if (matter != SEEN) != (ruling.actor == MACHINE):
        raise Refused("no_right", 403)
    person, standing = person_of(ruling.key), plain(ruling, now)
    if not person:
        return standing
    return msgspec.structs.replace(standing, detail={**standing.detail, "person": person})  # so that erasing them finds the entry


def split(key: str) -> tuple[str, str, str]:
    """Matter, rule and subject of a key."""
    matter, _, rest = key.partition(":")
    rule, _, subject = rest.partition(":")
    return matter, rule, subject


def warned(standings: Mapping[str, Standing]) -> Iterator[Warned]:
    """All that stand."""
    for key, one in list(standings.items()):
        matter, name, subject = split(key)
        rule = BY_NAME.get(name) if matter == RISK and one.value == RAISED else None
        if rule is None:
            continue
        seen = standings.get(f"{SEEN}:{name}:{subject}")
        has_seen = seen is not None and seen.at >= one.at
        facts = one.detail.get("facts")
        yield Warned(
            rule=rule,
            subject=subject,
            at=one.at,
            value=_value(one),
            facts=facts if isinstance(facts, dict) else {},
            seen_by=seen.actor if has_seen and seen else "",
            seen_at=seen.at if has_seen and seen else None,
            note=seen.reason if has_seen and seen else "",
        )


def edges(rule: Rule, found: Iterable[Measured], standings: Mapping[str, Standing]) -> Iterator[Ruling]:
    """What is to be ruled of one rule."""
    prefix = f"{RISK}:{rule.name}:"
    stand = {key.removeprefix(prefix): one for key, one in list(standings.items()) if key.startswith(prefix) and one.value == RAISED}
    measured = {one.subject: one for one in found}
    for subject, one in stand.items():
        now = measured.get(subject)
        if now is None and rule.keeps:
            continue
        if now is None or now.value < rule.over:
            yield _ruling(prefix, "", now or Measured(subject, 0.0), "over")
        elif now.value >= _value(one) * WORSE:
            yield _ruling(prefix, RAISED, now, "worse")
    room = MOST_AT_ONCE - len(stand)
    news = [one for one in measured.values() if one.value >= 1 and one.subject not in stand and len(prefix) + len(one.subject) <= SUBJECT_LIMIT]
    for new in sorted(news, key=lambda one: (-one.value, one.subject))[: max(0, room)]:
        yield _ruling(prefix, RAISED, new, "begins")


def lifted(standings: Mapping[str, Standing]) -> Iterator[Ruling]:
    """All of them: nothing warns any more."""
    for one in warned(standings):
        yield _ruling(f"{RISK}:{one.rule.name}:", "", Measured(one.subject, 0.0), "off")


def gone(standings: Mapping[str, Standing], register: Register, lines: Iterable[str]) -> Iterator[Ruling]:
    """Warnings of whom or what there is no more."""
    there: dict[Concern, Container[str]] = {
        Concern.PERSON: register.persons,
        Concern.RESPONDER: register.responders,
        Concern.LINE: frozenset(lines),
        Concern.MODEL: {device.model for device in register.devices},
        Concern.DEVICE: {f"{device.line or ''}|{device.id}" for device in register.devices},
        Concern.DESK: ("desk",),
    }
    for one in warned(standings):
        if one.subject not in there[one.rule.concern]:
            yield _ruling(f"{RISK}:{one.rule.name}:", "", Measured(one.subject, 0.0), "gone")


def person_of(key: str) -> str:
    """The person that a warning, or that somebody has seen it, is about; "" for anything else."""
    matter, name, subject = split(key)
    rule = BY_NAME.get(name) if matter in (RISK, SEEN) else None
    return subject if rule is not None and rule.concern is Concern.PERSON else ""


def area_of(register: Register, one: Warned) -> str | None:
    """Where a warning belongs to; None: everywhere."""
    if one.rule.concern is Concern.PERSON:
        person: Person | None = register.persons.get(one.subject)
        return person.area if person is not None else None
    if one.rule.concern is Concern.DEVICE:
        device = device_of(register, one.subject)
        person = register.persons.get(device.person or "") if device is not None else None
        return (device.area if device is not None else None) or (person.area if person is not None else None)
    return None


def device_of(register: Register, subject: str) -> Device | None:
    """The device of a subject line|address."""
    line, _, address = subject.partition("|")
    return register.device_of(line or None, address)


def _ruling(prefix: str, value: str, one: Measured, reason: str) -> Ruling:
    detail: dict[str, object] = {"value": round(one.value, 3), "facts": one.facts} if value else {}
    return Ruling(key=prefix + one.subject, value=value, actor=MACHINE, reason=reason, detail=detail)


def _value(standing: Standing) -> float:
    value = standing.detail.get("value")
    return float(value) if isinstance(value, int | float) else 1.0
