"""The ESL face: FreeSWITCH's event socket in inbound mode. auth, event, api, bgapi; events plain or JSON, LF line ends.

Written from the sources of mod_event_socket; no live server was at hand.
"""

import asyncio
import json
import re
import secrets
from dataclasses import dataclass, field

from simulators.exchange.call import Call, Leg, Plan
from simulators.exchange.call import Said as Word
from simulators.exchange.esl_words import Event, Translator
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import Exchange

HEARTBEAT_S = 20.0  # event-heartbeat-interval
MAX_BEHIND = 16 * 1024 * 1024  # the real one counts events, 100,000 of them; octets are what fills our memory
MAX_COMMAND = 65_536
ORIGINATE = re.compile(r"(?:\{(?P<variables>[^}]*)\})?\s*(?P<first>\S+)\s+&?(?P<then>[^\s(]+)(?:\((?P<argument>.*?)\))?")
EVENTS = frozenset(
    {
        "CHANNEL_CREATE", "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE",
        "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_UUID", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "CALL_UPDATE", "HEARTBEAT",
        "BACKGROUND_JOB", "DTMF",
    }
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Session:
    """One connection. subclasses: those of CUSTOM that it asked for."""

    writer: asyncio.StreamWriter
    task: "asyncio.Task[None] | None"
    is_in: bool = False
    form: str = "plain"
    names: set[str] = field(default_factory=set)
    subclasses: set[str] = field(default_factory=set)
    filters: list[tuple[str, str]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)  # commands without what follows their first word

    def wants(self, event: Event) -> bool:
        name = event["Event-Name"]
        if name == "CUSTOM":
            asked = event.get("Event-Subclass", "") in self.subclasses or "ALL" in self.names
        else:
            asked = name in self.names or "ALL" in self.names
        return self.is_in and asked and (not self.filters or any(event.get(key) == value for key, value in self.filters))


class EslServer:
    """Listens on 127.0.0.1. rude: every connection is refused, as an access list does."""

    def __init__(self, exchange: Exchange, password: str, *, heartbeat_s: float = HEARTBEAT_S, rude: bool = False) -> None:
        self.exchange = exchange
        self.password = password
        self.rude = rude
        self.sessions: list[Session] = []
        self.sent = 0
        self.cut_off = 0
        self.port = 0
        self._heartbeat_s = heartbeat_s
        self._words = Translator(exchange)
        self._jobs: dict[int, tuple[Session, str, str]] = {}  # by call: the session and job of its bgapi originate
        self._server: asyncio.Server | None = None
        self._pulse: asyncio.Task[None] | None = None

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_COMMAND)
        self.port = self._server.sockets[0].getsockname()[1]
        self._pulse = asyncio.create_task(self._beat())
        self.exchange.faces.append(self)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._pulse is not None:
            self._pulse.cancel()
        if self in self.exchange.faces:
            self.exchange.faces.remove(self)
        serving = [session.task for session in self.sessions if session.task is not None]
        self.reset()
        await asyncio.gather(*serving, return_exceptions=True)

    def reset(self) -> None:
        """Fault: every connection is cut in the middle, nothing said."""
        for session in list(self.sessions):
            session.writer.transport.abort()

    def say_goodbye(self, *, linger: bool = False) -> None:
        """`text/disconnect-notice`, then close (with linger: not yet)."""
        text = b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
        head = f"Content-Type: text/disconnect-notice\nContent-Disposition: {'linger' if linger else 'disconnect'}\nContent-Length: {len(text)}\n\n"
        for session in list(self.sessions):
            session.writer.write(head.encode() + text)
            if not linger:
                session.writer.close()

    def flood(self, events: int) -> None:
        """Fault: so many queue counts at once, which mean nothing to anybody who counts calls."""
        for _ in range(events):
            self.broadcast(
                self._words.base("CUSTOM", "callcenter::info") | {"CC-Queue": "12349@default", "CC-Action": "members-count", "CC-Count": "0"}
            )

    # ---- events

    def __call__(self, happening: Happening) -> None:
        if not self.sessions:
            return
        for event in self._words(happening):
            self.broadcast(event)
        if happening.what is What.ORIGINATED:
            self._job_over(happening)

    def broadcast(self, event: Event) -> None:
        made: dict[str, bytes] = {}
        for session in self.sessions:
            if session.wants(event):
                if session.form not in made:
                    made[session.form] = self._words.to_wire(event, session.form)
                self._write(session, made[session.form])

    def _write(self, session: Session, data: bytes) -> None:
        self.sent += 1
        if session.writer.transport.get_write_buffer_size() > MAX_BEHIND:
            self.cut_off += 1
            session.writer.transport.abort()
            return
        session.writer.write(data)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            self.broadcast(self._words.heartbeat())

    # ---- sessions

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.rude:
            body = b"Access Denied, go away.\n"
            writer.write(f"Content-Type: text/rude-rejection\nContent-Length: {len(body)}\n\n".encode() + body)
            writer.close()
            return
        session = Session(writer, asyncio.current_task())
        self.sessions.append(session)
        writer.write(b"Content-Type: auth/request\n\n")
        try:
            while (command := await _command(reader)) is not None:
                if not self._obey(session, command):
                    return
        except (OSError, ValueError, asyncio.IncompleteReadError):
            return
        finally:
            self.sessions.remove(session)
            writer.close()

    def _obey(self, session: Session, command: dict[str, str]) -> bool:
        """False: the connection is to be closed."""
        word, _, rest = command[""].partition(" ")
        session.heard.append(word)
        if word == "auth":
            return self._auth(session, rest)
        if word == "exit":
            self._reply(session, "+OK bye")
            return False
        if not session.is_in:
            self._reply(session, "-ERR command not found")
        elif word == "event":
            self._event(session, rest.split())
        elif word == "noevents":
            session.names.clear()
            session.subclasses.clear()
            self._reply(session, "+OK no longer listening for events")
        elif word == "filter":
            name, _, value = rest.partition(" ")
            session.filters.append((name, value))
            self._reply(session, f"+OK filter added. [{name}]=[{value}]")
        elif word == "api":
            self._api_reply(session, self._api(rest))
        elif word == "bgapi":
            self._background(session, rest, command.get("job-uuid") or self.exchange.new_uuid())
        else:
            self._reply(session, "-ERR command not found")
        return True

    def _auth(self, session: Session, password: str) -> bool:
        session.is_in = secrets.compare_digest(password.encode(), self.password.encode())
        self._reply(session, "+OK accepted" if session.is_in else "-ERR invalid")
        return session.is_in

    def _event(self, session: Session, words: list[str]) -> None:
        """`event plain|json NAME … CUSTOM SUBCLASS …`: every word after CUSTOM is a subclass; unknown words are skipped."""
        if words and words[0].lower() in ("plain", "json", "xml"):
            session.form = words.pop(0).lower()
        known = 0
        custom = False
        for word in words:
            if custom:
                session.subclasses.add(word)
                known += 1
            elif word.upper() == "CUSTOM":
                custom = True
                known += 1
            elif word.upper() in EVENTS or word.upper() == "ALL":
                session.names.add(word.upper())
                known += 1
        self._reply(session, f"+OK event listener enabled {session.form}" if known else "-ERR no keywords supplied")

    def _reply(self, session: Session, text: str, **more: str) -> None:
        lines = ["Content-Type: command/reply", f"Reply-Text: {text}", *(f"{key.replace('_', '-')}: {value}" for key, value in more.items())]
        self._write(session, ("\n".join(lines) + "\n\n").encode())

    def _api_reply(self, session: Session, body: str) -> None:
        data = body.encode("utf-8", "surrogateescape")
        self._write(session, f"Content-Type: api/response\nContent-Length: {len(data)}\n\n".encode() + data)

    # ---- commands

    def _api(self, command: str) -> str:
        word, _, rest = command.partition(" ")
        if word == "status":
            return f"UP 0 years, 0 days\n{len(self.exchange.live_legs())} session(s)\n"
        if word == "show":
            rows = {"channels": self._channels, "calls": self._calls}.get(rest.split(" ")[0])
            found = rows() if rows is not None else []
            return json.dumps({"row_count": len(found)} | ({"rows": found} if found else {}), ensure_ascii=False)
        if word == "uuid_exists":
            return "true" if self.exchange.find_leg(rest) else "false"
        if word in ("uuid_kill", "uuid_transfer"):
            return self._about_leg(word, rest.split())
        return f"-ERR {word} Command not found!\n"

    def _about_leg(self, word: str, arguments: list[str]) -> str:
        found = self.exchange.find_leg(arguments[0]) if arguments else None
        if found is None:
            return "-ERR No such channel!\n"
        call, leg = found
        if word == "uuid_kill":
            call.say(Word.KILL, leg)
        else:
            call.say(Word.REDIRECT, leg, next((part for part in arguments[1:] if not part.startswith("-")), ""))
        return "+OK\n"

    def _background(self, session: Session, command: str, job: str) -> None:
        self._reply(session, f"+OK Job-UUID: {job}", Job_UUID=job)
        word, _, rest = command.partition(" ")
        if word == "originate":
            self._originate(session, rest, job)
        else:
            self._tell_job(session, job, word, rest, self._api(command))

    def _originate(self, session: Session, text: str, job: str) -> None:
        """`{a=b,c=d}user/8001 &bridge([…]sofia/gateway/trunk/NUMBER)`, or `&park()`, `&endless_playback(…)`."""
        match = ORIGINATE.fullmatch(text.strip())
        if match is None:
            self._tell_job(session, job, "originate", text, "-USAGE: <call url> <exten>|&<application_name>(<app_args>)\n")
            return
        variables = dict(pair.partition("=")[::2] for pair in (match["variables"] or "").split(",") if "=" in pair)
        then = _number(match["argument"] or "") if match["then"] == "bridge" else match["then"] if match["then"].isdigit() else "park"
        plan = Plan(scenario="on_request", ring_timeout_s=float(variables.get("originate_timeout", "60")), talk_s=60)
        facts = {"uuid": variables.pop("origination_uuid", ""), "shown": variables.get("origination_caller_id_number", "")}
        call = self.exchange.originate(_number(match["first"]), then, plan, variables, **facts)
        if call is None:
            self._tell_job(session, job, "originate", text, "-ERR NORMAL_TEMPORARY_FAILURE\n")
        else:
            self._jobs[call.number] = (session, job, text)

    def _job_over(self, happening: Happening) -> None:
        found = self._jobs.pop(happening.call.number, None)
        if found is None:
            return
        session, job, text = found
        if happening.text("success") == "Success":
            self._tell_job(session, job, "originate", text, f"+OK {happening.leg.uuid}\n")
        else:
            cause = {"3": "NO_ANSWER", "5": "USER_BUSY", "1": "CALL_REJECTED"}.get(happening.text("reason"), "NORMAL_TEMPORARY_FAILURE")
            self._tell_job(session, job, "originate", text, f"-ERR {cause}\n")

    def _tell_job(self, session: Session, job: str, command: str, argument: str, result: str) -> None:
        event = self._words.job(job, command, argument, result)
        if session in self.sessions and session.wants(event):
            self._write(session, self._words.to_wire(event, session.form))

    # ---- what is live

    def _channels(self) -> list[dict[str, str]]:
        return [self._row(call, leg) for call, leg in self.exchange.live_legs()]

    def _row(self, call: Call, leg: Leg) -> dict[str, str]:
        """One row of `show channels`; all values are text, the column names those of FreeSWITCH's own table."""
        event = self._words.channel("", call, leg)
        self._words.sequence -= 1  # a row is no event
        return {
            "uuid": leg.uuid,
            "direction": event["Call-Direction"],
            "created_epoch": f"{leg.made_at:.0f}",
            "name": event["Channel-Name"],
            "state": event["Channel-State"],
            "cid_name": event["Caller-Caller-ID-Name"],
            "cid_num": event["Caller-Caller-ID-Number"],
            "ip_addr": event["Caller-Network-Addr"],
            "dest": event["Caller-Destination-Number"],
            "application": "callcenter" if call.queue and leg.inbound else "",
            "callstate": event["Channel-Call-State"],
            "callee_name": event.get("Caller-Callee-ID-Name", ""),
            "callee_num": event.get("Caller-Callee-ID-Number", ""),
            "call_uuid": leg.call_uuid,
            "hostname": self.exchange.settings.name,
            "initial_cid_num": event["Caller-Caller-ID-Number"],
            "initial_dest": event["Caller-Destination-Number"],
        }

    def _calls(self) -> list[dict[str, str]]:
        """Bridged pairs: the caller's columns, and the other leg's with `b_` in front."""
        found = []
        for call, leg in self.exchange.live_legs():
            if leg.inbound and leg.bridge and leg.peer is not None:
                other = {f"b_{key}": value for key, value in self._row(call, leg.peer).items()}
                found.append(self._row(call, leg) | other)
        return found


def _number(text: str) -> str:
    """The number in a dial string: `[a=b]sofia/gateway/trunk/17400000001`, `user/8001@domain`."""
    return text.rpartition("]")[2].rpartition("/")[2].partition("@")[0]


async def _command(reader: asyncio.StreamReader) -> dict[str, str] | None:
    """One command: its first line under "", then headers by lower-case name. Empty lines in front are skipped; None at the end."""
    found: dict[str, str] = {}
    while True:
        line = await reader.readline()
        if not line:
            return None
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text and not found:
            found[""] = text
        elif text:
            name, _, value = text.partition(":")
            found[name.strip().lower()] = value.strip()
        elif found:
            return found
