"""The `ami` codec: one conversation with an Asterisk's manager. Logs in, hears calls, keeps the connection proved, carries out wishes. Sans-I/O.

Source: asterisk-ami, sections 1, 2 and 6. Fed without `connected` it only listens: that is how recordings are read.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from drivers.calls.call import State
from drivers.contract import Rejected, Signal
from drivers.pbx.ami_calls import AmiCalls
from drivers.pbx.ami_message import Framer, Message, write_action
from drivers.pbx.ami_wishes import AmiWishes
from drivers.pbx.ledger import Ledger
from drivers.sip.number import NumberPlan
from drivers.telephone import Told, Wish
from gateway.config import CallsConfig

LOGIN_S = 15.0  # from the connection to the login; Asterisk itself gives up after 30 (authtimeout)
BOOTED_S = 5.0  # without read class `system` nobody says FullyBooted
PING_S = 25.0  # a quiet call centre sends nothing for hours
MISSED_PINGS = 2
SNAPSHOT_S = 30.0  # both lists; a thousand channels take far less than one
CHECK_S = 60.0  # until events have proved that they come, a list shows now and then whether they should have
REFUSED_S = 300.0  # after a wrong password: sites ban addresses that try again and again
CLOCK_LIMIT_S = 5.0  # the exchange's clock is believed this far from arrival, as that of a capture agent
MAX_LISTED = 50_000

CALL_EVENTS = frozenset(
    "Newchannel Newstate Rename NewCallerid NewConnectedLine DialBegin DialState DialEnd LocalBridge BridgeEnter BridgeLeave "
    "BlindTransfer AttendedTransfer HangupRequest SoftHangupRequest Hangup".split()
)
AGENT_EVENTS = frozenset("QueueCallerJoin QueueCallerLeave QueueCallerAbandon AgentCalled AgentRingNoAnswer AgentConnect AgentComplete".split())
LIST_EVENTS = frozenset("CoreShowChannel CoreShowChannelsComplete QueueParams QueueEntry QueueStatusComplete".split())
OTHER_EVENTS = frozenset("FullyBooted Shutdown OriginateResponse UserEvent".split())


class AmiOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[line.options]` of an ami line. Left out (None), hotlines, area_code and agents are those of `[calls]`.

    username, secret_file   the user of manager.conf, and a file that holds the secret and nothing else
    events                  mask sent with the login; dialplan events would be a hundred a call, for nothing
    ca_file, server_name    for tls: who signed the certificate, and the name in it when it is not the host's
    contexts                dialplan context of a trunk → the hotline it is; needed where the dialled number is none (`s`)
    queues                  queue → the hotline it serves; for calls that enter a queue and were not known before
    agent_channel, number_channel   how this Asterisk dials an extension, and a number outside
    dial_context            dial numbers through this context instead, as the agents' telephones do (least cost routes, recording)
    ring_context            of extensions_gateway.conf; prompt: the sound file it plays
    transfer_context        where the target of a transfer is looked up
    answer_context          … and the telephone of an operator who answers at the page; "" = the same
    """

    username: str = ""
    secret_file: str = ""
    secret: str = ""  # filled in from secret_file by whoever builds the codec
    events: str = "system,call,agent,user"
    ca_file: str = ""
    server_name: str = ""
    contexts: dict[str, str] = {}
    queues: dict[str, str] = {}
    hotlines: tuple[str, ...] | None = None
    area_code: str | None = None
    agents: dict[str, str] | None = None
    strip: tuple[str, ...] = ()
    agent_channel: str = "PJSIP/{number}"
    number_channel: str = "PJSIP/{number}@trunk"
    dial_context: str = ""
    ring_context: str = "gateway-ring"
    transfer_context: str = "from-internal"
    answer_context: str = ""
    prompt: str = "gateway-order"

    def __post_init__(self) -> None:
        for name in ("agent_channel", "number_channel"):
            if "{number}" not in getattr(self, name):
                raise ValueError(f"{name}: has no {{number}} in it; write for instance PJSIP/{{number}}@trunk")
        for name in (
            "username",
            "events",
            "agent_channel",
            "number_channel",
            "dial_context",
            "ring_context",
            "transfer_context",
            "answer_context",
            "prompt",
        ):
            if any(char in getattr(self, name) for char in "\r\n\0"):
                raise ValueError(f"{name}: has a line end in it; write it in one line")


class AmiCodec:
    """See `drivers.contract.ClientCodec` and `drivers.telephone.TelephoneCodec`. `secret` may be set before each connection.

    counts: messages, skipped (events that concern us not), clock_disagrees, snapshots, snapshot_denied (no write class reporting or system),
    no_call_events and no_agent_events (the read class is missing), calls_refused, channels_refused (no room).
    doubt: why the line is suspect although it stands; pause_s: how long to leave the server in peace after `fault`.
    """

    def __init__(self, options: AmiOptions, calls: CallsConfig | None = None, line: str = "") -> None:
        calls = calls or CallsConfig()
        agents = calls.agents if options.agents is None else options.agents
        plan = NumberPlan.of_line(options, calls)
        self.is_ready = False
        self.fault = ""
        self.pause_s = 0.0
        self.doubt = ""
        self._doubted = ""  # the class of events that are missed
        self.secret = options.secret
        self._options = options
        self._counts: Counter[str] = Counter()
        self._ledger = Ledger(line, plan, agents, "ami")
        self._calls = AmiCalls(self._ledger, options.contexts, options.queues, agents)
        self._wishes = AmiWishes(options, self._channel_of_call, self._channel_of_uid)
        self._is_listening = True
        self._framer = self._new_framer()
        self._out = bytearray()
        self._timers: dict[str, float] = {}
        self._asked: dict[str, str] = {}  # ActionID → what it asked for
        self._count = 0
        self._missed = 0
        self._ready_at = 0.0
        self._away_since: float | None = None
        self._heard: set[str] = set()  # classes of events that have come over this connection
        self._listed: list[Message] = []
        self._queued: list[Message] = []
        self._pending: set[str] = set()  # lists under way
        self._denied: set[str] = set()
        self._has_queues = False
        self._snapshot_at: float | None = None
        self._is_first_snapshot = True

    @property
    def counts(self) -> Counter[str]:
        """Since the start; for metrics."""
        more = {"skipped": self._framer.skipped, "calls_refused": self._ledger.refused, "channels_refused": self._calls.refused}
        return self._counts + Counter(more)

    @property
    def live_calls(self) -> int:
        return len(self._ledger)

    # ---- connection

    def connected(self, now: float) -> None:
        """Wait for the banner: the secret's digest is for a call manager only."""
        self._counts["skipped"] += self._framer.skipped
        self._framer = self._new_framer()
        self._is_listening = self.is_ready = False
        self.fault = self.doubt = ""
        self.pause_s = 0.0
        self._out.clear()
        self._timers = {"login": now + LOGIN_S}
        self._asked.clear()
        self._missed = 0
        self._heard.clear()
        self._pending.clear()
        self._denied.clear()
        self._is_first_snapshot = True
        self._calls.start()

    def disconnected(self, now: float) -> None:
        """Nothing is replayed: the next snapshot tells what has ended meanwhile."""
        if self.is_ready:
            self._away_since = now
        self.is_ready = False
        self.doubt = ""
        self._timers.clear()
        self._out.clear()
        self._wishes.lose()

    def receive_data(self, data: bytes, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """Take any fragment; give what it completed, in order. `now` is what all timers count in."""
        self._missed = 0  # any byte proves the connection
        found: list[Signal | Rejected] = []
        had_banner = self._framer.banner is not None
        for one in self._framer.feed(data):
            if isinstance(one, Message):
                self._counts["messages"] += 1
                found += self._message(one, now, received_at)
            else:
                found.append(one)
        banner = self._framer.banner
        if not self._is_listening and not had_banner and banner is not None:
            self._greeted(banner)
        return found

    def data_to_send(self) -> bytes:
        data = bytes(self._out) + self._wishes.data_to_send()
        self._out.clear()
        return data

    def deadline(self) -> float | None:
        times = [*self._timers.values(), self._ledger.deadline(), self._wishes.deadline()]
        return min((time for time in times if time is not None), default=None)

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]:
        found: list[Signal | Rejected] = []
        for name in [name for name, at in self._timers.items() if at <= now]:
            self._timers.pop(name, None)
            found += self._timer(name, now, received_at)
        self._wishes.handle_deadline(now)
        return found + list(self._ledger.handle_deadline(now))

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        """Take up live calls after a restart; `records`: the `detail` of each one's last event. The first snapshot confirms or ends them."""
        return self._ledger.restore(records, now)

    # ---- wishes

    def ask(self, wish: Wish, token: int, now: float) -> None:
        """See `drivers.telephone`."""
        self._wishes.ask(wish, token, now, is_ready=self.is_ready)

    def answers(self) -> list[tuple[int, Told]]:
        return self._wishes.answers()

    def _channel_of_call(self, key: str) -> str:
        call = self._ledger.find(key)
        return "" if call is None else self._calls.channel_of(call)

    def _channel_of_uid(self, uid: str) -> str:
        channel = self._calls.channels.get(uid)
        return "" if channel is None else channel.name

    # ---- messages

    def _message(self, message: Message, now: float, received_at: datetime) -> list[Signal | Rejected]:
        if message.kind == "response":
            return self._response(message, now, received_at)
        if message.kind == "action":
            return []  # a recording of both directions
        name = message.name
        if name in LIST_EVENTS:
            return self._list_event(message, now, received_at)
        if name == "FullyBooted":
            return self._booted(message, now)
        if name == "Shutdown":
            self.fault = "Asterisk shuts down"
            return []
        self._wishes.receive_event(message)
        for group, events in (("call", CALL_EVENTS), ("agent", AGENT_EVENTS)):
            if name in events:
                self._heard.add(group)
                self.doubt = "" if self.doubt and self._doubted == group else self.doubt
        return list(self._calls.receive(message, now, self._told_time(message, received_at)))

    def _told_time(self, message: Message, received_at: datetime) -> datetime | None:
        """`timestampevents = yes` adds the time; a clock that is far from ours is not believed. A recording's is all there is."""
        text = message["Timestamp"]
        try:
            at = datetime.fromtimestamp(float(text), UTC) if text else None
        except (ValueError, OverflowError, OSError):
            return None
        if at is not None and not self._is_listening and abs((at - received_at).total_seconds()) > CLOCK_LIMIT_S:
            self._counts["clock_disagrees"] += 1
            return None
        return at

    def _response(self, message: Message, now: float, received_at: datetime) -> list[Signal | Rejected]:
        self._wishes.receive_response(message)
        what = self._asked.pop(message["ActionID"], "")
        is_error = message.name.lower() == "error"
        if what == "challenge":
            self._log_in(message["Challenge"] if not is_error else "")
        elif what == "login":
            self._logged_in(message, is_error, now)
        elif what in ("channels", "queues") and is_error:
            self._counts["snapshot_denied"] += 1
            self._denied.add(what)
            return self._listed_all(what, now, received_at)
        return []

    # ---- login

    def _greeted(self, banner: str) -> None:
        if banner and "call manager" not in banner.lower():
            self.fault = "this is no Asterisk manager; correct the address in connect"
        elif self._options.username:
            self._send("Challenge", "challenge", AuthType="MD5")

    def _log_in(self, challenge: str) -> None:
        """By digest; a server that knows no challenge gets the secret itself. Either is readable on the wire: use tls or a network of its own."""
        options = self._options
        proof = {"AuthType": "MD5", "Key": hashlib.md5((challenge + self.secret).encode()).hexdigest()} if challenge else {"Secret": self.secret}
        try:
            self._send("Login", "login", Username=options.username, **proof, Events=options.events)
        except ValueError:
            self._refuse("the secret has a line end in it")

    def _logged_in(self, message: Message, is_error: bool, now: float) -> None:
        self._timers.pop("login", None)
        if is_error:
            self._refuse(message["Message"] or "refused")
            return
        self._timers |= {"booted": now + BOOTED_S, "ping": now + PING_S}

    def _refuse(self, why: str) -> None:
        options = self._options
        self.fault = (
            f"login of user {options.username!r} refused ({why}); compare options.username with manager.conf, the secret with "
            f"{options.secret_file or 'options.secret_file'}, and permit with this machine's address"
        )
        self.pause_s = REFUSED_S

    def _booted(self, message: Message | None, now: float) -> list[Signal | Rejected]:
        """Asterisk is up, so its lists can be asked for; Uptime shows whether it is still the one that we knew."""
        found: list[Signal | Rejected] = []
        if self._is_listening or "login" in self._timers:
            return found
        uptime = message["Uptime"] if message is not None else ""
        if self._away_since is not None and 0 <= _seconds(uptime, -1.0) < now - self._away_since:
            found += self._calls.restarted(now)
        self._away_since = None
        self._timers.pop("booted", None)
        if not self.is_ready:
            self._ready_at = now
        self.is_ready = True
        self._ask_lists(now)
        return found

    # ---- snapshots

    def _ask_lists(self, now: float) -> None:
        if self._pending:
            return
        self._listed, self._queued = [], []
        self._has_queues = False
        self._pending = {"channels", "queues"} - self._denied
        self._snapshot_at = now
        if not self._pending:
            return
        self._timers["snapshot"] = now + SNAPSHOT_S
        if "channels" in self._pending:
            self._send("CoreShowChannels", "channels")
        if "queues" in self._pending:
            self._send("QueueStatus", "queues")

    def _list_event(self, message: Message, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """Interleaved with everything else. A listener takes the lists that somebody else has asked for."""
        name = message.name
        self._snapshot_at = now if self._snapshot_at is None else self._snapshot_at
        if name == "CoreShowChannel" and len(self._listed) < MAX_LISTED:
            self._listed.append(message)
        elif name == "QueueEntry" and len(self._queued) < MAX_LISTED:
            self._queued.append(message)
        elif name == "QueueParams":
            self._has_queues = True
        elif name == "CoreShowChannelsComplete":
            return self._listed_all("channels", now, received_at)
        elif name == "QueueStatusComplete":
            return self._listed_all("queues", now, received_at)
        return []

    def _listed_all(self, what: str, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """Both lists are here, or will not come."""
        if self._is_listening and what == "channels":
            self._pending = {what}
        if what not in self._pending:
            return []
        self._pending.discard(what)
        if self._pending:
            return []
        self._timers.pop("snapshot", None)
        self._counts["snapshots"] += 1
        asked_at = self._snapshot_at if self._snapshot_at is not None else now
        found: list[Signal | Rejected] = []
        if "channels" in self._denied:
            found += self._lose_unanswered(asked_at, now)
        else:
            if not self._is_first_snapshot:
                self._look_for_missing(now)
            found += self._calls.reconcile(self._listed, self._queued, asked_at, now, received_at)
        self._listed, self._queued, self._snapshot_at = [], [], None
        self._is_first_snapshot = False
        wanted = {"call", "agent"} if self._has_queues else {"call"}
        if not self._is_listening and "channels" not in self._denied and not wanted <= self._heard:
            self._timers["check"] = now + CHECK_S
        return found

    def _lose_unanswered(self, asked_at: float, now: float) -> list[Signal]:
        """No list may be had: who waited when we lost sight may still wait, or may need a call back. Answered calls have time to end."""
        answered = {call.token for call in self._ledger if call.state is State.ANSWERED}
        return self._ledger.lose_sight(answered, now, "lost_while_disconnected", asked_at)

    def _look_for_missing(self, now: float) -> None:
        """A read class that the user does not have gives no error: its events never come (asterisk-ami, 2)."""
        since_s = now - self._ready_at
        if "call" not in self._heard and self._calls.not_told(self._listed, since_s):
            self._doubt("call")
        elif "agent" not in self._heard and any(3 <= _seconds(one["Wait"]) < since_s - 3 for one in self._queued):
            self._doubt("agent")

    def _doubt(self, group: str) -> None:
        self._counts[f"no_{group}_events"] += 1
        self._doubted = group
        self.doubt = f"calls are there, but no {group} events come; add {group} to read of user {self._options.username!r} in manager.conf"

    # ---- timers

    def _timer(self, name: str, now: float, received_at: datetime) -> list[Signal | Rejected]:
        if name == "login":
            self.fault = self.fault or f"no login within {LOGIN_S:g} s"
        elif name == "booted":
            return self._booted(None, now)
        elif name == "ping":
            self._ping(now)
        elif name == "check":
            self._ask_lists(now)
        elif name == "snapshot":
            self._denied |= self._pending
            self._counts["snapshot_denied"] += 1
            return [one for what in sorted(self._pending) for one in self._listed_all(what, now, received_at)]
        return []

    def _ping(self, now: float) -> None:
        if self._missed >= MISSED_PINGS:
            self.fault = f"silent for {(MISSED_PINGS + 1) * PING_S:g} s, {MISSED_PINGS} pings unanswered"
            return
        self._missed += 1
        self._timers["ping"] = now + PING_S
        self._send("Ping", "ping")

    def _send(self, name: str, what: str, **fields: str) -> None:
        self._count += 1
        action = f"{what}-{self._count}"
        self._asked[action] = what
        self._out += write_action(name, {"ActionID": action, **fields})

    def _new_framer(self) -> Framer:
        return Framer(CALL_EVENTS | AGENT_EVENTS | LIST_EVENTS | OTHER_EVENTS)


def _seconds(text: str, otherwise: float = 0.0) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise
