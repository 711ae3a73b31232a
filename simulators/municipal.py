"""`simulate municipal`: a municipal system that takes reports and says what it has, as docs/guide/upward.md tells its developers to.

It is an outside witness: written from that page with the standard library alone. It can be rude: slow, answer nonsense, refuse, lose a report
that it gave a receipt for, keep one twice.

    simulate municipal --listen 127.0.0.1:9400 --secret-file municipal.secret --lose 7 --double 9

Every address is a sender of its own, with numbers of its own: /12349 of one machine, /12349/0, /12349/1, … of the shards of several.

Standard output has one JSON object a request: {"request", "address", "status", "first", "last", "kept"}. It ends with SIGINT or SIGTERM.
"""

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

WINDOW_S = 300
MAX_BODY = 16 << 20
MAX_HEAD = 64 << 10
DETAIL = 1000  # reports in one page of a detailed answer
CHECKED = "/reconciliation"  # behind the address of reports: where it is asked what it has


@dataclass(slots=True)
class Municipal:
    """What it has, by address and number, and how rude it is.

    senders   address (a path, as reports are posted to it) → number → lines as they came; two when it has no idea of idempotence
    lose      numbers that it gives a receipt for and does not keep, once each, whoever sends them; double: numbers that it keeps twice
    slow_s    before each answer; nonsense: so many answers are 200 with a page of HTML; refuse: so many are 503
    """

    secret: bytes
    clock: Callable[[], float] = time.time
    lose: set[int] = field(default_factory=set)
    double: set[int] = field(default_factory=set)
    slow_s: float = 0.0
    nonsense: int = 0
    refuse: int = 0
    senders: dict[str, dict[int, list[bytes]]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)  # the same number with another content: must never happen
    unsigned: int = 0
    tell: Callable[[dict[str, Any]], None] | None = None
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: dict["asyncio.Task[None]", asyncio.StreamWriter] = field(default_factory=dict)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def copies(self) -> dict[int, list[bytes]]:
        """What the only sender has sent. Raises ValueError when there are several."""
        if not self.senders:
            return {}
        (only,) = self.senders.values()
        return only

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What it has, in order of addresses and numbers."""
        return [json.loads(lines[0]) for _, sent in sorted(self.senders.items()) for _, lines in sorted(sent.items())]

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; a port of 0 becomes a free one, and the same after `stop`."""
        self._gone.clear()
        self._server = await asyncio.start_server(self._serve, host, port or self.port, limit=MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Gone, as a machine is that was switched off; what it has stays."""
        if self._server is not None:
            self._server.close()
            self._gone.set()
            for writer in self._writers.values():
                writer.transport.abort()
            await asyncio.gather(*self._writers)
            await self._server.wait_closed()
            self._server = None

    # --- HTTP, as little as is needed --------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._writers[task] = writer
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError, ValueError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                    method, target, _ = head[0].split(" ", 2)
                    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
                    body = await reader.readexactly(min(int(headers.get("content-length", "0")), MAX_BODY))
                    status, answer = await self._answer(method, target, headers, body)
                    kind = "text/html" if answer.startswith(b"<") else "application/json"
                    reply = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer
                    writer.write(reply)
                    await writer.drain()
        finally:
            del self._writers[task]
            writer.close()

    async def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self.slow_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), self.slow_s)
                raise ConnectionResetError
        content = body if method == "POST" else f"GET {target}".encode()
        address = urlsplit(target).path.removesuffix(CHECKED)
        if not self._is_signed(headers, content):
            self.unsigned += 1
            return self._said(method, address, 401, {"reason": "bad_signature"})
        if self.refuse:
            self.refuse -= 1
            return self._said(method, address, 503, {"reason": "maintenance"})
        if self.nonsense:
            self.nonsense -= 1
            self._said(method, address, 200, {})
            return 200, b"<html>Please log in</html>"
        if method == "POST":
            return self._take(address, body)
        query = parse_qs(urlsplit(target).query)
        return self._said(method, address, 200, self._has(address, query["day"][0], "detail" in query, int(query.get("after", ["0"])[0])))

    def _is_signed(self, headers: dict[str, str], content: bytes) -> bool:
        timestamp = headers.get("x-timestamp", "")
        wanted = hmac.new(self.secret, timestamp.encode() + b"." + content, hashlib.sha256).hexdigest()
        is_fresh = timestamp.isdecimal() and abs(int(timestamp) - self.clock()) <= WINDOW_S
        return is_fresh and hmac.compare_digest(headers.get("x-signature", ""), "sha256=" + wanted)

    # --- what it does ------------------------------------------------------------------------------------------------

    def _take(self, address: str, body: bytes) -> tuple[int, bytes]:
        numbers, copies = [], self.senders.setdefault(address, {})
        for line in body.split(b"\n"):
            number = int(json.loads(line)["number"])
            numbers.append(number)
            if number in self.lose:
                self.lose.discard(number)
                continue
            known = copies.get(number)
            if known is None:
                copies[number] = [line, line] if number in self.double else [line]
            elif known[0] != line:
                self.conflicts.append(number)
        return self._said("POST", address, 200, {"received": max(numbers)}, first=numbers[0], last=numbers[-1])

    def _has(self, address: str, day: str, detail: bool, after: int) -> dict[str, Any]:
        mine = [(number, lines) for number, lines in sorted(self.senders.get(address, {}).items()) if json.loads(lines[0])["day"] == day]
        digests = {number: hashlib.sha256(lines[0]).hexdigest() for number, lines in mine}
        if detail:
            left = [(number, lines) for number, lines in mine if number > after]
            page = [{"number": number, "digest": digests[number], "copies": len(lines)} for number, lines in left[:DETAIL]]
            return {"reports": page, "more": len(left) > DETAIL}
        whole = hashlib.sha256("".join(f"{digest}\n" for digest in digests.values()).encode()).hexdigest()
        return {"day": day, "count": len(mine), "digest": whole, "twice": [number for number, lines in mine if len(lines) > 1]}

    def _said(self, method: str, address: str, status: int, answer: dict[str, Any], **more: int) -> tuple[int, bytes]:
        said = {"request": method, "address": address, "status": status, **more, "kept": len(self.senders.get(address, {}))}
        self.requests.append(said)
        if self.tell is not None:
            self.tell(said)
        return status, json.dumps(answer).encode()


def main(arguments: list[str] | None = None) -> int:
    """The command; gives the exit code."""
    found = argparse.ArgumentParser(prog="simulate municipal", description="A municipal system that takes the gateway's reports.")
    found.add_argument("--listen", default="127.0.0.1:9400", metavar="HOST:PORT", help="default %(default)s; reports at any path, each a sender")
    found.add_argument("--secret-file", type=Path, required=True, help="the secret shared with the gateway")
    found.add_argument("--lose", type=int, action="append", default=[], metavar="NUMBER", help="give a receipt for it and do not keep it, once")
    found.add_argument("--double", type=int, action="append", default=[], metavar="NUMBER", help="keep it twice")
    found.add_argument("--slow", type=float, default=0.0, metavar="S", help="seconds before each answer")
    found.add_argument("--nonsense", type=int, default=0, metavar="N", help="answer N times with a page of HTML")
    found.add_argument("--refuse", type=int, default=0, metavar="N", help="answer N times with 503")
    options = found.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    try:
        secret = options.secret_file.read_bytes().strip()
    except OSError as error:
        print(f"simulate municipal: {options.secret_file}: {error.strerror}", file=sys.stderr)
        return 2
    one = Municipal(
        secret, lose=set(options.lose), double=set(options.double), slow_s=options.slow, nonsense=options.nonsense, refuse=options.refuse,
        tell=lambda said: print(json.dumps(said), flush=True),
    )  # fmt: skip
    return asyncio.run(_run(one, host, int(port)))


async def _run(one: Municipal, host: str, port: int) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await one.start(host, port)
    await stop.wait()
    await one.stop()
    return 0
