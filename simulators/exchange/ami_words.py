"""What happens, in the words of Asterisk's manager interface: event names, fields and orders as watched on Asterisk 22.10 (PJSIP, app_queue)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simulators.exchange.call import Call, Leg
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import Exchange

UNKNOWN = "<unknown>"
STATES = {"Down": "0", "Ring": "4", "Ringing": "5", "Up": "6"}
CAUSES = {
    0: "Unknown",
    3: "No route to destination",
    16: "Normal Clearing",
    17: "User busy",
    21: "Call Rejected",
    26: "Answered elsewhere",
    34: "Circuit/channel congestion",
    127: "Interworking, unspecified",
}
NOISE = ("SIPCALLID", "QUEUEPOSITION", "DIALEDPEERNUMBER", "BRIDGEPVTCALLID", "MACRO_DEPTH")  # variables a dialplan sets all the time
Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Said:
    """One AMI event: its class (of the `read=` list), its name, its fields in wire order."""

    group: str
    name: str
    fields: Fields

    def to_bytes(self, timestamp: float | None) -> bytes:
        """CRLF lines; `Timestamp` follows `Privilege` when the exchange writes it. Names may be GBK: surrogates go out as the bytes they were."""
        lines = [f"Event: {self.name}", f"Privilege: {self.group},all"]
        if timestamp is not None:
            lines.append(f"Timestamp: {timestamp:.6f}")
        lines += [f"{key}: {value}" for key, value in self.fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


class Translator:
    """Happenings to AMI events. `noise`: VarSet and Newexten of class dialplan around every step, as a real dialplan has them."""

    def __init__(self, exchange: Exchange, *, noise: bool = True) -> None:
        self._exchange = exchange
        self._noise = noise
        self._rules: dict[What, Callable[[Happening], Iterator[Said]]] = {
            What.OFFERED: self._offered,
            What.CALLER_UP: lambda happening: self._state(happening.leg, "Up"),
            What.JOINED: self._joined,
            What.DIALLING: self._dialling,
            What.RINGING: self._ringing,
            What.ANSWERED: lambda happening: self._state(happening.leg, "Up"),
            What.RANG_OUT: self._rang_out,
            What.DIAL_ENDED: self._dial_ended,
            What.LEFT_QUEUE: self._left_queue,
            What.GAVE_UP: self._gave_up,
            What.CONNECTED: self._connected,
            What.BRIDGED: self._bridged,
            What.UNBRIDGED: self._unbridged,
            What.SERVED: self._served,
            What.HANGUP_ASKED: lambda happening: self._asked(happening, "HangupRequest"),
            What.SOFT_HANGUP: lambda happening: self._asked(happening, "SoftHangupRequest"),
            What.GONE: self._gone,
            What.BLIND: self._blind,
            What.ATTENDED: self._attended,
            What.LEARNT: self._learnt,
            What.HELD: lambda happening: self._plain(happening.leg, "Hold"),
            What.RESUMED: lambda happening: self._plain(happening.leg, "Unhold"),
            What.DIGIT: self._digit,
            What.KEY_TAKEN: self._key_taken,
            What.ORIGINATED: self._originated,
        }

    def __call__(self, happening: Happening) -> list[Said]:
        said = list(self._rules[happening.what](happening))
        if self._noise and happening.what not in (What.GONE, What.ORIGINATED):
            said += [
                Said("dialplan", "VarSet", [*self.channel(happening.leg), ("Variable", name), ("Value", happening.leg.sip_call_id)]) for name in NOISE
            ]
        return said

    # ---- fields

    def channel(self, leg: Leg, prefix: str = "", state: str = "") -> Fields:
        """What nearly every event says of a channel, in wire order."""
        state = state or ("Up" if leg.answered_at else "Ringing" if leg.ringing_at and not leg.inbound else "Ring" if leg.inbound else "Down")
        peer = leg.peer
        values = {
            "Channel": leg.channel,
            "ChannelState": STATES[state],
            "ChannelStateDesc": state,
            "CallerIDNum": leg.number or UNKNOWN,
            "CallerIDName": leg.name or UNKNOWN,
            "ConnectedLineNum": (peer.number if peer else "") or UNKNOWN,
            "ConnectedLineName": (peer.name if peer else "") or UNKNOWN,
            "Language": "en",
            "AccountCode": "",
            "Context": leg.context,
            "Exten": leg.dialled if leg.inbound else leg.number,
            "Priority": "1",
            "Uniqueid": leg.uniqueid,
            "Linkedid": leg.linkedid,
        }
        return [(prefix + key, value) for key, value in values.items()]

    def _member(self, call: Call, leg: Leg) -> Fields:
        return [("Queue", call.queue), ("MemberName", leg.number), ("Interface", f"PJSIP/{leg.number}")]

    # ---- rules

    def _offered(self, happening: Happening) -> Iterator[Said]:
        yield Said("call", "Newchannel", self.channel(happening.leg, state="Ring"))

    def _state(self, leg: Leg, state: str) -> Iterator[Said]:
        yield Said("call", "Newstate", self.channel(leg, state=state))

    def _plain(self, leg: Leg, name: str) -> Iterator[Said]:
        yield Said("call", name, self.channel(leg))

    def _joined(self, happening: Happening) -> Iterator[Said]:
        fields = [
            ("Queue", happening.call.queue),
            ("Position", f"{happening.number('position'):.0f}"),
            ("Count", f"{happening.number('count'):.0f}"),
        ]
        yield Said("agent", "QueueCallerJoin", self.channel(happening.leg) + fields)

    def _dialling(self, happening: Happening) -> Iterator[Said]:
        leg, caller = happening.leg, happening.other
        yield Said("call", "Newchannel", self.channel(leg, state="Down"))
        if caller is not None and leg.queued:
            yield Said("agent", "AgentCalled", self.channel(caller) + self.channel(leg, "Dest", "Down") + self._member(happening.call, leg))
        if caller is not None:
            yield Said("call", "DialBegin", self.channel(caller) + self.channel(leg, "Dest", "Down") + [("DialString", leg.number)])
        else:
            yield Said("call", "DialBegin", [*self.channel(leg, "Dest", "Down"), ("DialString", leg.number)])

    def _ringing(self, happening: Happening) -> Iterator[Said]:
        """DialState and Newstate come in either order: both were observed, so the channel's number decides."""
        leg, caller = happening.leg, happening.other
        front = self.channel(caller) if caller else []
        state = Said("call", "DialState", front + self.channel(leg, "Dest", "Ringing") + [("DialStatus", "RINGING")])
        both = [Said("call", "Newstate", self.channel(leg, state="Ringing")), state]
        yield from both if int(leg.channel[-8:], 16) % 2 else reversed(both)

    def _dial_ended(self, happening: Happening) -> Iterator[Said]:
        front = self.channel(happening.other) if happening.other else []
        yield Said("call", "DialEnd", front + self.channel(happening.leg, "Dest") + [("DialStatus", happening.text("status"))])

    def _rang_out(self, happening: Happening) -> Iterator[Said]:
        assert happening.other is not None
        fields = [*self._member(happening.call, happening.leg), ("RingTime", f"{happening.number('ring_s') * 1000:.0f}")]  # milliseconds here
        yield Said("agent", "AgentRingNoAnswer", self.channel(happening.other) + self.channel(happening.leg, "Dest") + fields)

    def _left_queue(self, happening: Happening) -> Iterator[Said]:
        fields = [
            ("Queue", happening.call.queue),
            ("Position", str(happening.call.position)),
            ("Count", f"{happening.number('count'):.0f}"),
        ]
        yield Said("agent", "QueueCallerLeave", self.channel(happening.leg) + fields)

    def _gave_up(self, happening: Happening) -> Iterator[Said]:
        position = str(happening.call.position)
        fields = [
            ("Queue", happening.call.queue),
            ("Position", position),
            ("OriginalPosition", position),
            ("HoldTime", f"{happening.number('hold_s'):.0f}"),
        ]
        yield Said("agent", "QueueCallerAbandon", self.channel(happening.leg) + fields)

    def _connected(self, happening: Happening) -> Iterator[Said]:
        assert happening.other is not None
        fields = self._member(happening.call, happening.leg)
        fields += [("HoldTime", f"{happening.number('hold_s'):.0f}"), ("RingTime", f"{happening.number('ring_s'):.0f}")]  # seconds here
        yield Said("agent", "AgentConnect", self.channel(happening.other) + self.channel(happening.leg, "Dest") + fields)

    def _served(self, happening: Happening) -> Iterator[Said]:
        assert happening.other is not None
        fields = self._member(happening.call, happening.leg)
        fields += [("HoldTime", f"{happening.number('hold_s'):.0f}"), ("TalkTime", f"{happening.number('talk_s'):.0f}")]
        fields += [("Reason", happening.text("reason"))]
        yield Said("agent", "AgentComplete", self.channel(happening.other) + self.channel(happening.leg, "Dest") + fields)

    def _bridged(self, happening: Happening) -> Iterator[Said]:
        assert happening.other is not None
        for count, leg in enumerate((happening.leg, happening.other), 1):
            yield Said("call", "BridgeEnter", self._bridge(leg.bridge, count) + self.channel(leg))

    def _unbridged(self, happening: Happening) -> Iterator[Said]:
        assert happening.other is not None
        for count, leg in ((1, happening.leg), (0, happening.other)):
            yield Said("call", "BridgeLeave", self._bridge(happening.leg.bridge, count) + self.channel(leg))

    @staticmethod
    def _bridge(name: str, count: int) -> Fields:
        return [
            ("BridgeUniqueid", name),
            ("BridgeType", "basic"),
            ("BridgeTechnology", "simple_bridge"),
            ("BridgeCreator", UNKNOWN),
            ("BridgeName", UNKNOWN),
            ("BridgeNumChannels", str(count)),
            ("BridgeVideoSourceMode", "none"),
        ]

    def _asked(self, happening: Happening, name: str) -> Iterator[Said]:
        yield Said("call", name, [*self.channel(happening.leg), ("Cause", f"{happening.number('cause') or 16:.0f}")])

    def _gone(self, happening: Happening) -> Iterator[Said]:
        leg = happening.leg
        yield Said("call", "Hangup", [*self.channel(leg), ("Cause", str(leg.cause)), ("Cause-txt", CAUSES[leg.cause])])

    def _blind(self, happening: Happening) -> Iterator[Said]:
        assert happening.other is not None
        fields: Fields = [("Result", "Success"), *self.channel(happening.leg, "Transferer"), *self.channel(happening.other, "Transferee")]
        fields += [*self._bridge(happening.leg.bridge, 2), ("IsExternal", "Yes"), ("Context", happening.leg.context)]
        yield Said("call", "BlindTransfer", [*fields, ("Extension", happening.text("extension"))])

    def _attended(self, happening: Happening) -> Iterator[Said]:
        assert happening.other is not None
        assert happening.third is not None
        second = happening.third.peer or happening.third
        fields: Fields = [("Result", "Success"), *self.channel(happening.leg, "OrigTransferer"), *self.channel(second, "SecondTransferer")]
        fields += self.channel(happening.other, "Transferee") + self.channel(happening.third, "TransferTarget")
        fields += [("IsExternal", "Yes"), ("DestType", "Bridge"), ("DestBridgeUniqueid", happening.leg.bridge)]
        yield Said("call", "AttendedTransfer", fields)

    def _learnt(self, happening: Happening) -> Iterator[Said]:
        yield Said("call", "NewCallerid", [*self.channel(happening.leg), ("CID-CallingPres", "0 (Presentation Allowed, Not Screened)")])
        if happening.leg.peer is not None:
            yield Said("call", "NewConnectedLine", self.channel(happening.leg.peer))

    def _digit(self, happening: Happening) -> Iterator[Said]:
        fields = [*self.channel(happening.leg), ("Digit", happening.text("digit")), ("Direction", "Received")]
        yield Said("dtmf", "DTMFBegin", fields)
        yield Said("dtmf", "DTMFEnd", [*fields[:-1], ("DurationMs", "120"), ("Direction", "Received")])

    def _key_taken(self, happening: Happening) -> Iterator[Said]:
        fields = [("UserEvent", "GatewayRing"), ("Id", happening.text("id")), ("Key", happening.text("digit"))]
        yield Said("user", "UserEvent", self.channel(happening.leg) + fields)

    def _originated(self, happening: Happening) -> Iterator[Said]:
        """Reason as control frames are numbered: 1 hung up, 3 rang out, 4 answered, 5 busy, 8 congestion."""
        leg, call = happening.leg, happening.call
        if "ActionID" not in call.variables:
            return
        action = call.variables["ActionID"]
        fields = [("ActionID", action)] if action else []
        fields += [("Response", happening.text("success")), ("Channel", call.variables.get("asked_channel", leg.channel)), ("Context", leg.context)]
        fields += [("Exten", call.variables.get("exten", call.called)), ("Reason", happening.text("reason"))]
        fields += [
            ("Uniqueid", leg.uniqueid if happening.text("success") == "Success" else "<null>"),
            ("CallerIDNum", call.variables.get("shown", UNKNOWN)),
        ]
        yield Said("call", "OriginateResponse", [*fields, ("CallerIDName", UNKNOWN)])
