"""Clients of the simulated exchange for its own tests, written from the fact sheets: an AMI reader, an ESL reader, a plain SIP socket."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

from waiting import WAIT_S, wait_until

from simulators.exchange.call import Call, Mode, Plan
from simulators.exchange.model import Exchange, Settings
from simulators.exchange.virtual import People

# Whoever takes a call takes it at once; nothing that is not wished ends the waiting before, however slow the machine is.
QUICK = Plan(lead_s=0.01, ring_s=0.05, talk_s=0.1, ring_timeout_s=WAIT_S, queue_timeout_s=WAIT_S, transfer_after_s=0.05)
CALLER = "+8617400000001"  # no subscriber
PLANS = {
    "answered": QUICK,
    "by_agent": replace(QUICK, hangs_up="agent"),
    "abandoned": replace(QUICK, agent_does="nothing", patience_s=0.5),
    "queue_timeout": replace(QUICK, agent_does="nothing", queue_timeout_s=0.2),
    "direct": replace(QUICK, mode=Mode.DIAL),
    "busy": replace(QUICK, mode=Mode.DIAL, agent_does="busy"),
    "declined": replace(QUICK, mode=Mode.DIAL, agent_does="declines"),
    "no_answer": replace(QUICK, mode=Mode.DIAL, agent_does="nothing", ring_timeout_s=0.2),
    "cancelled": replace(QUICK, mode=Mode.DIAL, agent_does="nothing", patience_s=0.5),
    "blind": replace(QUICK, mode=Mode.DIAL, transfer="blind"),
    "attended": replace(QUICK, transfer="attended"),
    "late_number": replace(QUICK, late_number=True),
}


def exchange(**settings: object) -> Exchange:
    """An exchange with two agents and simulated people at the telephones."""
    found = Exchange(Settings(**({"retry_s": 0.02} | settings)))  # type: ignore[arg-type]
    found.faces.append(People(found))
    return found


def place(found: Exchange, plan: Plan, called: str = "12349") -> Call:
    call = found.offer(plan, CALLER, "017400000001", called)
    assert call is not None
    return call


async def over(call: Call) -> Call:
    """Wait until the call has ended."""
    async with asyncio.timeout(2 * WAIT_S):
        await call.done.wait()
    return call


class AmiReader:
    """Blocks of `Key: Value` lines, as they came: `blocks` lists of pairs."""

    def __init__(self) -> None:
        self.blocks: list[list[tuple[str, str]]] = []
        self.banner = b""
        self.is_closed = False

    async def connect(self, port: int) -> "AmiReader":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self.banner = await self._reader.readline()
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        try:
            while True:
                block = await self._reader.readuntil(b"\r\n\r\n")
                lines = block[:-4].decode("utf-8", "surrogateescape").split("\r\n")
                self.blocks.append([(line.partition(": ")[0].rstrip(":"), line.partition(": ")[2]) for line in lines])
        except (asyncio.IncompleteReadError, ConnectionError):
            self.is_closed = True

    async def ask(self, *lines: str, end: str = "\r\n") -> dict[str, str]:
        """Send an action; gives the next response."""
        before = len(self.responses())
        self._writer.write((end.join(lines) + end + end).encode())
        await wait_until(lambda: len(self.responses()) > before or self.is_closed, "a response")
        return self.responses()[before]

    async def login(self, mask: str = "on") -> dict[str, str]:
        return await self.ask("Action: Login", "Username: gateway", "Secret: secret", f"Events: {mask}", "ActionID: 1")

    def responses(self) -> list[dict[str, str]]:
        return [dict(block) for block in self.blocks if block[0][0] == "Response"]

    def events(self, *names: str) -> list[dict[str, str]]:
        return [dict(block) for block in self.blocks if block[0][0] == "Event" and (not names or block[0][1] in names)]

    async def until(self, name: str, count: int = 1) -> dict[str, str]:
        await wait_until(lambda: len(self.events(name)) >= count, f"{count} {name}")
        return self.events(name)[count - 1]

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()


class EslReader:
    """Frames of the event socket: (headers, body); `events` are decoded from either format."""

    def __init__(self) -> None:
        self.frames: list[tuple[dict[str, str], bytes]] = []
        self.is_closed = False

    async def connect(self, port: int) -> "EslReader":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._task = asyncio.create_task(self._read())
        await wait_until(lambda: self.frames or self.is_closed, "the first frame")
        return self

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readuntil(b"\n\n")
                assert b"\r" not in head
                headers = dict(line.split(": ", 1) for line in head.decode().strip().split("\n"))
                body = await self._reader.readexactly(int(headers.get("Content-Length", "0")))
                self.frames.append((headers, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.is_closed = True

    async def ask(self, command: str) -> tuple[dict[str, str], bytes]:
        """Send a command; gives its reply, the next in order."""
        before = len(self.replies())
        self._writer.write(command.encode() + b"\n\n")
        await wait_until(lambda: len(self.replies()) > before or self.is_closed, f"a reply to {command[:20]}")
        return self.replies()[before]

    async def login(self, events: str = "", form: str = "json") -> None:
        await self.ask("auth secret")
        if events:
            await self.ask(f"event {form} {events}")

    def replies(self) -> list[tuple[dict[str, str], bytes]]:
        return [frame for frame in self.frames if frame[0]["Content-Type"] in ("command/reply", "api/response")]

    def events(self, *names: str) -> list[dict[str, str]]:
        found = []
        for headers, body in self.frames:
            if headers["Content-Type"] == "text/event-json":
                found.append(json.loads(body.decode("utf-8", "surrogateescape")))
            elif headers["Content-Type"] == "text/event-plain":
                head, _, inner = body.decode().partition("\n\n")
                fields = dict(line.split(": ", 1) for line in head.split("\n"))
                event = {name: "" if value == "_undef_" else unquote(value) for name, value in fields.items()}
                assert len(inner.encode()) == int(event.get("Content-Length", "0"))
                found.append(event | ({"_body": inner} if inner else {}))
        return [event for event in found if not names or event["Event-Name"] in names]

    async def until(self, condition: Callable[[dict[str, str]], bool], what: str) -> dict[str, str]:
        await wait_until(lambda: any(condition(event) for event in self.events()), what)
        return next(event for event in self.events() if condition(event))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
