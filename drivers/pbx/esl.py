"""The `esl` codec: FreeSWITCH's event socket, inbound mode. Logs in, subscribes, hears calls, carries out wishes. Sans-I/O.

Source: freeswitch-esl. Written from FreeSWITCH's own sources; no live server has been at hand (Debian has no package), see the guide.
"""

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from drivers.contract import Rejected, Signal
from drivers.pbx.esl_calls import OUR_ID, EslCalls
from drivers.pbx.esl_message import Fields, Frame, Framer, Unframed, read_event, read_rows
from drivers.pbx.ledger import Ledger
from drivers.sip.number import NumberPlan
from drivers.telephone import Answer, Dial, HangUp, Ring, Told, Transfer, Wish
from gateway.config import CallsConfig

DEFAULT_PASSWORD = "ClueCon"  # everybody knows it
# A word after CUSTOM is taken for a subclass, so CUSTOM stands last.
EVENTS = (
    "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_UNBRIDGE CHANNEL_HANGUP_COMPLETE CHANNEL_UUID"
    " CALL_UPDATE RECORD_START HEARTBEAT BACKGROUND_JOB DTMF CUSTOM callcenter::info"
)
LOGIN_S = 10.0  # from the connection to the first snapshot
SILENCE_S = 45.0  # HEARTBEAT comes every 20 s: two are missing
REFUSED_S = 300.0  # after a wrong password, as on the AMI side: sites ban addresses that try again and again
KEY_S = 20.0  # who has taken the telephone has so long to press a key
DIAL_S = 30.0  # and so long beyond ring_s may an exchange take to say what became of a wish
MAX_WISHES = 200
MAX_REJECTED = 4096  # octets of an unreadable body that are kept for inspection

_SAFE = re.compile(r"[0-9A-Za-z+*#._-]{1,64}")  # what may stand in a dial string: nothing that FreeSWITCH reads as syntax
_FAILED = {
    "USER_BUSY": "busy",
    "NO_ANSWER": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "ORIGINATOR_CANCEL": "no_answer",
    "SUBSCRIBER_ABSENT": "no_answer",
    "USER_NOT_REGISTERED": "no_answer",
    "CALL_REJECTED": "refused",
}


class EslOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[line.options]` of an esl line. Left out (None), hotlines, area_code and agents are those of `[calls]`.

    password_file: holds the event socket's password; user: name@domain for `userauth`. format: json, or plain for old servers.
    agent_endpoint, number_endpoint: dial strings with {number} in it. prompt: the sound that a rung responder hears, again and again.
    context: the dialplan context in which a transfer looks its target up; answer_context: … and the telephone of an operator who answers at
    the page, "" = the same.
    """

    password_file: str = ""
    password: str = ""  # filled in from password_file by whoever builds the codec
    user: str = ""
    format: Literal["json", "plain"] = "json"
    agent_endpoint: str = "user/{number}"
    number_endpoint: str = "sofia/gateway/trunk/{number}"
    prompt: str = "tone_stream://%(500,500,440)"
    context: str = "default"
    answer_context: str = ""
    hotlines: tuple[str, ...] | None = None
    area_code: str | None = None
    agents: dict[str, str] = {}
    strip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("agent_endpoint", "number_endpoint"):
            if "{number}" not in getattr(self, name):
                raise ValueError(f"{name}: has no {{number}} in it; write for instance sofia/gateway/trunk/{{number}}")
        for name in ("agent_endpoint", "number_endpoint", "prompt", "context", "answer_context", "user"):
            if any(char in getattr(self, name) for char in "\r\n"):
                raise ValueError(f"{name}: has a line end in it; write it in one line")


class _Wish(msgspec.Struct):
    """A wish under way. `until`: when it is given up, monotonic."""

    token: int
    wish: Wish
    until: float
    answered: bool = False
    key: str = ""


class EslCodec:
    """See `drivers.contract.ClientCodec` and `drivers.telephone.TelephoneCodec`. `password` may be set before each connection.

    pause_s: how long to leave the server in peace after `fault`.
    counts: events, unreadable, ignored (frames that are no events), no_snapshot, events_out_of_order.
    """

    def __init__(self, options: EslOptions, calls: CallsConfig | None = None, line: str = "") -> None:
        calls = calls or CallsConfig()
        plan = NumberPlan.of_line(options, calls)
        self.is_ready = False
        self.fault = ""
        self.pause_s = 0.0
        self.counts: Counter[str] = Counter()
        self.password = options.password
        self._options = options
        self._ledger = Ledger(line, plan, options.agents or calls.agents, "esl")
        self._calls = EslCalls(self._ledger)
        self._framer = Framer()
        self._out = bytearray()
        self._replies: deque[str] = deque()  # what each reply to come answers, in the order of the commands
        self._heard_at: float | None = None
        self._login_until: float | None = None
        self._core = ""
        self._sequence = 0
        self._wishes: dict[str, _Wish] = {}  # by the id under which FreeSWITCH knows it
        self._talking: OrderedDict[str, None] = OrderedDict()  # legs of ours that were connected and are not over
        self._answers: list[tuple[int, Told]] = []

    @property
    def live_calls(self) -> int:
        return len(self._ledger)

    def connected(self, now: float) -> None:
        """Wait for auth/request: FreeSWITCH speaks first."""
        self._framer = Framer()
        self._out.clear()
        self._replies.clear()
        self.fault = ""
        self.pause_s = 0.0
        self.is_ready = False
        self._sequence = 0
        self._heard_at, self._login_until = now, now + LOGIN_S

    def receive_data(self, data: bytes, now: float, received_at: datetime) -> list[Signal | Rejected]:  # noqa: ARG002 - the seam is the same for all
        """Take any fragment; give what it completed, in order."""
        self._heard_at = now
        found: list[Signal | Rejected] = []
        try:
            frames = self._framer.feed(data)
        except Unframed as fault:
            self.fault = fault.reason
            return [Rejected(reason=fault.reason, raw=data[:MAX_REJECTED])]
        for frame in frames:
            found += self._frame(frame, now)
        return found

    def data_to_send(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def disconnected(self, now: float) -> None:  # noqa: ARG002 - the seam is the same for all
        """Nothing is replayed: the next snapshot tells what ended meanwhile. Wishes under way are lost."""
        self.is_ready = False
        self._heard_at = self._login_until = None
        for name in list(self._wishes):
            self._tell(name, Told(outcome="lost"))

    def deadline(self) -> float | None:
        """The nearest of: silence, login, a wish's end, a call nobody ended."""
        times = [self._ledger.deadline(), self._login_until, None if self._heard_at is None else self._heard_at + SILENCE_S]
        times += [wish.until for wish in self._wishes.values()]
        return min((time for time in times if time is not None), default=None)

    def handle_deadline(self, now: float, received_at: datetime) -> list[Signal | Rejected]:  # noqa: ARG002 - the seam is the same for all
        if self._login_until is not None and now >= self._login_until:
            self.fault = self.fault or "no login within 10 s; is this FreeSWITCH's event socket?"
            self._login_until = None
        if self._heard_at is not None and now >= self._heard_at + SILENCE_S:
            self.fault = self.fault or f"silent for {SILENCE_S:g} s"
            self._heard_at = None
        for name, wish in list(self._wishes.items()):
            if now >= wish.until:
                self._give_up(name, wish)
        return list(self._ledger.handle_deadline(now))

    def restore(self, records: Iterable[Mapping[str, object]], now: float) -> int:
        taken = self._ledger.restore(records, now)
        self._calls.adopt()
        return taken

    # ---- wishes

    def ask(self, wish: Wish, token: int, now: float) -> None:
        """See `drivers.telephone`. Numbers with anything but digits, letters and + * # . _ - are refused: they stand in a dial string."""
        if not self.is_ready:
            self._answers.append((token, Told(outcome="lost", reason="not_connected")))
        elif len(self._wishes) >= MAX_WISHES:
            self._answers.append((token, Told(outcome="refused", reason="too_many_wishes")))
        elif isinstance(wish, (HangUp, Transfer, Answer)):
            self._ask_about_call(wish, token, now)
        elif not all(_SAFE.fullmatch(text) for text in (wish.id, wish.number, wish.shown or "0", wish.agent if isinstance(wish, Dial) else "0")):
            self._answers.append((token, Told(outcome="refused", reason="bad_number")))
        else:
            self._dial(wish, token, now)

    def answers(self) -> list[tuple[int, Told]]:
        answers, self._answers = self._answers, []
        return answers

    def _dial(self, wish: Dial | Ring, token: int, now: float) -> None:
        """The agent (or the responder) is rung first. Our id is the Unique-ID of that leg, and a variable of both."""
        options = self._options
        shown = f",origination_caller_id_number={wish.shown}" if wish.shown else ""
        ours = f"{OUR_ID.removeprefix('variable_')}={wish.id}"
        head = f"{{origination_uuid={wish.id},{ours},originate_timeout={wish.ring_s:.0f},ignore_early_media=true{shown}}}"
        far = options.number_endpoint.replace("{number}", wish.number)
        seconds = wish.ring_s + DIAL_S
        if isinstance(wish, Dial):
            near = options.agent_endpoint.replace("{number}", wish.agent)
            command = f"{head}{near} &bridge([{ours},leg_timeout={wish.ring_s:.0f}{shown}]{far})"
            seconds += wish.ring_s
        else:
            command = f"{head}{far} &endless_playback({options.prompt})"
            seconds += KEY_S
        self._wishes[wish.id] = _Wish(token, wish, now + seconds)
        self._send(f"bgapi originate {command}\nJob-UUID: {wish.id}", "bgapi")

    def _ask_about_call(self, wish: HangUp | Transfer | Answer, token: int, now: float) -> None:
        call = self._ledger.find(wish.call)
        is_ours = wish.call in self._wishes or wish.call in self._talking
        leg = self._calls.leg_of(call) if call is not None else wish.call if is_ours else ""
        if not leg or not _SAFE.fullmatch(leg):
            self._answers.append((token, Told(outcome="unknown_call")))
            return
        to = wish.agent if isinstance(wish, Answer) else wish.to if isinstance(wish, Transfer) else ""
        if to and not _SAFE.fullmatch(to):
            self._answers.append((token, Told(outcome="refused", reason="bad_number")))
            return
        job = f"{type(wish).__name__.lower()}-{token}"
        self._wishes[job] = _Wish(token, wish, now + DIAL_S)
        context = (self._options.answer_context if isinstance(wish, Answer) else "") or self._options.context
        what = f"uuid_kill {leg}" if isinstance(wish, HangUp) else f"uuid_transfer {leg} {to} XML {context}"
        self._send(f"bgapi {what}\nJob-UUID: {job}", "bgapi")

    def _tell(self, name: str, told: Told) -> None:
        wish = self._wishes.pop(name, None)
        if wish is not None:
            self._answers.append((wish.token, told))

    def _give_up(self, name: str, wish: _Wish) -> None:
        self._tell(name, Told(outcome="no_key" if wish.answered else "no_answer", reason="timeout"))
        if isinstance(wish.wish, (Dial, Ring)) and self.is_ready:
            self._send(f"bgapi uuid_kill {name}", "bgapi")

    def _job(self, event: Fields) -> None:
        """The end of a bgapi command: `+OK …` or `-ERR CAUSE`."""
        name = event.get("Job-UUID", "")
        wish = self._wishes.get(name)
        if wish is None:
            return
        result = event.get("_body", "").strip()
        if result.startswith("+OK"):
            if isinstance(wish.wish, (HangUp, Transfer, Answer)):
                self._tell(name, Told(outcome="done"))
            else:
                wish.answered = True
        else:
            cause = result.removeprefix("-ERR").strip().partition(" ")[0]
            unknown = isinstance(wish.wish, (HangUp, Transfer, Answer)) and cause == "No"  # "-ERR No such channel!"
            self._tell(name, Told(outcome="unknown_call" if unknown else _FAILED.get(cause, "failed"), reason=cause.lower()))

    def _wish_event(self, event: Fields, now: float) -> None:
        """What happens on the legs that we dialled."""
        name, kind = event.get("Unique-ID", ""), event.get("Event-Name", "")
        if kind == "CHANNEL_HANGUP_COMPLETE":
            self._talking.pop(name, None)
        wish = self._wishes.get(name)
        if wish is None:
            return
        if kind == "DTMF" and isinstance(wish.wish, Ring) and event.get("DTMF-Digit") in wish.wish.keys:
            self._tell(name, Told(outcome="done", key=event["DTMF-Digit"]))
            self._send(f"bgapi uuid_kill {name}", "bgapi")
        elif kind == "CHANNEL_ANSWER":
            wish.answered = True
            if isinstance(wish.wish, Ring):
                wish.until = now + KEY_S
        elif kind == "CHANNEL_BRIDGE" and isinstance(wish.wish, Dial):
            self._tell(name, Told(outcome="done"))
            self._talking[name] = None
            if len(self._talking) > MAX_WISHES:
                self._talking.popitem(last=False)
        elif kind == "CHANNEL_HANGUP_COMPLETE":
            cause = event.get("variable_last_bridge_hangup_cause") or event.get("Hangup-Cause", "")
            outcome = "no_key" if isinstance(wish.wish, Ring) and wish.answered else _FAILED.get(cause, "failed")
            self._tell(name, Told(outcome=outcome, reason=cause.lower()[:64]))

    # ---- session

    def _send(self, command: str, answers: str) -> None:
        """`answers`: what its reply will be the answer to."""
        self._replies.append(answers)
        self._out += command.encode() + b"\n\n"

    def _frame(self, frame: Frame, now: float) -> list[Signal | Rejected]:
        match frame.kind:
            case "auth/request":
                user = self._options.user
                self._send(f"userauth {user}:{self.password}" if user else f"auth {self.password}", "auth")
            case "command/reply" | "api/response":
                return list(self._reply(frame, now))
            case "text/event-json" | "text/event-plain":
                return self._event(frame, now)
            case "text/disconnect-notice":
                if frame.headers.get("content-disposition") != "linger":
                    self.fault = self.fault or "FreeSWITCH has closed the event socket"
            case "text/rude-rejection":
                self.fault = "FreeSWITCH's access list (event_socket.conf, apply-inbound-acl) does not admit this machine"
            case _:
                self.counts["ignored"] += 1
        return []

    def _reply(self, frame: Frame, now: float) -> list[Signal]:
        asked = self._replies.popleft() if self._replies else ""
        is_error = frame.reply.startswith("-ERR")
        match asked:
            case "auth":
                if is_error:
                    self.pause_s = REFUSED_S
                    self.fault = "FreeSWITCH refused the password; write the one of event_socket.conf into options.password_file"
                else:
                    self._send(f"event {self._options.format} {EVENTS}", "event")
            case "event":
                if is_error:
                    self.fault = f"FreeSWITCH gives no events ({frame.reply[5:80]}); grant them to this user"
                else:
                    self._send("api show channels as json", "channels")
                    self._send("api show calls as json", "calls")
            case "channels":
                rows = read_rows(frame.body)
                if rows is not None:
                    return self._calls.snapshot(rows, now, b"")
                self.counts["no_snapshot"] += 1
            case "calls":
                self.is_ready = True
                self._login_until = None
                return self._calls.bridged(read_rows(frame.body) or (), now, b"")
            case "bgapi":
                if is_error and (job := frame.headers.get("job-uuid", "")) in self._wishes:
                    self._tell(job, Told(outcome="refused", reason=frame.reply[5:64].strip().lower()))
        return []

    def _event(self, frame: Frame, now: float) -> list[Signal | Rejected]:
        event = read_event(frame)
        if event is None:
            self.counts["unreadable"] += 1
            return [Rejected(reason="unreadable_event", raw=frame.body[:MAX_REJECTED])]
        self.counts["events"] += 1
        found: list[Signal | Rejected] = []
        core = event.get("Core-UUID", "")
        if core and core != self._core:
            if self._core:
                found += self._calls.start_over(now)
            self._core = core
        self._count_lost(event)
        kind = event.get("Event-Name", "")
        if kind == "BACKGROUND_JOB":
            self._job(event)
        elif kind != "HEARTBEAT":
            self._wish_event(event, now)
            found += self._calls.receive(event, now, frame.body)
        return found

    def _count_lost(self, event: Fields) -> None:
        """Event-Sequence counts all events of the switch, also those nobody subscribed to: only for the same filter is a gap telling.

        So it is only noticed when it goes back, which means another server or a restart that kept the connection.
        """
        text = event.get("Event-Sequence", "")
        sequence = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
        if sequence and sequence < self._sequence:
            self.counts["events_out_of_order"] += 1
        self._sequence = sequence or self._sequence
