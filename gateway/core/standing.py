"""Rulings: what people decide about something that is no incident (a provider, a station, an agreement), on record and after a restart.

One matter is one row of `MATTERS`: the first word of the key and who checks it. What is ruled stands in WorkingSet.standings.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from gateway.core.state import Draft
from gateway.core.territory import Standing
from gateway.errors import Refused
from gateway.event import Kind

REASON_LIMIT = 500  # characters; a sentence or two


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """A wish of a person (or of the machine: actor "gateway"). `key`, `value`, … as in Standing; `identity`: idempotency key."""

    key: str
    value: str
    actor: str
    reason: str = ""
    until: datetime | None = None
    detail: dict[str, object] = {}
    identity: str | None = None


# Matter → the check, which raises Refused or gives the standing that is to be.
Check = Callable[[Draft, Ruling, Standing | None, datetime], Standing]
MATTERS: dict[str, Check] = {}


def on_ruling(draft: Draft, ruling: Ruling, now: datetime) -> Standing:
    """Do it in the draft. Raises Refused: unknown_matter, reason_too_long, and what the matter's own check finds."""
    identity = f"command|{ruling.identity}" if ruling.identity else None
    before = draft.standings.get(ruling.key)
    if identity is not None and draft.is_known(identity) and before is not None:
        return before
    check = MATTERS.get(ruling.key.partition(":")[0])
    if check is None:
        raise Refused("unknown_matter", 404)
    if len(ruling.reason) > REASON_LIMIT:
        raise Refused("reason_too_long", 400, limit=REASON_LIMIT)
    standing = check(draft, ruling, before, now)
    draft.standings[ruling.key] = standing
    if identity is not None:
        draft.known[identity] = None
    facts = {name: value for name, value in msgspec.to_builtins(standing).items() if name not in ("at", "actor")}
    draft.record(Kind.RULING, now, None, ruling.actor, identity, previous=before.value if before else "", **facts)
    return standing


def plain(ruling: Ruling, now: datetime) -> Standing:
    """The standing just as it is wished; for checks that have nothing to change."""
    return Standing(key=ruling.key, value=ruling.value, at=now, actor=ruling.actor, reason=ruling.reason, until=ruling.until, detail=ruling.detail)


def reasoned(ruling: Ruling) -> None:
    """Raises Refused: missing_reason."""
    if not ruling.reason.strip():
        raise Refused("missing_reason", 400)


def switched(ruling: Ruling, before: Standing | None, now: datetime, *, says_something: bool = False) -> Standing:
    """Set until then, or lifted. What does not stand cannot be lifted, unless "" itself says something.

    Raises Refused: missing_reason, does_not_stand, bad_until.
    """
    reasoned(ruling)
    if not ruling.value and not says_something and (before is None or not before.holds(now)):
        raise Refused("does_not_stand", 409)
    if ruling.until is not None and ruling.until <= now:
        raise Refused("bad_until", 400)
    return plain(ruling, now)
