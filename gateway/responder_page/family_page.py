"""What a family contact sees: how it is with their elder, in the moments they may be told of, and announcing an absence. Pure."""

from collections.abc import Iterator
from datetime import datetime
from html import escape

from gateway.core.absence import NOTE_LIMIT
from gateway.core.incident import COMING, Incident, LegState, State
from gateway.core.register import Contact
from gateway.core.watched import Absence
from gateway.event import KINDS, Group
from gateway.responder_page import html
from gateway.responder_page.order_page import clock
from gateway.responder_page.words import Words

DAYS = (1, 2, 3, 7, 14, 30)  # what is chosen from; longer ones are announced to the desk


def moment_of(incident: Incident, tell: tuple[str, ...]) -> str:
    """The moment at which it is: alarm, coming, there, over; "" for what this contact is not told of."""
    if incident.silent or KINDS[incident.kind].group not in (Group.PERSON, Group.ENVIRONMENT):
        return ""  # a duress alarm must not show on the telephone of whoever stands beside them
    states = {leg.state for leg in incident.legs}
    if incident.state in (State.RESOLVED, State.CLOSED):
        return "over" if "over" in tell else ""
    if "coming" in tell and LegState.ARRIVED in states:
        return "there"
    if "coming" in tell and not states.isdisjoint(COMING):
        return "coming"
    return "alarm" if "alarm" in tell else ""


def family_parts(
    contact: Contact,
    moments: list[str],
    watched: bool,
    absence: Absence | None,
    words: Words,
    now: datetime,
    nonce: str,
    told: str = "",
) -> Iterator[str]:
    """The page below its title."""
    yield html.paragraph(told, "trouble")
    if contact.tell:
        yield f"<h2>{escape(words('family.now'))}</h2>"
        for moment in moments or [""]:
            yield html.paragraph(words(f"moment.{moment}") if moment else words("family.calm"), "told")
    if not watched:
        yield html.paragraph(words("family.not_watched"))
        return
    if absence is None:
        yield html.paragraph(words("family.watched"))
    else:
        until = words("family.away_until", at=clock(absence.until, now)) if absence.until is not None else words("family.away")
        yield html.paragraph(until, "due")
        yield html.button(nonce, "back", words("family.do_over"), "go")
    options = [
        *((str(days), words("family.days", n=days) if days > 1 else words("family.one_day")) for days in DAYS),
        ("", words("family.until_told")),
    ]
    form = html.button(
        nonce,
        "away",
        words("family.do_announce"),
        "go" if absence is None else "",
        html.choices(words("family.how_long"), "days", options) + html.note_field(words("family.note"), NOTE_LIMIT // 2),
    )
    yield html.fold(words("family.announce" if absence is None else "family.change"), form)
