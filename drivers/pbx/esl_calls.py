"""From FreeSWITCH's events to calls: which channel is a caller's, which an agent's, who answered, why it ended. Sans-I/O.

Source: freeswitch-esl, sections 3 and 4. A call is named by the Unique-ID of the caller's leg; agents' legs are found by the links that the
events carry, and kept here by their own Unique-ID.
"""

from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from drivers.contract import Signal
from drivers.pbx.esl_message import Fields
from drivers.pbx.ledger import Ledger, LedgerCall
from drivers.sip.caller import Caller

V = TypeVar("V")

MAX_CHANNELS = 50_000  # a large FreeSWITCH carries 10,000 channels; the oldest link goes first
MAX_FILE = 300  # characters of the name of a recording
MAX_FACT = 128  # characters of a name, a queue or a cause that we keep
OUR_ID = "variable_gateway_id"  # set on every leg that we dial ourselves

# Whoever sees the number of a caller who withheld it: FreeSWITCH writes words in its place.
_NOBODY = frozenset({"", "anonymous", "unknown", "restricted", "unavailable", "private", "0000000000", "freeswitch", "<unknown>"})
_HIDES = frozenset({"true", "yes", "1", "number", "full", "both", "all"})
# Hangup-Cause (Q.850 by name) → our reason; everything else is a failure with its cause beside it.
_REASON = {
    "NO_ANSWER": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "PROGRESS_TIMEOUT": "no_answer",
    "NORMAL_CLEARING": "no_answer",  # the switch itself let go: nobody had taken it
    "SUBSCRIBER_ABSENT": "no_answer",
    "USER_NOT_REGISTERED": "no_answer",
    "USER_BUSY": "busy",
    "CALL_REJECTED": "declined",
    "UNALLOCATED_NUMBER": "not_found",
    "NO_ROUTE_DESTINATION": "not_found",
    "INVALID_NUMBER_FORMAT": "not_found",
}
_QUEUE_REASON = {"TIMEOUT": "queue_timeout", "NO_AGENT_TIMEOUT": "queue_timeout", "EXIT_WITH_KEY": "left_queue"}
_BY_CALLER = ("recv_bye", "recv_cancel")
_LINKS = ("Channel-Call-UUID", "Other-Leg-Unique-ID", "variable_originating_leg_uuid", "variable_bridge_uuid")
# Channels that are no people: queue helpers, voicemail, recordings.
_NO_PEOPLE = ("loopback/", "local_stream", "fifo/", "conference/")


class Leg(msgspec.Struct):
    """An agent's leg: whose it is and whom it rings."""

    token: str  # of the call, "" while nobody has said
    number: str = ""
    is_person: bool = True


class EslCalls:
    """The calls of one FreeSWITCH. `receive` gives what is news of one event; the same event again gives nothing."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._legs: OrderedDict[str, Leg] = OrderedDict()
        self._tokens: OrderedDict[str, str] = OrderedDict()  # Unique-ID of a caller's leg → token; they differ after CHANNEL_UUID
        self._ours: OrderedDict[str, None] = OrderedDict()  # legs that we dialled ourselves

    def receive(self, event: Fields, now: float, raw: bytes) -> list[Signal]:
        """One event, fields as FreeSWITCH names them."""
        name = event.get("Event-Name", "")
        at = _time(event)
        if name == "CUSTOM" and event.get("Event-Subclass") == "callcenter::info":
            return self._queue_event(event, now, at, raw)
        step = _STEPS.get(name)
        return step(self, event, now, at, raw) if step is not None and event.get("Unique-ID") else []

    def start_over(self, now: float) -> list[Signal]:
        """FreeSWITCH was started anew: nothing of before lives."""
        self._legs.clear()
        self._tokens.clear()
        self._ours.clear()
        return self._ledger.lose_sight((), now, "exchange_restarted")

    def snapshot(self, channels: Iterable[Fields], now: float, raw: bytes) -> list[Signal]:
        """What `show channels as json` lists: calls that are gone have ended unseen, those we do not know are in progress."""
        rows = list(channels)
        present = {self._tokens.get(row.get("uuid", ""), row.get("uuid", "")) for row in rows}
        found = self._ledger.lose_sight(present, now, "lost_while_disconnected")
        for row in rows:
            found += self._seen(row, now, raw)
        return found

    def bridged(self, rows: Iterable[Fields], now: float, raw: bytes) -> list[Signal]:
        """What `show calls as json` lists: who talks to whom at this moment."""
        found: list[Signal] = []
        for row in rows:
            call = self._call(self._tokens.get(row.get("uuid", ""), ""))
            other = row.get("b_uuid", "")
            if call is None or not other or row.get("b_name", "").startswith(_NO_PEOPLE):
                continue
            leg = self._legs.get(other) or Leg(call.token, row.get("b_dest") or row.get("b_callee_num", ""))
            _remember(self._legs, other, leg)
            found += self._ledger.answer(call, leg.number, now, None, raw, "snapshot")
        return found

    def adopt(self) -> None:
        """After a restart of ours: the calls that the ledger took up are known by their callers' legs."""
        for call in self._ledger:
            _remember(self._tokens, call.token, call.token)

    def leg_of(self, call: LedgerCall) -> str:
        """The Unique-ID that the caller's leg of a call has now."""
        return next((leg for leg, token in reversed(self._tokens.items()) if token == call.token), call.token)

    # ---- steps

    def _create(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        leg = event["Unique-ID"]
        if event.get(OUR_ID):
            _remember(self._ours, leg, None)
        if leg in self._ours:
            return []
        if _is_inbound(event):
            return self._offer(event, leg, now, at, raw)
        self._leg(event)
        return []

    def _offer(self, event: Fields, leg: str, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        called = event.get("Caller-Destination-Number", "")
        hotline = self._ledger.hotline(called)
        if hotline is None:
            return []
        _remember(self._tokens, leg, leg)
        return self._ledger.offer(leg, self._caller(event), called, hotline, now, at, raw, event["Event-Name"])

    def _progress(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        leg = self._leg(event)
        call = self._call(leg.token) if leg is not None else None
        return self._ledger.ring(call, now, at, raw, event["Event-Name"]) if call is not None else []

    def _answer(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        """Of the caller's leg it is often a queue's or a voice menu's; only an agent's leg says that a person took it."""
        leg = self._leg(event)
        call = self._call(leg.token) if leg is not None else None
        if leg is None or call is None or not leg.is_person:
            return []
        return self._ledger.answer(call, leg.number, now, at, raw, event["Event-Name"])

    def _bridge(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        first = event.get("Bridge-A-Unique-ID") or event["Unique-ID"]
        second = event.get("Bridge-B-Unique-ID") or event.get("Other-Leg-Unique-ID", "")
        for caller, other in ((first, second), (second, first)):
            call = self._call(self._tokens.get(caller, ""))
            if call is None:
                continue
            leg = self._legs.get(other)
            if leg is None:
                leg = Leg(call.token, event.get("Caller-Callee-ID-Number") or event.get("Other-Leg-Destination-Number", ""))
                _remember(self._legs, other, leg)
            leg.token = leg.token or call.token
            return self._ledger.answer(call, leg.number, now, at, raw, event["Event-Name"]) if leg.is_person and other not in self._tokens else []
        return []

    def _update(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:  # noqa: ARG002 - one signature for every step
        call = self._call(self._tokens.get(event["Unique-ID"], ""))
        if call is None or call.caller.e164:
            return []
        return self._ledger.learn(call, self._caller(event), at, raw, event["Event-Name"])

    def _renamed(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:  # noqa: ARG002 - one signature for every step
        before, after = event.get("Old-Unique-ID", ""), event["Unique-ID"]
        if before in self._tokens:
            _remember(self._tokens, after, self._tokens.pop(before))
        if before in self._legs:
            _remember(self._legs, after, self._legs.pop(before))
        if before in self._ours:
            _remember(self._ours, after, None)
        return []

    def _recorded(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:  # noqa: ARG002 - one signature for every step
        name = event["Unique-ID"]
        leg = self._legs.get(name)
        call = self._call(self._tokens.get(name, "") or (leg.token if leg is not None else ""))
        if call is not None and event.get("Record-File-Path"):
            call.facts["recording"] = event["Record-File-Path"][:MAX_FILE]
        return []

    def _hangup(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        name = event["Unique-ID"]
        self._ours.pop(name, None)
        leg = self._legs.pop(name, None)
        disposition = event.get("variable_sip_hangup_disposition", "")
        if leg is not None:
            call = self._call(leg.token)
            if call is not None and call.agent and disposition == "recv_bye" and leg.number == call.agent:
                call.by = "agent"
            return []
        call = self._call(self._tokens.pop(name, ""))
        if call is None:
            return []
        cause = (event.get("Hangup-Cause") or event.get("variable_hangup_cause", ""))[:MAX_FACT]
        call.cause = cause or None
        by_caller = cause == "ORIGINATOR_CANCEL" or disposition in _BY_CALLER
        kind_raw = event["Event-Name"]
        if call.agent is not None:
            return self._ledger.end(call, "caller" if by_caller else call.by, now, at, raw, kind_raw)
        if by_caller:
            return self._ledger.lose(call, True, "", now, at, raw, kind_raw)
        return self._ledger.lose(call, False, call.reason or _REASON.get(cause, "failure"), now, at, raw, kind_raw)

    def _queue_event(self, event: Fields, now: float, at: datetime | None, raw: bytes) -> list[Signal]:
        """mod_callcenter knows more than the channels: the queue, and which agent."""
        call = self._call(self._tokens.get(event.get("CC-Member-Session-UUID", ""), ""))
        if call is None:
            return []
        action = event.get("CC-Action", "")
        kind_raw, agent = f"callcenter:{action}"[:MAX_FACT], _agent(event.get("CC-Agent", ""))
        if action in ("member-queue-start", "member-queue-resume"):
            call.queue = event.get("CC-Queue", "").partition("@")[0][:MAX_FACT] or None
        elif action == "agent-offering":
            return self._ledger.ring(call, now, at, raw, kind_raw)
        elif action == "bridge-agent-start":
            leg = self._legs.get(event.get("CC-Agent-UUID", ""))
            if leg is not None:
                leg.number = leg.number or agent
                agent = leg.number if call.agent == leg.number else agent
            return self._ledger.answer(call, agent, now, at, raw, kind_raw)
        elif action == "member-queue-end" and event.get("CC-Cause") == "Cancel":
            call.reason = _QUEUE_REASON.get(event.get("CC-Cancel-Reason", "")) or call.reason
        return []

    # ---- what belongs together

    def _call(self, token: str) -> LedgerCall | None:
        call = self._ledger.call(token) if token else None
        return None if call is None or call.is_final else call

    def _leg(self, event: Fields) -> Leg | None:
        """The agent's leg of an event, linked to its call as soon as an event says so; None for callers' legs and our own."""
        name = event["Unique-ID"]
        if name in self._tokens or name in self._ours:
            return None
        leg = self._legs.get(name)
        if leg is None:
            if _is_inbound(event):
                return None
            channel = event.get("Channel-Name", "")
            leg = Leg("", event.get("Caller-Destination-Number", "")[:MAX_FACT], not channel.startswith(_NO_PEOPLE))
            _remember(self._legs, name, leg)
        if not leg.token:
            for link in _LINKS:
                token = self._tokens.get(event.get(link, ""))
                if token is not None:
                    leg.token = token
                    break
        return leg

    def _caller(self, event: Fields) -> Caller:
        number = event.get("Caller-Caller-ID-Number", "")
        asserted = event.get("variable_sip_P-Asserted-Identity", "")
        if number.lower() in _NOBODY:
            number = event.get("Caller-ANI", "") or asserted.partition("@")[0].rpartition(":")[2]
        number = "" if number.lower() in _NOBODY else number
        name = event.get("Caller-Caller-ID-Name", "")
        hidden = event.get("Caller-Privacy-Hide-Number", "").lower() in _HIDES or event.get("variable_privacy", "").lower() in _HIDES
        return self._ledger.caller(
            number, "" if name.lower() in _NOBODY or name == number else name, restricted=hidden, redirecting=event.get("Caller-RDNIS", "")
        )

    def _seen(self, row: Fields, now: float, raw: bytes) -> list[Signal]:
        """One row of `show channels`: names are those of its table (uuid, direction, cid_num, dest, callstate …)."""
        if row.get("direction") != "inbound" or row.get("uuid", "") in self._tokens or row.get("uuid", "") in self._ours:
            return []
        event = {
            "Event-Name": "snapshot",
            "Unique-ID": row.get("uuid", ""),
            "Caller-Destination-Number": row.get("initial_dest") or row.get("dest", ""),
            "Caller-Caller-ID-Number": row.get("initial_cid_num") or row.get("cid_num", ""),
            "Caller-Caller-ID-Name": row.get("initial_cid_name") or row.get("cid_name", ""),
        }
        return self._offer(event, event["Unique-ID"], now, None, raw) if event["Unique-ID"] else []


_STEPS = {
    "CHANNEL_CREATE": EslCalls._create,
    "CHANNEL_PROGRESS": EslCalls._progress,
    "CHANNEL_PROGRESS_MEDIA": EslCalls._progress,
    "CHANNEL_ANSWER": EslCalls._answer,
    "CHANNEL_BRIDGE": EslCalls._bridge,
    "CALL_UPDATE": EslCalls._update,
    "CHANNEL_UUID": EslCalls._renamed,
    "CHANNEL_HANGUP_COMPLETE": EslCalls._hangup,
    "RECORD_START": EslCalls._recorded,
}


def _remember(table: "OrderedDict[str, V]", name: str, value: V) -> None:
    table[name] = value
    if len(table) > MAX_CHANNELS:
        table.popitem(last=False)


def _is_inbound(event: Fields) -> bool:
    """Towards the switch: the caller's leg."""
    return (event.get("Call-Direction") or event.get("Caller-Direction", "")) == "inbound"


def _agent(name: str) -> str:
    """`8001@default` → 8001."""
    return name.partition("@")[0][:MAX_FACT]


def _time(event: Fields) -> datetime | None:
    """Event-Date-Timestamp: microseconds since 1970."""
    text = event.get("Event-Date-Timestamp", "")
    if not (text.isascii() and text.isdigit() and 15 <= len(text) <= 16):
        return None
    return datetime.fromtimestamp(int(text) / 1e6, UTC)
