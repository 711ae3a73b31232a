"""Answers to orders that come as texts: "1" or 接受 from a responder's own address is an answer to the order that is open with them.

Texts of everybody else, and whatever a responder writes that is no answer, go on as they came: a person must read them.
Short messages may be hours old and their sender is easily forged: there an answer names its delivery by the code that stood in the order.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from drivers.contract import STORED, Emit, Rejected, Verdict
from drivers.token_bucket import TokenBuckets
from gateway.clock import monotonic
from gateway.core.incident import ASKED, COMING, Leg, LegState
from gateway.core.register import Register, Responder
from gateway.dispatch.order_words import code_of, words_of
from gateway.event import Event, Kind
from gateway.register_cells import phone as phone_cell

WORDS = {
    **dict.fromkeys(("1", "接受", "接", "accept"), Kind.ACCEPT),
    **dict.fromkeys(("2", "拒绝", "拒", "decline"), Kind.DECLINE),
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
# Wrong codes of one number: after so many at once its texts are no answers for a while. Ten thousand codes take a forger half a year then.
WRONG_CODES, WRONG_CODES_PER_S = 5.0, 1 / 3600
_ANSWER = re.compile(r"([0-9a-z_]+|[一-鿿]+)(?:[\s,.:;!。、]+(.*))?", re.DOTALL)  # "接受不了" is no 接受: a break must follow
_WORD, _BREAK = r"[1-4]|[a-z_]+|[一-鿿]+", r"[\s,.:;!。、]"
_CODED = re.compile(rf"({_WORD}){_BREAK}*(\d{{4}})(?!\d){_BREAK}*(.*)|(\d{{4}}){_BREAK}+({_WORD})", re.DOTALL)  # "1 4711", "14711", "4711 接受"
_INCIDENT = re.compile(r"\bi\d{4,}\b")
_USER = re.compile(r"(?i)sips?:([^@;?]+)@([^;?>]+)")


class Hints(msgspec.Struct, frozen=True):
    """What a responder is told whose answer comes to nothing."""

    unread: str
    which: str
    none: str
    code: str
    wrong: str


HINTS = {
    "zh-CN": Hints(
        unread="没有看懂，已转给接警台。",
        which="您有多个派单（{0}），请写明编号，例如：1 {1}",
        none="没有等您答复的派单。需要帮助请拨打 12349",
        code="请在答复后写上派单短信中的四位数字，例如：1 1234",
        wrong="没有这个编码的派单，请核对派单短信中的四位数字。需要帮助请拨打 12349",
    ),
    "en": Hints(
        unread="Not understood; a person at the desk will read it. ",
        which="You have several orders ({0}); name one, for instance: 1 {1}",
        none="No order waits for your answer. For help call 12349",
        code="Write the four digits of the order behind your answer, for instance: 1 1234",
        wrong="There is no order with this code; see the four digits in the order. For help call 12349",
    ),
}


class Matter(Protocol):
    """As much of an incident as this wants."""

    @property
    def id(self) -> str: ...

    @property
    def is_open(self) -> bool: ...

    @property
    def legs(self) -> tuple[Leg, ...]: ...


class TextAnswers:
    """Stands between a line of texts and the pipeline. say: sends a text to an address, and does not wait for it.

    channel: whose responders write here; `sip` or one of short messages (sms, modem), where answers are bound by codes.
    """

    def __init__(
        self,
        register: Callable[[], Register],
        incidents: Callable[[], Iterable[Matter]],
        say: Callable[[str, str], None],
        clock: Callable[[], float] = monotonic,
        *,
        channel: str = "sip",
        language: Callable[[], str] = lambda: "zh-CN",
    ) -> None:
        self._register = register
        self._incidents = incidents
        self._say = say
        self._clock = clock
        self._channel = channel
        self._language = language
        self._hinted: dict[str, float] = {}  # by responder: as many as the register has
        self._wrong = TokenBuckets(WRONG_CODES_PER_S, WRONG_CODES)

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

    def writer(self, event: Event | Rejected) -> Responder | None:
        """The responder whose text this is, if it is one."""
        if not isinstance(event, Event) or event.kind_raw != "text/plain" or event.integrity == "unauthenticated":
            return None  # where passwords are asked for, who has proved nothing must not stop an escalation
        return (self._by_number if self._is_coded else self._responder)(str(event.detail.get("from") or ""))

    def _read(self, event: Event | Rejected) -> "tuple[Event | Rejected, tuple[Responder, str] | None]":
        """(what goes on, whom to tell what)."""
        responder = self.writer(event)
        if responder is None or isinstance(event, Rejected):
            return event, None
        text = unicodedata.normalize("NFKC", str(event.detail.get("text") or "")).strip().casefold()
        return self._read_coded(event, responder, text) if self._is_coded else self._read_plain(event, responder, text)

    @property
    def _is_coded(self) -> bool:
        return self._channel != "sip"

    def _read_plain(self, event: Event, responder: Responder, text: str) -> "tuple[Event | Rejected, tuple[Responder, str] | None]":
        hints = self._hints
        found = _ANSWER.fullmatch(text)
        kind = WORDS.get(found[1]) if found is not None else None
        if found is None or kind is None:
            return event, (responder, hints.unread + words_of(self._language()).answer)
        rest = (found[2] or "").strip()
        named = _INCIDENT.search(rest)
        legs = self._legs(responder.id, kind, named[0].upper() if named else "")
        if len(legs) != 1:
            if legs:
                names = "、".join(sorted(incident.id for incident, _ in legs)[:5])
                hint = hints.which.format(names, min(incident.id for incident, _ in legs))
            else:
                hint = hints.none
            return self._refused(event, responder, "ambiguous_answer" if legs else "no_open_order", hint)
        return self._answer(event, responder, kind, found[1], legs[0][1], "" if named and named[0] == rest else rest), None

    def _read_coded(self, event: Event, responder: Responder, text: str) -> "tuple[Event | Rejected, tuple[Responder, str] | None]":
        """An answer with its code; without one it is taken only where there is one order that it can mean, those that ran out counted."""
        now, hints = self._clock(), self._hints
        if self._wrong.is_over(responder.id, now):
            return event, None  # somebody tries codes: a person looks at it
        found = _CODED.fullmatch(text)
        word, code, rest = (found[1] or found[5], found[2] or found[4], (found[3] or "").strip()) if found is not None else ("", "", "")
        if kind := WORDS.get(word):
            legs = [leg for leg in self._all_legs(responder.id) if code_of(leg.delivery) == code]
            if len(legs) == 1:
                return self._answer(event, responder, kind, word, legs[0], rest), None
            self._wrong.admits(responder.id, now)
            return self._refused(event, responder, "unknown_code", hints.wrong)
        plain = _ANSWER.fullmatch(text)
        kind = WORDS.get(plain[1]) if plain is not None else None
        if plain is None or kind is None:
            return event, (responder, hints.unread + hints.code)
        legs = self._all_legs(responder.id)
        if len(legs) != 1:
            return self._refused(event, responder, "missing_code" if legs else "no_open_order", hints.code if legs else hints.none)
        return self._answer(event, responder, kind, plain[1], legs[0], (plain[2] or "").strip()), None

    @property
    def _hints(self) -> Hints:
        return HINTS.get(self._language(), HINTS["zh-CN"])

    def _refused(self, event: Event, responder: Responder, reason: str, hint: str) -> tuple[Rejected, tuple[Responder, str]]:
        return Rejected(reason=reason, raw=event.raw, line=event.line, device=responder.id), (responder, hint)

    def _answer(self, event: Event, responder: Responder, kind: Kind, word: str, leg: Leg, note: str) -> Event:
        detail: dict[str, object] = {"delivery": leg.delivery, "by": responder.id, "way": self._channel}
        if note:
            detail["note"] = note[:MAX_NOTE]
        return msgspec.structs.replace(event, kind=kind, kind_raw=word, device=responder.id, detail=detail)

    def _by_number(self, number: str) -> Responder | None:
        """Whose number it is, if it is one responder's alone."""
        try:
            number = phone_cell("")(number)
        except ValueError:
            return None
        found = [one for one in self._register().responders.values() if one.channel == self._channel and (one.address or one.phone) == number]
        return found[0] if len(found) == 1 else None

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

    def _legs(self, responder: str, kind: Kind, wanted: str) -> list[tuple[Matter, Leg]]:
        """The orders that the answer can mean."""
        mine = [
            (incident, leg)
            for incident in self._incidents()
            if incident.is_open and (not wanted or incident.id == wanted)
            for leg in incident.legs
            if leg.responder == responder and leg.channel == self._channel
        ]
        groups = ([pair for pair in mine if pair[1].state in states] for states in MEANT[kind])
        return next((group for group in groups if group), [])

    def _all_legs(self, responder: str) -> list[Leg]:
        """Every order of this responder in what is open, but those that are done."""
        return [
            leg
            for incident in self._incidents()
            if incident.is_open
            for leg in incident.legs
            if leg.responder == responder and leg.channel == self._channel and leg.state is not LegState.DONE
        ]

    def _hint(self, responder: Responder, text: str) -> None:
        now = self._clock()
        if now - self._hinted.get(responder.id, -HINT_EVERY_S) >= HINT_EVERY_S:
            self._hinted[responder.id] = now
            self._say(responder.address or responder.phone, f"【12349】{text}")
