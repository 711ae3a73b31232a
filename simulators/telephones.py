"""`simulate telephones`: people who get short messages, and the provider in front of them; some open the link and answer on the page.

    simulate telephones --listen 127.0.0.1:9500 --presses +8617400990002

A text comes as POST {"to", "text"}, whatever the path, and is taken with {"code": 0, "id": "…"}. Whose number is named by `--presses` opens the
link of each first text in a browser without scripts, presses the first button again and again until there is none, and keeps what was offered.
Standard output has one JSON object a line: {"to", "text", "link"} of a text, {"to", "link", "pressed", "status"} of a button. SIGINT, SIGTERM end it.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import httpx

MAX_BODY = 64 << 10
MAX_HEAD = 16 << 10
MAX_PRESSES = 6  # open, accept, on the way, arrived, done
PAUSE_S = 1.5  # a thumb
LINK = re.compile(r"https?://[^\s，。]+")
FORM = re.compile(r'<form method="post">(.*?)</form>', re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class Telephones:
    """A provider's HTTP side, and the people behind it. tell: gets each JSON object."""

    def __init__(self, presses: frozenset[str], tell: Callable[[dict[str, Any]], None], pause_s: float = PAUSE_S) -> None:
        self._presses = presses
        self._tell = tell
        self._pause_s = pause_s
        self._names = itertools.count(1)
        self._opened: set[str] = set()
        self._people: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_HEAD)

    async def stop(self) -> None:
        for person in self._people:
            person.cancel()
        await asyncio.gather(*self._people, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = re.search(r"\r\ncontent-length: *(\d+)", head)
                size = int(length[1]) if length else 0
                if size > MAX_BODY:
                    break
                answer = json.dumps(self._take(json.loads(await reader.readexactly(size)))).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
                await writer.drain()
        writer.close()

    def _take(self, said: dict[str, Any]) -> dict[str, Any]:
        to, text = str(said["to"]), str(said["text"])
        found = LINK.search(text)
        link = found[0] if found else ""
        self._tell({"to": to, "text": text, "link": link})
        if link and to in self._presses and link not in self._opened:
            self._opened.add(link)
            person = asyncio.create_task(self._answer(to, link))
            self._people.add(person)
            person.add_done_callback(self._people.discard)
        return {"code": 0, "id": str(next(self._names))}

    async def _answer(self, to: str, link: str) -> None:
        """Press the first button of each page: the one that the page puts first is the next thing to do."""
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(trust_env=False, follow_redirects=True, timeout=10) as browser:
                page = await browser.get(link)
                for _ in range(MAX_PRESSES):
                    form = FORM.search(page.text)
                    if form is None:
                        return
                    fields = dict(HIDDEN.findall(form[1]))
                    await asyncio.sleep(self._pause_s)
                    page = await browser.post(str(page.url), data=fields)
                    self._tell({"to": to, "link": link, "pressed": fields.get("do", ""), "status": page.status_code})


def main(arguments: list[str] | None = None) -> int:
    """The command; gives the exit code."""
    found = argparse.ArgumentParser(
        prog="simulate telephones", description="Telephones that get short messages, and answer on the page behind the link."
    )
    found.add_argument("--listen", default="127.0.0.1:9500", metavar="HOST:PORT", help="where the provider takes texts (default %(default)s)")
    found.add_argument(
        "--presses", action="append", default=[], metavar="NUMBER", help="whoever has this number opens links and answers; may be repeated"
    )
    options = found.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    if not port.isdigit():
        print(f"simulate telephones: --listen {options.listen!r} is not like 127.0.0.1:9500", file=sys.stderr)
        return 2
    return asyncio.run(_run(Telephones(frozenset(options.presses), _print), host, int(port)))


def _print(said: dict[str, Any]) -> None:
    print(json.dumps(said, ensure_ascii=False), flush=True)


async def _run(telephones: Telephones, host: str, port: int) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await telephones.start(host, port)
    await stop.wait()
    await telephones.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
