"""What a responder sees of an order, and which answers there are to it: one table of states. Pure; least data comes from the order's body."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import msgspec

from drivers.mqtt.station_reply import MAX_NOTE
from gateway.core.duty import CHINA
from gateway.core.incident import ASKED, COMING, Incident, Leg, LegState, State
from gateway.core.least_data import PLEASE_LOOK, order_body
from gateway.core.orders import NEIGHBOURS
from gateway.core.register import Register
from gateway.responder_page import html
from gateway.responder_page.words import Words

DECLINES = ("busy", "too_far", "cannot", "off_duty", "other")
LATE = frozenset((LegState.EXPIRED, LegState.FAILED, LegState.DECLINED))

# The answers offered in each state, the next step first. What is no longer the responder's offers none.
OFFERED: dict[str, tuple[str, ...]] = {
    "asked": ("accept", "decline"),
    "late": ("accept",),
    "accepted": ("en_route", "arrived", "done", "decline"),
    "en_route": ("arrived", "done", "decline"),
    "arrived": ("done",),
}


class Shown(msgspec.Struct, frozen=True):
    """How an order stands with its responder. word: asked, late, accepted, en_route, arrived, done, declined, withdrawn, taken, closed."""

    word: str
    winner: str = ""

    @property
    def is_over(self) -> bool:
        return self.word in ("done", "withdrawn", "taken", "closed")


def standing_of(incident: Incident, leg: Leg) -> Shown:
    """As the core would take an answer now (gateway.core.orders.answer)."""
    if leg.state is LegState.DONE:
        return Shown("done")
    if leg.state in COMING:
        return Shown(leg.state.value)
    rivals = (other for other in incident.legs if other.delivery != leg.delivery and other.exclusive and other.role is leg.role)
    winner = next((other.responder for other in rivals if other.state in COMING or other.state is LegState.DONE), "")
    if leg.exclusive and winner:
        return Shown("taken", winner)
    if leg.state is LegState.WITHDRAWN:
        return Shown("withdrawn")
    if incident.state in (State.RESOLVED, State.CLOSED) and leg.state not in ASKED:
        return Shown("closed")
    return Shown("asked" if leg.state in ASKED else "late")


def state_of(incident: Incident, leg: Leg, register: Register) -> str:
    """Changes when the page would look different, and only then, as a page that loads anew folds up what was opened; says nothing to who reads it."""
    shown = standing_of(incident, leg)
    body = b"" if shown.is_over else order_body(incident, msgspec.structs.replace(leg, pending="order"), register)
    return hashlib.sha256(f"{shown.word} {shown.winner} ".encode() + body).hexdigest()[:16]


def order_parts(incident: Incident, leg: Leg, register: Register, words: Words, now: datetime, nonce: str, told: str = "") -> Iterator[str]:
    """The page below its title. When it is over only that is said, and no personal data any more."""
    shown = standing_of(incident, leg)
    yield html.paragraph(told, "trouble")
    if shown.word != "asked":
        yield html.paragraph(_said(shown, leg, register, words), "told")
    if shown.is_over:
        return
    yield from _time_left(incident, leg, shown, words, now)
    body = _body(incident, leg, register)
    yield html.facts(_rows(body, words, now), f"{incident.severity}")
    if body.get("ended"):
        yield html.paragraph(words("order.ended"), "due")
    yield from _answers(shown, words, nonce)


def title_of(incident: Incident, leg: Leg, register: Register, words: Words) -> str:
    """What it is about, in the words of this role; of an order that is over only that it was one."""
    if standing_of(incident, leg).is_over:
        return words("page.title_order")
    kind = _body(incident, leg, register).get("kind", "")
    return words("kind.please_look") if kind == PLEASE_LOOK else words.named("kind", kind)


def _body(incident: Incident, leg: Leg, register: Register) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(order_body(incident, msgspec.structs.replace(leg, pending="order"), register))
    return body


def _said(shown: Shown, leg: Leg, register: Register, words: Words) -> str:
    if shown.word == "taken":
        winner = register.responders.get(shown.winner)
        if winner is None or winner.kind in NEIGHBOURS:  # a neighbour's name is somebody's name
            return words("state.taken_by_other")
        return words("state.taken", name=winner.name)
    if shown.word == "late":
        return " ".join(filter(None, (words("state.declined") if leg.state is LegState.DECLINED else "", words("order.still_open"))))
    return words(f"state.{shown.word}")


def _time_left(incident: Incident, leg: Leg, shown: Shown, words: Words, now: datetime) -> Iterator[str]:
    if shown.word not in ("asked", "late") or leg.state is LegState.DECLINED:
        return
    until = incident.deadlines.get(f"reply:{leg.delivery}", leg.reply_by)
    at = clock(until, now)
    seconds = int((until - now).total_seconds())
    if shown.word == "late" or seconds <= 0:
        yield html.paragraph(words("order.reply_late", at=at), "due")
    else:
        left = words("left.minutes", m=seconds // 60, s=seconds % 60) if seconds >= 60 else words("left.seconds", s=seconds)
        said = words("order.reply_by", at=at, left=left) if seconds < 3600 else words("order.reply_at", at=at)
        yield html.paragraph(said, "due")


def _answers(shown: Shown, words: Words, nonce: str) -> Iterator[str]:
    offered = OFFERED.get(shown.word, ())
    for number, answer in enumerate(offered):
        css = "yes" if answer == "accept" else "go" if number == 0 else ""
        if answer == "decline":
            reasons = html.choices(words("decline.legend"), "reason", ((word, words(f"decline.{word}")) for word in DECLINES))
            form = html.button(nonce, "decline", words("do.decline"), "no", reasons + html.note_field(words("do.note"), MAX_NOTE // 2))
            yield html.fold(words("do.decline_open" if shown.word == "asked" else "do.decline_coming"), form)
        elif answer == "done":
            form = html.button(nonce, "done", words("do.done"), css, html.note_field(words("do.note"), MAX_NOTE // 2))
            yield form if number == 0 else html.fold(words("do.done") + "…", form)
        else:
            yield html.button(nonce, answer, words("do.accept_late" if answer == "accept" and shown.word == "late" else f"do.{answer}"), css)


def _rows(body: Mapping[str, Any], words: Words, now: datetime) -> Iterator[tuple[str, str]]:
    """Everything that the order says and that has a name on the page: what may be seen by whom is decided where the body is made."""
    yield words("order.also"), escape(", ".join(words.named("kind", kind) for kind in body.get("also") or ()))
    yield words("order.severity"), escape(words.named("severity", body.get("severity", "")))
    yield words("order.repeat"), escape(words("order.repeat_n", n=body["repeat"])) if body.get("repeat") else ""
    person = body.get("person")
    if isinstance(person, dict):
        for key, value in person.items():
            label = words.own(f"person.{key}")
            if label is not None:
                yield label, _value(key, value, words)
    else:
        yield words("person.name"), escape(words("order.unknown_person"))
    yield words("order.place"), _place(body.get("position"), words)
    if body.get("travel_min") is not None:
        yield words("order.travel"), escape(words("order.travel_min", n=round(body["travel_min"])))
    if body.get("service"):
        yield words("order.service"), escape(words.named("service", body["service"]))
    if body.get("wanted_at"):
        yield words("order.wanted_at"), escape(clock(datetime.fromisoformat(body["wanted_at"]), now))
    if isinstance(body.get("summary"), dict):
        yield words("order.summary"), _summary(body["summary"], words, now)
    yield words("order.incident"), escape(str(body.get("incident", "")))


def _summary(summary: Mapping[str, Any], words: Words, now: datetime) -> str:
    """What a hospital is told of what happened until now (gateway.core.least_data)."""
    lines = [
        f"{clock(datetime.fromisoformat(summary['since']), now)} " + ", ".join(words.named("kind", kind) for kind in summary.get("what") or ()),
        *(f"{one.get('name', '')}: {words.named('leg', one.get('state', ''))}" for one in summary.get("there") or ()),
        ", ".join(summary.get("relatives") or ()),
    ]
    return "<br>".join(escape(line) for line in lines if line)


def _value(key: str, value: object, words: Words) -> str:
    """A value as HTML; numbers to ring can be pressed."""
    if value is None or value == "":
        return ""
    if key == "age":
        return escape(words("person.age_n", n=value))
    if isinstance(value, dict):
        inner = ((words.own(f"person.{name}"), _value(name, one, words)) for name, one in value.items())
        return "<br>".join(f"{escape(label)}: {shown}" for label, shown in inner if label is not None and shown)
    if isinstance(value, list):
        return ", ".join(filter(None, (_value(key, one, words) for one in value)))
    text = str(value)
    if key in ("phone", "phones"):
        return f'<a href="tel:{escape(text)}">{escape(text)}</a>'
    return escape(words.named("risk", text) if key in ("risks", "ability") else text)


def _place(position: object, words: Words) -> str:
    if not isinstance(position, dict):
        return ""
    at = f"{position['lat']:.5f},{position['lon']:.5f}"
    source = words.own(f"place.{position.get('source')}")
    said = f" ({escape(source)})" if source else ""
    return f'{at}{said}<br><a href="geo:{at}?q={at}">{escape(words("order.map"))}</a>'


def clock(at: datetime, now: datetime) -> str:
    """Local time, with the day when it is another one."""
    here, today = at.astimezone(CHINA), now.astimezone(CHINA)
    return here.strftime("%H:%M" if here.date() == today.date() else "%m-%d %H:%M")


def expires_of(incident: Incident, leg: Leg, valid_s: float) -> datetime:
    """When the link of an order ends: the same for each repeat of it, so that the link stays the same."""
    begins = max(leg.ordered_at, incident.wanted_at or datetime.min.replace(tzinfo=UTC))
    return begins + timedelta(seconds=valid_s)
