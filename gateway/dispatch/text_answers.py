"""Answers to orders that come as texts: "1" or 接受 from a responder's own SIP address is an answer to the order that is open with them.

Texts of everybody else, and whatever a responder writes that is no answer, go on as they came: a person must read them.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import msgspec

from drivers.contract import STORED, Emit, Rejected, Verdict
from gateway.clock import monotonic
from gateway.core.incident import ASKED, COMING, Incident, Leg, LegState
from gateway.core.register import Register, Responder
from gateway.dispatch.sip import HOW_TO_ANSWER
from gateway.event import Event, Kind

WORDS = {
    **dict.fromkeys(("1", "接受", "accept"), Kind.ACCEPT),
    **dict.fromkeys(("2", "拒绝", "decline"), Kind.DECLINE),
    **dict.fromkeys(("出发", "en_route"), Kind.EN_ROUTE),
    **dict.fromkeys(("3", "到达", "arrived"), Kind.ARRIVED),
    **dict.fromkeys(("4", "完成", "done"), Kind.DONE),
}
# Which orders an answer can mean, the likeliest first; within a group there may be several, then the text must name the incident.
LATE = frozenset((LegState.EXPIRED, LegState.DECLINED, LegState.FAILED))
MEANT: dict[Kind, tuple[frozenset[LegState], ...]] = {
    Kind.ACCEPT: (ASKED, LATE),
    Kind.DECLINE: (ASKED, COMING),
    Kind.EN_ROUTE: (COMING, ASKED),
    Kind.ARRIVED: (COMING, ASKED),
    Kind.DONE: (COMING, ASKED),
}
MAX_NOTE = 500  # characters kept of what is written after the answer
HINT_EVERY_S = 60.0  # for one responder: two machines that answer each other must not do so for ever
_ANSWER = re.compile(r"([0-9a-z_]+|[一-鿿]+)(?:[\s,.:;!。、]+(.*))?", re.DOTALL)  # "接受不了" is no 接受: a break must follow
_INCIDENT = re.compile(r"\bi\d{4,}\b")
_USER = re.compile(r"(?i)sips?:([^@;?]+)@([^;?>]+)")


class TextAnswers:
    """Stands between a sip line and the pipeline. say: sends a text to a SIP address, and does not wait for it."""

    def __init__(
        self,
        register: Callable[[], Register],
        incidents: Callable[[], Iterable[Incident]],
        say: Callable[[str, str], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._register = register
        self._incidents = incidents
        self._say = say
        self._clock = clock
        self._hinted: dict[str, float] = {}  # by responder: as many as the register has

    async def receive(self, events: Sequence[Event | Rejected], emit: Emit) -> Sequence[Verdict]:
        """Emit them, answers as answers. A responder whose answer comes to nothing is told by text; its MESSAGE was received all the same."""
        read = [self._read(event) for event in events]
        verdicts = await emit([event for event, _ in read])
        said: list[Verdict] = []
        for before, (after, hint), verdict in zip(events, read, verdicts, strict=True):
            if hint is not None and not verdict.retry:
                self._hint(*hint)
            said.append(verdict if after is before or verdict.retry else STORED)
        return said

    def _read(self, event: Event | Rejected) -> "tuple[Event | Rejected, tuple[Responder, str] | None]":
        """(what goes on, whom to tell what)."""
        if not isinstance(event, Event) or event.kind_raw != "text/plain" or event.integrity == "unauthenticated":
            return event, None  # where passwords are asked for, who has proved nothing must not stop an escalation
        responder = self._responder(str(event.detail.get("from") or ""))
        if responder is None:
            return event, None
        text = unicodedata.normalize("NFKC", str(event.detail.get("text") or "")).strip().casefold()
        found = _ANSWER.fullmatch(text)
        kind = WORDS.get(found[1]) if found is not None else None
        if kind is None:
            return event, (responder, f"没有看懂，已转给接警台。{HOW_TO_ANSWER}")
        rest = (found[2] or "").strip() if found is not None else ""
        named = _INCIDENT.search(rest)
        legs = self._legs(responder.id, kind, named[0].upper() if named else "")
        if len(legs) != 1:
            if legs:
                names = "、".join(sorted(incident.id for incident, _ in legs)[:5])
                hint = f"您有多个派单（{names}），请写明编号，例如：1 {min(incident.id for incident, _ in legs)}"
            else:
                hint = "没有等您答复的派单。需要帮助请拨打 12349"
            reason = "ambiguous_answer" if legs else "no_open_order"
            return Rejected(reason=reason, raw=event.raw, line=event.line, device=responder.id), (responder, hint)
        detail: dict[str, object] = {"delivery": legs[0][1].delivery, "by": responder.id, "way": "sip"}
        if rest and not (named and named[0] == rest):
            detail["note"] = rest[:MAX_NOTE]
        return msgspec.structs.replace(event, kind=kind, kind_raw=found[1] if found else None, device=responder.id, detail=detail), None

    def _responder(self, uri: str) -> Responder | None:
        """Whose address it is. A PBX may put its own name in place of the host: then the user decides, if only one has it."""
        sender = _USER.match(uri)
        if sender is None:
            return None
        same = [
            (one, its[2].casefold())
            for one in self._register().responders.values()
            if one.channel == "sip" and (its := _USER.match(one.address)) is not None and its[1] == sender[1]
        ]
        exact = [one for one, host in same if host == sender[2].casefold()]
        found = exact or [one for one, _ in same]
        return found[0] if len(found) == 1 else None

    def _legs(self, responder: str, kind: Kind, wanted: str) -> list[tuple[Incident, Leg]]:
        """The orders that the answer can mean."""
        mine = [
            (incident, leg)
            for incident in self._incidents()
            if incident.is_open and (not wanted or incident.id == wanted)
            for leg in incident.legs
            if leg.responder == responder and leg.channel == "sip"
        ]
        groups = ([pair for pair in mine if pair[1].state in states] for states in MEANT[kind])
        return next((group for group in groups if group), [])

    def _hint(self, responder: Responder, text: str) -> None:
        now = self._clock()
        if now - self._hinted.get(responder.id, -HINT_EVERY_S) >= HINT_EVERY_S:
            self._hinted[responder.id] = now
            self._say(responder.address, f"【12349】{text}")
