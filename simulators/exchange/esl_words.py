"""What happens, in the words of FreeSWITCH's event socket: channel events and mod_callcenter's, as plain or JSON text.

Written from FreeSWITCH's own sources (mod_event_socket, switch_event.c, mod_callcenter.c); no live server was at hand.
"""

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote_from_bytes

from simulators.exchange.call import Call, Leg
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import TRUNK, Exchange

Event = dict[str, str]
CAUSES = {
    "normal": "NORMAL_CLEARING",
    "busy": "USER_BUSY",
    "declined": "CALL_REJECTED",
    "lose_race": "LOSE_RACE",
    "cancelled": "ORIGINATOR_CANCEL",
    "caller_cancelled": "ORIGINATOR_CANCEL",
    "no_answer": "NO_ANSWER",
    "no_route": "NO_ROUTE_DESTINATION",
    "failed": "NORMAL_TEMPORARY_FAILURE",
}
Q850 = {"NORMAL_CLEARING": "16", "USER_BUSY": "17", "NO_ANSWER": "19", "CALL_REJECTED": "21", "NO_ROUTE_DESTINATION": "3"}
CANCEL_REASONS = {"caller": "NONE", "timeout": "TIMEOUT", "killed": "NONE", "redirected": "BREAK_OUT"}


class Translator:
    """Happenings to FreeSWITCH events, with the common fields of this server."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.sequence = 0
        self._rules: dict[What, Callable[[Happening], Iterator[Event]]] = {
            What.OFFERED: self._offered,
            What.CALLER_UP: lambda happening: self._one("CHANNEL_ANSWER", happening.call, happening.leg),
            What.JOINED: lambda happening: self._queue("member-queue-start", happening.call),
            What.DIALLING: self._dialling,
            What.RINGING: lambda happening: self._one("CHANNEL_PROGRESS", happening.call, happening.leg),
            What.ANSWERED: lambda happening: self._one("CHANNEL_ANSWER", happening.call, happening.leg),
            What.CONNECTED: lambda happening: self._queue("bridge-agent-start", happening.call, happening.leg),
            What.BRIDGED: lambda happening: self._bridge("CHANNEL_BRIDGE", happening),
            What.UNBRIDGED: lambda happening: self._bridge("CHANNEL_UNBRIDGE", happening),
            What.SERVED: self._served,
            What.GAVE_UP: self._gave_up,
            What.LEFT_QUEUE: self._left,
            What.GONE: self._gone,
            What.LEARNT: lambda happening: self._one("CALL_UPDATE", happening.call, happening.leg),
            What.HELD: lambda happening: self._one("CHANNEL_HOLD", happening.call, happening.leg),
            What.RESUMED: lambda happening: self._one("CHANNEL_UNHOLD", happening.call, happening.leg),
            What.DIGIT: self._digit,
        }

    def __call__(self, happening: Happening) -> list[Event]:
        rule = self._rules.get(happening.what)
        return [] if rule is None else list(rule(happening))

    # ---- fields

    def base(self, name: str, subclass: str = "") -> Event:
        """What every event of the server carries. Times in microseconds since 1970."""
        self.sequence += 1
        event = {"Event-Name": name}
        if subclass:
            event["Event-Subclass"] = subclass
        return event | {
            "Core-UUID": self._exchange.core_uuid,
            "FreeSWITCH-Hostname": self._exchange.settings.name,
            "FreeSWITCH-Switchname": self._exchange.settings.name,
            "Event-Date-Timestamp": _micros(self._exchange.clock()),
            "Event-Calling-File": "switch_channel.c",
            "Event-Sequence": str(self.sequence),
        }

    def heartbeat(self) -> Event:
        uptime = self._exchange.clock() - self._exchange.booted_at
        return self.base("HEARTBEAT") | {
            "Event-Info": "System Ready",
            "Up-Time": f"0 years, 0 days, 0 hours, {uptime / 60:.0f} minutes",
            "FreeSWITCH-Version": "1.10.12-release",
            "Uptime-msec": f"{uptime * 1000:.0f}",
            "Session-Count": str(len(self._exchange.live_legs())),
            "Heartbeat-Interval": "20",
        }

    def job(self, job: str, command: str, argument: str, result: str) -> Event:
        return self.base("BACKGROUND_JOB") | {"Job-UUID": job, "Job-Command": command, "Job-Command-Arg": argument, "_body": result}

    def channel(self, name: str, call: Call, leg: Leg) -> Event:
        """A channel event with its variables."""
        peer = leg.peer
        direction = "inbound" if leg.inbound else "outbound"
        answer = "hangup" if leg.gone_at else "answered" if leg.answered_at else "ringing"
        state = "HANGUP" if leg.gone_at else "ACTIVE" if leg.answered_at else "RINGING" if leg.inbound or leg.ringing_at else "DOWN"
        asking = leg if leg.inbound else (peer or call.incoming)
        number = asking.number or "anonymous" if asking is not leg or leg.inbound else call.variables.get("shown", "0000000000")
        dialled = leg.dialled if leg.inbound else leg.number
        found = self.base(name) | {
            "Unique-ID": leg.uuid,
            "Call-Direction": direction,
            "Presence-Call-Direction": direction,
            "Channel-Name": f"sofia/external/{leg.number or 'anonymous'}@{leg.dialog.source[0] if leg.inbound else leg.dialog.target[0]}",
            "Channel-State": "CS_HANGUP" if leg.gone_at else "CS_EXECUTE" if leg.answered_at else "CS_INIT",
            "Channel-Call-State": state,
            "Answer-State": answer,
            "Channel-Call-UUID": leg.call_uuid,
            "Caller-Direction": direction,
            "Caller-Caller-ID-Number": number,
            "Caller-Caller-ID-Name": asking.name or number,
            "Caller-Orig-Caller-ID-Number": number,
            "Caller-ANI": number,
            "Caller-Destination-Number": dialled,
            "Caller-Context": "public" if leg.inbound else "default",
            "Caller-Unique-ID": leg.uuid,
            "Caller-Network-Addr": TRUNK[0],
            "Caller-Privacy-Hide-Number": "true" if call.plan.restricted and asking is call.incoming else "false",
            "Caller-Privacy-Hide-Name": "false",
            "Caller-Channel-Created-Time": _micros(leg.made_at),
            "Caller-Channel-Progress-Time": _micros(leg.ringing_at),
            "Caller-Channel-Answered-Time": _micros(leg.answered_at),
            "Caller-Channel-Bridged-Time": _micros(leg.bridged_at),
            "Caller-Channel-Hangup-Time": _micros(leg.gone_at),
            "variable_uuid": leg.uuid,
            "variable_direction": direction,
            "variable_sip_call_id": leg.sip_call_id,
            "variable_sip_from_user": leg.dialog.caller,
        }
        if leg.answered_at and not leg.inbound:
            found |= {"Caller-Callee-ID-Name": leg.name, "Caller-Callee-ID-Number": leg.number}
        if not leg.inbound and peer is not None:
            found["variable_originating_leg_uuid"] = peer.uuid
        if peer is not None and (leg.bridged_at or not leg.inbound):
            found |= {"Other-Type": "originatee" if leg.inbound else "originator", "Other-Leg-Unique-ID": peer.uuid}
            if leg.bridged_at:
                found |= {"variable_bridge_uuid": peer.uuid, "variable_last_bridge_to": peer.uuid}
        if leg.dialog.asserted:
            found["variable_sip_P-Asserted-Identity"] = f"sip:{leg.dialog.asserted}@{TRUNK[0]}"
        if call.outbound:
            found |= {f"variable_{key}": value for key, value in call.variables.items() if value}
        return found

    def to_wire(self, event: Event, form: str) -> bytes:
        """One event with its outer header, LF line ends. plain: values URL-encoded; json: as they are, invalid UTF-8 included."""
        event = dict(event)
        if form == "json":
            body = json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogateescape")
        else:
            inner = event.pop("_body", None)
            if inner is not None:
                event["Content-Length"] = str(len(inner.encode()))
            lines = [f"{key}: {_quoted(value)}\n" for key, value in event.items()]
            body = ("".join(lines) + "\n" + (inner or "")).encode()
        return f"Content-Length: {len(body)}\nContent-Type: text/event-{form}\n\n".encode() + body

    # ---- rules

    def _one(self, name: str, call: Call, leg: Leg) -> Iterator[Event]:
        yield self.channel(name, call, leg)

    def _offered(self, happening: Happening) -> Iterator[Event]:
        yield self.channel("CHANNEL_CREATE", happening.call, happening.leg)

    def _dialling(self, happening: Happening) -> Iterator[Event]:
        if happening.leg.queued:
            yield from self._queue("agent-offering", happening.call, happening.leg)
        yield self.channel("CHANNEL_CREATE", happening.call, happening.leg)

    def _bridge(self, name: str, happening: Happening) -> Iterator[Event]:
        assert happening.other is not None
        caller = happening.other
        event = self.channel(name, happening.call, caller)
        yield event | {
            "Bridge-A-Unique-ID": caller.uuid,
            "Bridge-B-Unique-ID": happening.leg.uuid,
            "Other-Type": "originatee",
            "Other-Leg-Unique-ID": happening.leg.uuid,
            "Other-Leg-Direction": "outbound",
            "Other-Leg-Destination-Number": happening.leg.number,
            "Caller-Callee-ID-Name": happening.leg.name,
            "Caller-Callee-ID-Number": happening.leg.number,
        }

    def _gone(self, happening: Happening) -> Iterator[Event]:
        call, leg = happening.call, happening.leg
        if leg.queued and not leg.answered_at:
            yield from self._queue("bridge-agent-fail", call, leg, **{"CC-Hangup-Cause": CAUSES[leg.ending]})
        cause = CAUSES[leg.ending]
        yield self.channel("CHANNEL_HANGUP", call, leg) | {"Hangup-Cause": cause}
        yield self.channel("CHANNEL_HANGUP_COMPLETE", call, leg) | {
            "Hangup-Cause": cause,
            "variable_hangup_cause": cause,
            "variable_hangup_cause_q850": Q850.get(cause, "31"),
            "variable_sip_hangup_disposition": leg.disposition,
            "variable_billsec": f"{max(0.0, leg.gone_at - leg.answered_at) if leg.answered_at else 0:.0f}",
            "variable_duration": f"{leg.gone_at - leg.made_at:.0f}",
        }

    def _served(self, happening: Happening) -> Iterator[Event]:
        yield from self._queue("bridge-agent-end", happening.call, happening.leg, **{"CC-Agent-Bridged": "true"})
        yield from self._queue("member-queue-end", happening.call, happening.leg, **{"CC-Cause": "Terminated"})

    def _gave_up(self, happening: Happening) -> Iterator[Event]:
        reason = CANCEL_REASONS[happening.text("why")]
        yield from self._queue("member-queue-end", happening.call, None, **{"CC-Cause": "Cancel", "CC-Cancel-Reason": reason})

    def _left(self, happening: Happening) -> Iterator[Event]:
        """mod_callcenter says it only of those who go without an agent and without having given up."""
        if happening.text("why") == "redirected":
            yield from self._queue("member-queue-end", happening.call, None, **{"CC-Cause": "Cancel", "CC-Cancel-Reason": "BREAK_OUT"})

    def _digit(self, happening: Happening) -> Iterator[Event]:
        event = self.channel("DTMF", happening.call, happening.leg)
        yield event | {"DTMF-Digit": happening.text("digit"), "DTMF-Duration": "2000", "DTMF-Source": "RTP"}

    def _queue(self, action: str, call: Call, leg: Leg | None = None, **more: str) -> Iterator[Event]:
        """One `callcenter::info`. Times in seconds since 1970."""
        caller = call.incoming
        event = self.base("CUSTOM", "callcenter::info") | {
            "CC-Queue": f"{call.queue}@default",
            "CC-Action": action,
            "CC-Member-UUID": f"m-{caller.uuid}",
            "CC-Member-Session-UUID": caller.uuid,
            "CC-Member-CID-Name": caller.name or caller.number or "anonymous",
            "CC-Member-CID-Number": caller.number or "anonymous",
            "CC-Member-DNIS": call.called,
            "CC-Member-Joined-Time": f"{call.joined_at:.0f}",
        }
        if leg is not None:
            event |= {
                "CC-Agent": f"{leg.number}@default",
                "CC-Agent-System": "single_box",
                "CC-Agent-Type": "callback",
                "CC-Agent-UUID": leg.uuid,
                "CC-Agent-Called-Time": f"{leg.made_at:.0f}",
            }
            if leg.answered_at:
                event["CC-Agent-Answered-Time"] = f"{leg.answered_at:.0f}"
        if action == "member-queue-end":
            event["CC-Member-Leaving-Time"] = f"{self._exchange.clock():.0f}"
        yield event | more


def _micros(at: float) -> str:
    return str(int(at * 1_000_000))


def _quoted(value: str) -> str:
    """URL-encoded as switch_event_serialize does; nothing is `_undef_`."""
    return quote_from_bytes(value.encode("utf-8", "surrogateescape"), safe="/:@.-_+*()!,") if value else "_undef_"
