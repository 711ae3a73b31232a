"""Telephones that get texts: every text is told, and whoever presses goes through the page button by button, as a browser would."""

import asyncio
import contextlib
from typing import Any
from urllib.parse import parse_qs

import httpx
from waiting import free_port, wait_until

from simulators.telephones import Telephones, main

PAGES = {"": "open", "open": "accept", "accept": "done"}  # what was pressed → the first button of the page that comes
FORM = '<form method="post"><input type="hidden" name="nonce" value="n1"><input type="hidden" name="do" value="{0}"><button>x</button></form>'


class Page:
    """A page that offers one button after the other, and nothing after `done`."""

    def __init__(self) -> None:
        self.pressed: list[dict[str, list[str]]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length: ")[2].partition("\r")[0] or 0)
                fields = parse_qs((await reader.readexactly(size)).decode())
                if fields:
                    self.pressed.append(fields)
                word = PAGES.get(fields.get("do", [""])[0])
                body = (FORM.format(word) if word else "<p>over</p>").encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()


async def test_who_presses_goes_through_the_page_and_others_only_read() -> None:
    page, told = Page(), list[dict[str, Any]]()
    server = await asyncio.start_server(page.serve, "127.0.0.1", 0)
    link = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    port = free_port()
    telephones = Telephones(frozenset({"+8617400990002"}), told.append, pause_s=0.0)
    await telephones.start("127.0.0.1", port)
    try:
        async with httpx.AsyncClient(trust_env=False) as provider:
            for to, text in (("+8617400990002", f"看:{link}，谢谢"), ("+8617400990002", f"again {link}"), ("+8617400300580", f"also {link}")):
                answer = await provider.post(f"http://127.0.0.1:{port}/send", json={"to": to, "text": text})
                assert answer.json()["code"] == 0
        await wait_until(lambda: len(page.pressed) == 3)
    finally:
        await telephones.stop()
        server.close()
    assert [fields["do"] for fields in page.pressed] == [["open"], ["accept"], ["done"]]
    assert all(fields["nonce"] == ["n1"] for fields in page.pressed)
    assert [(one["to"], one["link"]) for one in told if "text" in one] == [("+8617400990002", link)] * 2 + [("+8617400300580", link)]


def test_an_address_without_a_port_is_exit_2() -> None:
    assert main(["--listen", "here"]) == 2
