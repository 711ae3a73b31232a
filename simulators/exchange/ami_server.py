"""The AMI face: an Asterisk manager interface on TCP. Login plain and MD5, event classes, the list actions, Originate, Hangup, Redirect.

After a fault of ours or a session that reads too slowly the connection is cut without a word, as a real one does.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulators.exchange.ami_words import UNKNOWN, Said, Translator
from simulators.exchange.call import Plan
from simulators.exchange.call import Said as Word
from simulators.exchange.happening import Happening
from simulators.exchange.life import RINGS_IN_RING
from simulators.exchange.model import Exchange

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
CLASSES = frozenset({"system", "call", "agent", "user", "dtmf", "dialplan"})
AUTH_TIMEOUT_S = 30.0  # manager.conf, authtimeout
MAX_REQUEST = 65_536
MAX_BEHIND = 16 * 1024 * 1024  # octets that a slow reader may be behind before it is cut off
MAX_DRIBBLES = 10_000  # messages that wait to be sent octet by octet; the rest is not sent at all
KEY_WAIT_S = 20.0  # how long the dialplan of gateway-ring waits for a key


@dataclass(frozen=True, slots=True)
class User:
    """One section of manager.conf. read: classes whose events it may have; others never come, and no error says so."""

    secret: str
    read: frozenset[str] = CLASSES


@dataclass(slots=True, eq=False)
class Session:
    """One connection."""

    writer: asyncio.StreamWriter
    task: "asyncio.Task[None] | None"
    user: User | None = None
    mask: frozenset[str] = CLASSES
    challenge: str = ""
    heard: list[str] = field(default_factory=list)  # actions, in order
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wants(self, said: Said) -> bool:
        return self.user is not None and said.group in self.user.read and said.group in self.mask


class AmiServer:
    """Listens on 127.0.0.1. timestamps: `timestampevents = yes`; slow_s: pause after every octet sent (a peer like a slow loris), 0: none."""

    def __init__(self, exchange: Exchange, users: Mapping[str, User], *, timestamps: bool = True, noise: bool = True) -> None:
        self.exchange = exchange
        self.users = dict(users)
        self.timestamps = timestamps
        self.slow_s = 0.0
        self.sessions: list[Session] = []
        self.sent = 0
        self.cut_off = 0
        self.port = 0
        self._translate = Translator(exchange, noise=noise)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._actions = {
            "ping": self._ping,
            "events": self._events,
            "coreshowchannels": self._channels,
            "queuestatus": self._queues,
            "corestatus": self._core_status,
            "originate": self._originate,
            "hangup": self._hangup,
            "redirect": self._redirect,
            "logoff": self._logoff,
        }

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST)
        self.port = self._server.sockets[0].getsockname()[1]
        self.exchange.faces.append(self)

    async def stop(self) -> None:
        """Stop listening and cut every connection; returns when all have noticed."""
        if self._server is not None:
            self._server.close()
        serving = [session.task for session in self.sessions if session.task is not None]
        self.reset()
        if self in self.exchange.faces:
            self.exchange.faces.remove(self)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*serving, *self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Fault: every connection is cut in the middle (RST), nothing said."""
        for session in list(self.sessions):
            session.writer.transport.abort()

    def shut_down(self, *, restart: bool) -> None:
        """Say `Shutdown`, as Asterisk does before it closes; then close."""
        self.broadcast(Said("system", "Shutdown", [("Shutdown", "Cleanly"), ("Restart", str(restart))]))
        for session in list(self.sessions):
            session.writer.close()

    async def flood(self, events: int) -> None:
        """Fault: so many events at once, which mean nothing to anybody who counts calls."""
        for number in range(events):
            self.broadcast(
                Said("call", "Newexten", [("Channel", "Local/flood@noise-0001;2"), ("Uniqueid", f"1.{number}"), ("Linkedid", f"1.{number}")])
            )
            if number % 500 == 499:
                await asyncio.gather(*(session.writer.drain() for session in self.sessions), return_exceptions=True)

    # ---- events

    def __call__(self, happening: Happening) -> None:
        if self.sessions:
            for said in self._translate(happening):
                self.broadcast(said, happening.at)

    def broadcast(self, said: Said, at: float | None = None) -> None:
        """To every session that may have and wants the class."""
        data = b""
        for session in self.sessions:
            if session.wants(said):
                data = data or said.to_bytes((at or self.exchange.clock()) if self.timestamps else None)
                self._write(session, data)

    def _write(self, session: Session, data: bytes) -> None:
        self.sent += 1
        if self.slow_s:
            if len(self._tasks) < MAX_DRIBBLES:
                task = asyncio.create_task(self._dribble(session, data))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return
        if session.writer.transport.get_write_buffer_size() > MAX_BEHIND:
            self.cut_off += 1
            session.writer.transport.abort()
            return
        session.writer.write(data)

    async def _dribble(self, session: Session, data: bytes) -> None:
        async with session.turn:  # first come, first served: events keep their order
            for place in range(len(data)):
                session.writer.write(data[place : place + 1])
                await asyncio.sleep(self.slow_s)

    # ---- sessions

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(writer, asyncio.current_task())
        self.sessions.append(session)
        writer.write(BANNER)
        try:
            async with asyncio.timeout(AUTH_TIMEOUT_S):
                while session.user is None:
                    request = await _request(reader)
                    if request is None or not self._before_login(session, request):
                        return
            while (request := await _request(reader)) is not None:
                action = request.get("Action", "").lower()
                session.heard.append(action)
                handle = self._actions.get(action)
                if handle is None:
                    self._answer(session, request, "Error", ("Message", "Invalid/unknown command"))
                elif handle(session, request):
                    return
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            return
        finally:
            self.sessions.remove(session)
            writer.close()

    def _before_login(self, session: Session, request: dict[str, str]) -> bool:
        """False: the connection is to be closed."""
        action = request.get("Action", "").lower()
        if action == "challenge" and request.get("AuthType", "").upper() == "MD5":
            session.challenge = str(secrets.randbelow(10**9))
            self._answer(session, request, "Success", ("Challenge", session.challenge))
            return True
        if action != "login":
            self._answer(session, request, "Error", ("Message", "Permission denied"))
            return True
        user = self.users.get(request.get("Username", ""))
        if user is None or not self._is_right(session, user, request):
            self._answer(session, request, "Error", ("Message", "Authentication failed"))
            return False
        session.user = user
        session.mask = _mask(request.get("Events", "on"))
        self._answer(session, request, "Success", ("Message", "Authentication accepted"))
        uptime = self.exchange.clock() - self.exchange.booted_at
        booted = Said("system", "FullyBooted", [("Uptime", f"{uptime:.0f}"), ("LastReload", f"{uptime:.0f}"), ("Status", "Fully Booted")])
        if session.wants(booted):
            self._write(session, booted.to_bytes(self.exchange.clock() if self.timestamps else None))
        return True

    @staticmethod
    def _is_right(session: Session, user: User, request: dict[str, str]) -> bool:
        if request.get("AuthType", "").upper() == "MD5":
            key = hashlib.md5((session.challenge + user.secret).encode()).hexdigest()
            return bool(session.challenge) and secrets.compare_digest(request.get("Key", "").encode(), key.encode())
        return secrets.compare_digest(request.get("Secret", "").encode(), user.secret.encode())

    def _answer(self, session: Session, request: Mapping[str, str], response: str, *more: tuple[str, str]) -> None:
        lines = [f"Response: {response}"]
        if "ActionID" in request:
            lines.append(f"ActionID: {request['ActionID']}")
        lines += [f"{key}: {value}" for key, value in more]
        self._write(session, ("\r\n".join(lines) + "\r\n\r\n").encode())

    def _list(self, session: Session, request: Mapping[str, str], name: str, fields: list[tuple[str, str]]) -> None:
        """An event of a list action: it carries our ActionID and no privilege."""
        lines = [f"Event: {name}"]
        if "ActionID" in request:
            lines.append(f"ActionID: {request['ActionID']}")
        lines += [f"{key}: {value}" for key, value in fields]
        self._write(session, ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))

    # ---- actions: True closes the connection

    def _ping(self, session: Session, request: dict[str, str]) -> bool:
        self._answer(session, request, "Success", ("Ping", "Pong"), ("Timestamp", f"{self.exchange.clock():.6f}"))
        return False

    def _logoff(self, session: Session, request: dict[str, str]) -> bool:
        self._answer(session, request, "Goodbye", ("Message", "Thanks for all the fish."))
        return True

    def _events(self, session: Session, request: dict[str, str]) -> bool:
        session.mask = _mask(request.get("EventMask", "off"))
        self._answer(session, request, "Success", ("Events", "On" if session.mask else "Off"))
        return False

    def _core_status(self, session: Session, request: dict[str, str]) -> bool:
        self._answer(session, request, "Success", ("CoreCurrentCalls", str(len(self.exchange.calls))))
        return False

    def _channels(self, session: Session, request: dict[str, str]) -> bool:
        self._answer(session, request, "Success", ("EventList", "start"), ("Message", "Channels will follow"))
        legs = self.exchange.live_legs()
        for call, leg in legs:
            past = int(self.exchange.clock() - leg.made_at)
            duration = f"{past // 3600:02d}:{past // 60 % 60:02d}:{past % 60:02d}"
            application = "Queue" if leg.inbound and call.queue else "AppDial" if not leg.inbound else "Dial"
            fields = [
                *self._translate.channel(leg),
                ("Application", application),
                ("ApplicationData", ""),
                ("Duration", duration),
                ("BridgeId", leg.bridge),
            ]
            self._list(session, request, "CoreShowChannel", fields)
        self._list(session, request, "CoreShowChannelsComplete", [("EventList", "Complete"), ("ListItems", str(len(legs)))])
        return False

    def _queues(self, session: Session, request: dict[str, str]) -> bool:
        exchange = self.exchange
        self._answer(session, request, "Success", ("EventList", "start"), ("Message", "Queue status will follow"))
        items = 0
        for queue in [name for name in exchange.settings.hotlines if request.get("Queue", name) == name]:
            waiting = exchange.waiting(queue)
            fields = [("Queue", queue), ("Max", "0"), ("Strategy", "ringall"), ("Calls", str(len(waiting))), ("Holdtime", "0"), ("TalkTime", "0")]
            fields += [("Completed", str(exchange.served)), ("Abandoned", str(exchange.abandoned)), ("ServiceLevel", "0"), ("Weight", "0")]
            self._list(session, request, "QueueParams", fields)
            for desk in exchange.desks.values():
                face = f"PJSIP/{desk.extension}"
                fields = [("Queue", queue), ("Name", desk.extension), ("Location", face), ("StateInterface", face), ("Membership", "static")]
                fields += [("Penalty", "0"), ("CallsTaken", str(desk.taken)), ("LastCall", str(desk.last_call)), ("InCall", str(int(desk.busy)))]
                self._list(session, request, "QueueMember", [*fields, ("Status", "2" if desk.busy else "1"), ("Paused", "0")])
            for position, call in enumerate(waiting, 1):
                leg = call.incoming
                fields = [("Queue", queue), ("Position", str(position)), ("Channel", leg.channel), ("Uniqueid", leg.uniqueid)]
                fields += [("CallerIDNum", leg.number or UNKNOWN), ("CallerIDName", leg.name or UNKNOWN)]
                fields += [("ConnectedLineNum", UNKNOWN), ("ConnectedLineName", UNKNOWN), ("Wait", f"{exchange.clock() - call.joined_at:.0f}")]
                self._list(session, request, "QueueEntry", [*fields, ("Priority", "0")])
            items += 1 + len(exchange.desks) + len(waiting)
        self._list(session, request, "QueueStatusComplete", [("EventList", "Complete"), ("ListItems", str(items))])
        return False

    def _originate(self, session: Session, request: dict[str, str]) -> bool:
        channel, context, exten = request.get("Channel", ""), request.get("Context", ""), request.get("Exten", "")
        number = channel.partition("/")[2].split("@")[0]
        if not number:
            self._answer(session, request, "Error", ("Message", "Channel not specified"))
            return False
        then = context if context == RINGS_IN_RING else exten or request.get("Data", "").partition("/")[2].split("@")[0].split(",")[0]
        if not then and request.get("Application", "").lower() not in ("", "dial"):
            then = "park"
        facts = {
            "ActionID": request.get("ActionID", ""),
            "asked_channel": channel,
            "context": context,
            "exten": exten,
            "shown": request.get("CallerID", "").split("<")[-1].rstrip(">"),
            "uuid": "",
        }
        variables = dict(pair.partition("=")[::2] for pair in request.get("Variable", "").split("\n") if "=" in pair)
        variables = {key.lstrip("_"): value for key, value in variables.items()}
        plan = Plan(scenario="on_request", ring_timeout_s=float(request.get("Timeout") or 30_000) / 1000, talk_s=KEY_WAIT_S)
        call = self.exchange.originate(number, then or "park", plan, variables, **facts)
        if call is None:
            self._answer(session, request, "Error", ("Message", "Originate failed"))
        else:
            if request.get("ChannelId"):
                call.incoming.uniqueid = call.incoming.linkedid = request["ChannelId"]
            self._answer(session, request, "Success", ("Message", "Originate successfully queued"))
        return False

    def _hangup(self, session: Session, request: dict[str, str]) -> bool:
        found = self.exchange.find_leg(request.get("Channel", ""))
        if found is None:
            self._answer(session, request, "Error", ("Message", "No such channel"))
            return False
        call, leg = found
        self._answer(session, request, "Success", ("Message", "Channel Hungup"))
        call.say(Word.KILL, leg)
        return False

    def _redirect(self, session: Session, request: dict[str, str]) -> bool:
        found = self.exchange.find_leg(request.get("Channel", ""))
        if found is None:
            self._answer(session, request, "Error", ("Message", "Channel does not exist"))
            return False
        self._answer(session, request, "Success", ("Message", "Redirect successful"))
        found[0].say(Word.REDIRECT, found[1], request.get("Exten", ""))
        return False


def _mask(text: str) -> frozenset[str]:
    """`on`, `off`, or class names with commas."""
    word = text.strip().lower()
    if word in ("on", "all", "yes", "true"):
        return CLASSES
    return frozenset(part.strip() for part in word.split(",")) & CLASSES


async def _request(reader: asyncio.StreamReader) -> dict[str, str] | None:
    """One request: lines until an empty one, CRLF or LF. Repeated keys are joined with newlines; None at the end of the stream."""
    found: dict[str, str] = {}
    while True:
        line = await reader.readline()
        if not line:
            return None
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if found:
                return found
            continue
        key, _, value = text.partition(":")
        key = _KEYS.get(key.strip().lower(), key.strip())
        found[key] = f"{found[key]}\n{value.strip()}" if key in found else value.strip()


_KEYS = {
    name.lower(): name
    for name in (
        "Action", "ActionID", "AuthType", "Username", "Secret", "Key", "Events", "EventMask", "Channel", "ChannelId", "Context", "Exten",
        "Timeout", "CallerID", "Variable", "Application", "Data", "Queue",
    )
}  # fmt: skip
