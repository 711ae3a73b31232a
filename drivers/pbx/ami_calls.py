"""Events of Asterisk's manager into calls at the hotline: whose channel is whose, who answered, and why it ended. Sans-I/O.

Source: asterisk-ami, sections 3 to 5 (rules 1 to 6). A call's token is its Linkedid, which is the Uniqueid of the caller's channel.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from drivers.calls.call import State
from drivers.contract import Signal
from drivers.pbx.ami_channel import Channel, device_of, duration_s, number
from drivers.pbx.ami_message import Message
from drivers.pbx.ledger import Ledger, LedgerCall

MAX_CHANNELS = 50_000  # far above what one Asterisk carries; 20,000 calls of two legs
MAX_MEMBERS = 64  # of a queue whose names are noted for a call
MAX_TRIED = 16  # agents named who did not pick up
MAX_FILE = 300  # characters of the name of a recording
RECORDING = "recording"  # the UserEvent in which the dialplan names it
LATE_S = 3.0  # a channel's Newchannel may arrive after a list that names it

_RING, _RINGING, _UP = "4", "5", "6"
_HIDDEN = frozenset({"anonymous", "restricted", "private"})
_REASONS = {  # of DialStatus; the first that applies to any of a call's attempts is the call's
    "BUSY": "busy",
    "NOANSWER": "no_answer",
    "CANCEL": "no_answer",
    "CONGESTION": "failure",
    "CHANUNAVAIL": "failure",
}
_CAUSES = {"17": "busy", "18": "no_answer", "19": "no_answer", "21": "declined"}  # Q.850, where nobody was dialled


class _Memory:
    """What the events of one call have said that is not news yet."""

    __slots__ = ("agent_leg", "by", "left_queue", "members", "statuses")

    def __init__(self) -> None:
        self.agent_leg = ""
        self.members: dict[str, str] = {}  # extension → name of a queue's member
        self.by = ""  # of AgentComplete
        self.left_queue = False
        self.statuses: set[str] = set()


class _Heard:
    """One message, its times, and the signals it has brought so far."""

    __slots__ = ("at", "message", "now", "signals")

    def __init__(self, message: Message, now: float, at: datetime | None) -> None:
        self.message = message
        self.now = now
        self.at = at
        self.signals: list[Signal] = []

    @property
    def rest(self) -> tuple[float, datetime | None, bytes, str]:
        """The last four arguments of every step of the ledger."""
        return self.now, self.at, self.message.raw, self.message.name


class AmiCalls:
    """Channels and bridges as they are now, and the ledger they write into.

    contexts: dialplan contexts of the trunks → the hotline that they mean when the dialled number is none; queues: likewise;
    agents: extensions that are known.
    """

    def __init__(self, ledger: Ledger, contexts: Mapping[str, str], queues: Mapping[str, str], agents: Mapping[str, str]) -> None:
        self.ledger = ledger
        self.channels: dict[str, Channel] = {}
        self.refused = 0  # channels there was no room for
        self._contexts = contexts
        self._queues = queues
        self._agents = agents
        self._bridges: dict[str, set[str]] = {}
        self._readers: dict[str, Callable[[_Heard], None]] = {
            "Newchannel": self._offered,
            "Newstate": self._new_state,
            "Rename": self._renamed,
            "NewCallerid": self._new_caller,
            "DialBegin": self._dial_begun,
            "DialState": self._dial_state,
            "DialEnd": self._dial_ended,
            "BridgeEnter": self._bridge_entered,
            "BridgeLeave": self._bridge_left,
            "LocalBridge": self._local_halves,
            "BlindTransfer": self._blindly_transferred,
            "AttendedTransfer": self._transferred,
            "HangupRequest": self._hangup_asked,
            "SoftHangupRequest": self._seen,
            "NewConnectedLine": self._seen,
            "Hangup": self._hung_up,
            "QueueCallerJoin": self._joined_queue,
            "QueueCallerAbandon": self._abandoned_queue,
            "QueueCallerLeave": self._seen,
            "AgentCalled": self._agent_called,
            "AgentRingNoAnswer": self._agent_silent,
            "AgentConnect": self._agent_connected,
            "AgentComplete": self._agent_done,
            "UserEvent": self._recorded,
        }

    def receive(self, message: Message, now: float, at: datetime | None) -> list[Signal]:
        """One event; those that tell nothing of calls give nothing."""
        reader = self._readers.get(message.name)
        if reader is None:
            return []
        heard = _Heard(message, now, at)
        reader(heard)
        return heard.signals

    def start(self) -> None:
        """A new connection: what channels there are, its snapshot will tell."""
        self.channels.clear()
        self._bridges.clear()

    def restarted(self, now: float) -> list[Signal]:
        """Asterisk was started anew: no channel has lived through that."""
        self.start()
        return self.ledger.lose_sight((), now, "exchange_restarted")

    def channel_of(self, call: LedgerCall) -> str:
        """The name of the caller's channel, or its Uniqueid, which Asterisk takes as well."""
        channel = self.channels.get(call.token)
        return channel.name if channel is not None and channel.name else call.token

    def not_told(self, lists: Iterable[Message], since_s: float) -> bool:
        """Does a snapshot list a channel whose Newchannel we should have heard within the last `since_s` seconds?"""
        return any(
            one["Uniqueid"] and one["Uniqueid"] not in self.channels and LATE_S <= duration_s(one["Duration"]) < since_s - LATE_S for one in lists
        )

    # ---- snapshots

    def reconcile(self, listed: list[Message], queued: list[Message], asked_at: float, now: float, received_at: datetime) -> list[Signal]:
        """`CoreShowChannel` and `QueueEntry` events, asked for at `asked_at`: calls that are gone are ended, calls not known are opened."""
        entries = {entry["Uniqueid"]: entry for entry in queued if entry["Uniqueid"]}
        present: set[str] = set()
        for one in listed:
            channel = self._channel(one, "", now)
            if channel is None:
                continue
            present |= {channel.uid, channel.linked}
            channel.application = one["Application"]
            channel.is_dialled = channel.is_dialled or channel.application in ("AppDial", "AppQueue")
            self._enter(channel, one["BridgeId"])
        for channel in [channel for channel in self.channels.values() if channel.uid not in present and channel.born < asked_at]:
            self._forget(channel)
        found = self.ledger.lose_sight(present, now, "lost_while_disconnected", asked_at)
        for one in listed:
            channel = self.channels.get(one["Uniqueid"])
            if channel is None or channel.is_ours:
                continue
            began_at = received_at - timedelta(seconds=duration_s(one["Duration"]))
            found += self._found_in_progress(channel, one, entries.get(channel.uid), now, began_at)
            call = self._call(channel)
            if call is not None and call.token == channel.uid:
                channel.is_caller = True
            if call is not None and one["ChannelState"] == _RINGING and channel.uid != call.token and channel.is_person:
                found += self.ledger.ring(call, now, None, one.raw, one.name)
        for bridge in list(self._bridges):
            found += self._connected(bridge, now, None, b"", "snapshot", inferred=True)
        return found

    def _found_in_progress(self, channel: Channel, one: Message, entry: Message | None, now: float, began_at: datetime) -> list[Signal]:
        found: list[Signal] = []
        call = self._call(channel)
        queue = entry["Queue"] if entry is not None else ""
        if call is None and channel.uid == channel.linked and channel.is_person and not channel.is_dialled:
            hotline = self._hotline(one["Context"], one["Exten"], channel.number) or self._queues.get(queue)
            if hotline is not None:
                found = self._offer(channel, one, hotline, now, began_at, inferred=True)
                call = self._call(channel)
        if call is not None and entry is not None and channel.uid == call.token and not call.is_final:
            self._queued(call, entry)
        return found

    # ---- offered

    def _offered(self, heard: _Heard) -> None:
        channel = self._see(heard)
        message = heard.message
        # Down (0) is a channel that somebody here opens: an agent's leg, or an originated call.
        if channel is None or channel.is_ours or channel.uid != channel.linked or not channel.is_person:
            return
        states = (_RING, _UP) if message.name == "Newchannel" else (_RING,)
        if channel.is_dialled or message["ChannelState"] not in states or self._call(channel) is not None:
            return
        hotline = self._hotline(message["Context"], message["Exten"], channel.number)
        if hotline is not None:
            heard.signals += self._offer(channel, message, hotline, heard.now, heard.at)

    def _hotline(self, context: str, exten: str, number: str) -> str | None:
        """Rule 1. Agents dial 12345 too, to hand a matter over: that is no call at ours unless it comes in from a trunk."""
        dialled = self.ledger.hotline(exten) if exten else None
        if context in self._contexts:
            return dialled or self._contexts[context]
        return None if number in self._agents else dialled

    def _offer(self, channel: Channel, message: Message, hotline: str, now: float, at: datetime | None, inferred: bool = False) -> list[Signal]:
        channel.is_caller = True
        exten, name = message["Exten"], message.told("CallerIDName")
        caller = self.ledger.caller(channel.number, name if name != channel.number else "", restricted=message["CallerIDNum"].lower() in _HIDDEN)
        called = exten if exten.lstrip("+").isdigit() else hotline  # s and the like are places in the dialplan
        return self.ledger.offer(channel.uid, caller, called, hotline, now, at, message.raw, message.name, inferred)

    def _new_caller(self, heard: _Heard) -> None:
        """The number came late: believed where there was none, or none that could be dialled."""
        channel = self._see(heard)
        call = self._call(channel)
        if channel is None or call is None or channel.uid != call.token or call.caller.e164 is not None:
            return
        message = heard.message
        restricted = "prohibited" in message["CID-CallingPres"].lower()
        caller = self.ledger.caller(channel.number, message.told("CallerIDName"), restricted=restricted)
        if not call.caller.raw or caller.e164 is not None:
            heard.signals += self.ledger.learn(call, caller, heard.at, message.raw, message.name)

    # ---- ringing and answered

    def _new_state(self, heard: _Heard) -> None:
        channel = self._see(heard)
        call = self._call(channel)
        if channel is None:
            return
        if call is None:
            self._offered(heard)  # an analogue line: first Down, then Ring
        elif heard.message["ChannelState"] == _RINGING and channel.uid != call.token and channel.is_person:
            heard.signals += self.ledger.ring(call, *heard.rest)

    def _dial_begun(self, heard: _Heard) -> None:
        self._see(heard)
        leg = self._see(heard, "Dest")
        if leg is not None:
            leg.is_dialled = True

    def _dial_state(self, heard: _Heard) -> None:
        self._see(heard)
        leg = self._see(heard, "Dest")
        call = self._call(leg)
        if leg is not None and call is not None and leg.is_person and heard.message["DialStatus"] == "RINGING":
            heard.signals += self.ledger.ring(call, *heard.rest)

    def _dial_ended(self, heard: _Heard) -> None:
        """It repeats: the loser of a ring-all is told CANCEL twice."""
        self._see(heard)
        leg = self._see(heard, "Dest")
        call = self._call(leg)
        if leg is None or call is None or leg.uid == call.token:
            return
        status = heard.message["DialStatus"]
        if status != "ANSWER":
            _memory(call).statuses.add(status)
        elif leg.is_person:
            heard.signals += self._answer(call, leg, *heard.rest)

    def _answer(
        self, call: LedgerCall, leg: Channel, now: float, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False
    ) -> list[Signal]:
        if call.is_final:
            return []
        memory = _memory(call)
        if memory.agent_leg != leg.uid:
            memory.agent_leg, memory.by = leg.uid, ""
        agent = self._agent(leg, call)
        if agent != call.agent:
            call.agent_name = memory.members.get(agent) or memory.members.get(leg.device, "")
        return self.ledger.answer(call, agent, now, at, raw, kind_raw, inferred)

    def _agent(self, leg: Channel, call: LedgerCall) -> str:
        """An extension that is known; else what looks most like one. The number of a dialled leg may be that of the dialplan, even ours."""
        said = [leg.number if leg.number not in (call.called, call.caller.raw) else "", leg.device]
        for candidate in said:
            if candidate in self._agents:
                return candidate
        return next((candidate for candidate in reversed(said) if candidate.isdigit()), "") or said[0] or leg.device

    def _bridge_entered(self, heard: _Heard) -> None:
        channel = self._see(heard)
        bridge = heard.message["BridgeUniqueid"]
        if channel is not None and heard.message["BridgeTechnology"] != "holding_bridge":  # where calls are parked
            self._enter(channel, bridge)
            self._look(bridge, heard)

    def _bridge_left(self, heard: _Heard) -> None:
        channel = self._see(heard)
        if channel is not None:
            bridge = channel.bridge
            self._leave(channel)
            self._look(bridge, heard)

    def _local_halves(self, heard: _Heard) -> None:
        one, two = self._see(heard, "LocalOne"), self._see(heard, "LocalTwo")
        if one is not None and two is not None:
            one.half, two.half = two.uid, one.uid

    def _recorded(self, heard: _Heard) -> None:
        """`UserEvent(Recording,File: ${MIXMONITOR_FILENAME})` of the dialplan: VarSet would say it too, among a hundred others a call."""
        message = heard.message
        if message["UserEvent"].lower() == RECORDING and message["File"]:
            channel = self.channels.get(message["Uniqueid"])
            call = self._call(channel) if channel is not None else self.ledger.call(message["Linkedid"])
            if call is not None:
                call.facts["recording"] = message["File"][:MAX_FILE]

    def _look(self, bridge: str, heard: _Heard) -> None:
        """Who is in a bridge has changed: news for its caller, or for one who is in it through a Local channel."""
        for name in (bridge, *(far.bridge for channel in self._members(bridge) if (far := self.channels.get(channel.half)) is not None)):
            heard.signals += self._connected(name, *heard.rest)

    def _members(self, bridge: str) -> list[Channel]:
        return [self.channels[uid] for uid in sorted(self._bridges.get(bridge, ())) if uid in self.channels]

    def _connected(self, bridge: str, now: float, at: datetime | None, raw: bytes, kind_raw: str, inferred: bool = False) -> list[Signal]:
        """A caller and somebody else in one bridge are talking; who was there already goes on being the agent."""
        members = self._members(bridge)
        calls = [call for one in members if (call := self.ledger.call(one.uid)) is not None and call.token == one.uid]
        if not calls:
            return []
        for far in [self.channels[one.half] for one in members if one.half in self.channels]:
            members += self._members(far.bridge)
        people = [channel for channel in members if channel.is_person and not channel.is_caller]
        found: list[Signal] = []
        for call in calls:
            if people and _memory(call).agent_leg not in {channel.uid for channel in people}:
                found += self._answer(call, people[-1], now, at, raw, kind_raw, inferred)
        return found

    def _enter(self, channel: Channel, bridge: str) -> None:
        if channel.bridge != bridge:
            self._leave(channel)
        if bridge:
            channel.bridge = bridge
            self._bridges.setdefault(bridge, set()).add(channel.uid)

    def _leave(self, channel: Channel) -> None:
        members = self._bridges.get(channel.bridge)
        if members is not None:
            members.discard(channel.uid)
            if not members:
                del self._bridges[channel.bridge]
        channel.bridge = ""

    # ---- queues

    def _joined_queue(self, heard: _Heard) -> None:
        channel = self._see(heard)
        queue = heard.message["Queue"]
        call = self._call(channel)
        if channel is not None and call is None and queue in self._queues and channel.is_person and not channel.is_ours:
            heard.signals += self._offer(channel, heard.message, self._queues[queue], heard.now, heard.at)
            call = self._call(channel)
        if call is not None:
            _memory(call).left_queue = False
            self._queued(call, heard.message)

    def _queued(self, call: LedgerCall, message: Message) -> None:
        call.queue = message["Queue"] or None
        position = number(message["Position"])
        if position is not None:
            call.facts["position"] = int(position)

    def _abandoned_queue(self, heard: _Heard) -> None:
        """Sent when the caller gave up, and when the queue timed out: which, only the Hangup shows."""
        call = self._call(self._see(heard))
        if call is not None:
            _memory(call).left_queue = True
            self._note(call, "hold_s", number(heard.message["HoldTime"]))

    def _agent_called(self, heard: _Heard) -> None:
        leg, call = self._member(heard)
        if leg is not None:
            leg.is_dialled = True
        if call is not None:
            call.queue = call.queue or heard.message["Queue"] or None
            heard.signals += self.ledger.ring(call, *heard.rest)

    def _agent_silent(self, heard: _Heard) -> None:
        """RingTime is in milliseconds here, and in seconds in AgentConnect."""
        leg, call = self._member(heard)
        if call is None or call.is_final:
            return
        _memory(call).statuses.add("NOANSWER")
        rung_ms = number(heard.message["RingTime"])
        tried = call.facts.get("tried", [])
        agent = self._agent(leg, call) if leg is not None else device_of(heard.message["Interface"])
        if isinstance(tried, list) and len(tried) < MAX_TRIED:  # a new list: events told before hold the old one
            call.facts["tried"] = [*tried, {"agent": agent, "ring_s": None if rung_ms is None else rung_ms / 1000}]

    def _agent_connected(self, heard: _Heard) -> None:
        leg, call = self._member(heard)
        if call is None or call.is_final:
            return
        self._note(call, "hold_s", number(heard.message["HoldTime"]))
        self._note(call, "ring_s", number(heard.message["RingTime"]))
        if leg is not None and leg.is_person:
            heard.signals += self._answer(call, leg, *heard.rest)
        elif call.state is not State.ANSWERED:
            # A Local/ member: its interface names the extension, unless the telephone behind it has answered already.
            agent = device_of(heard.message["Interface"]) or heard.message["MemberName"]
            call.agent_name = _memory(call).members.get(agent, "")
            heard.signals += self.ledger.answer(call, agent, *heard.rest)

    def _agent_done(self, heard: _Heard) -> None:
        _, call = self._member(heard)
        if call is not None:
            self._note(call, "talk_s", number(heard.message["TalkTime"]))
            _memory(call).by = heard.message["Reason"]

    def _member(self, heard: _Heard) -> tuple[Channel | None, LedgerCall | None]:
        """The channel that rings a queue's member, and the call; the member's name is noted where somebody gave it one."""
        leg = self._see(heard, "Dest")
        call = self._call(self._see(heard)) or self._call(leg)
        name = heard.message.told("MemberName")
        if call is not None and name and "/" not in name and len(_memory(call).members) < MAX_MEMBERS:
            _memory(call).members[device_of(heard.message["Interface"])] = name
        return leg, call

    def _note(self, call: LedgerCall, fact: str, value: float | None) -> None:
        if value is not None:
            call.facts[fact] = value

    # ---- transfers and the end

    def _blindly_transferred(self, heard: _Heard) -> None:
        """News only when the new agent answers; until then the caller is on the line with nobody."""
        self._see(heard, "Transferer")
        call = self._call(self._see(heard, "Transferee"))
        if call is not None and heard.message["Result"] == "Success":
            _memory(call).agent_leg = ""
            call.facts["transferred_to"] = heard.message["Extension"]

    def _transferred(self, heard: _Heard) -> None:
        """Attended: the caller and the one who was asked are connected. Which of the two is which depends on who called whom."""
        if heard.message["Result"] not in ("Success", ""):
            return
        legs = [leg for prefix in ("Transferee", "TransferTarget") if (leg := self._see(heard, prefix)) is not None]
        for leg in legs:
            call = self.ledger.call(leg.uid)
            other = next((one for one in legs if one is not leg and one.is_person), None)
            if call is not None and other is not None and self.ledger.call(other.uid) is None:
                heard.signals += self._answer(call, other, *heard.rest)

    def _hangup_asked(self, heard: _Heard) -> None:
        channel = self._see(heard)
        if channel is not None:
            channel.asked = True
            call = self._call(channel)
            if call is not None and channel.uid == _memory(call).agent_leg:
                _memory(call).by = "agent"

    def _hung_up(self, heard: _Heard) -> None:
        """Rule 6: only the caller's channel ends the call. Where that was never seen, the last of its channels does."""
        channel = self._see(heard)
        if channel is None:
            return
        call = self._call(channel)
        self._forget(channel)
        if call is None or call.is_final:
            return
        names = {call.token, *call.aliases}
        if channel.uid == call.token:
            self._end(call, channel.asked, heard)
        elif call.token not in self.channels and not any(one.linked in names for one in self.channels.values()):
            heard.signals += self.ledger.end(call, None, *heard.rest, inferred=True)

    def _end(self, call: LedgerCall, asked: bool, heard: _Heard) -> None:
        """Rules 4 and 5. Neither the cause nor what SIP says tells a missed call: 0, 16, 127 and 603 were all seen."""
        memory = _memory(call)
        cause = heard.message["Cause"]
        call.cause = int(cause) if cause.isascii() and cause.isdigit() and len(cause) < 4 else None
        if call.state is State.ANSWERED:
            by = "caller" if asked else memory.by if memory.by in ("caller", "agent") else "exchange"
            heard.signals += self.ledger.end(call, by, *heard.rest)
            return
        reason = "queue_timeout" if memory.left_queue else next((why for status, why in _REASONS.items() if status in memory.statuses), "")
        reason = reason or _CAUSES.get(cause, "no_agent")
        heard.signals += self.ledger.lose(call, asked, "" if asked else reason, *heard.rest)

    # ---- channels

    def _seen(self, heard: _Heard) -> None:
        self._see(heard)

    def _renamed(self, heard: _Heard) -> None:
        channel = self._see(heard)
        if channel is not None:
            channel.name = heard.message["Newname"] or channel.name

    def _call(self, channel: Channel | None) -> LedgerCall | None:
        return None if channel is None else self.ledger.call(channel.linked) or self.ledger.call(channel.uid)

    def _see(self, heard: _Heard, prefix: str = "") -> Channel | None:
        """The channel of which a message tells, under this prefix; a Linkedid that has changed joins two calls."""
        message = heard.message
        known = self.channels.get(message[f"{prefix}Uniqueid"])
        linked = message[f"{prefix}Linkedid"]
        if known is not None and linked and known.linked != linked:
            mine, other = self.ledger.call(known.linked), self.ledger.call(linked)
            if mine is not None and mine.token == known.uid:
                if other is None:
                    self.ledger.alias(mine, linked)
                else:
                    heard.signals += self.ledger.merge(other, mine, *heard.rest)
        return self._channel(message, prefix, heard.now)

    def _channel(self, message: Message, prefix: str, now: float) -> Channel | None:
        uid = message[f"{prefix}Uniqueid"]
        if not uid:
            return None
        linked, name = message[f"{prefix}Linkedid"] or uid, message[f"{prefix}Channel"]
        channel = self.channels.get(uid)
        if channel is None:
            if len(self.channels) >= MAX_CHANNELS:
                self.refused += 1
                return None
            channel = self.channels[uid] = Channel(uid, linked, name, message.told(f"{prefix}CallerIDNum"), now)
        channel.linked = linked
        channel.name = name or channel.name
        channel.number = message.told(f"{prefix}CallerIDNum") or channel.number
        return channel

    def _forget(self, channel: Channel) -> None:
        self._leave(channel)
        self.channels.pop(channel.uid, None)


def _memory(call: LedgerCall) -> _Memory:
    if not isinstance(call.memory, _Memory):
        call.memory = _Memory()
    return call.memory
