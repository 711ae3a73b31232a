"""The matter "family_link": which device the link of a family contact belongs to. One standing a contact, so there are never more."""

from datetime import datetime

from gateway.core.standing import MATTERS, Ruling, plain
from gateway.core.state import Draft
from gateway.core.territory import Standing
from gateway.errors import Refused

MATTER = "family_link"


def key_of(person: str, place: int) -> str:
    """The key of its standing; place: in the person's list of contacts, from 0."""
    return f"{MATTER}:{person}:{place}"


def _check(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """value: fingerprint of the device; detail: link, which one (its expiry), and forward. An older link never takes a newer one's place."""
    del draft
    if before is not None and before.holds(now) and before.value != ruling.value and not ruling.detail.get("forward"):
        newer = before.detail.get("link") != ruling.detail.get("link") and ruling.until is not None and before.until is not None
        if not newer or ruling.until <= before.until:  # type: ignore[operator]
            raise Refused("opened_elsewhere")
    return plain(ruling, now)


MATTERS[MATTER] = _check
