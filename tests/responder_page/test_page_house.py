"""The responder page of a whole gateway: real TLS, real listener, from the press of a button to done; and every way in which a link goes wrong."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from servers import until

from gateway.responder_page.links import Links
from tests.responder_page.page_house import SECRET, PageHouse, Telephone, page_house


async def test_an_order_is_accepted_and_done_on_a_telephone(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        assert order["page"].startswith(place.url + "/")
        assert order["delivery"] not in order["page"]
        telephone = place.telephone()
        cover = await telephone.open(order["page"])
        assert cover.status_code == 200
        assert "某人" not in cover.text  # a program that looks links up ahead sees nobody's name …
        assert telephone.offered == ["open"]
        shown = await telephone.press("open")  # … and only a person's press opens it
        assert shown.status_code == 200
        assert "某人" in shown.text
        assert "geo:36.34" in shown.text
        assert 'href="tel:12349"' in shown.text
        assert telephone.offered == ["accept", "decline"]
        await telephone.press("accept")
        assert await place.leg(order) == "accepted"
        assert "You have accepted" in telephone.text
        await telephone.press("en_route")
        assert await place.leg(order) == "en_route"
        await telephone.press("arrived")
        assert await place.leg(order) == "arrived"
        await telephone.press("done", note="扶起，无外伤")
        assert await place.leg(order) == "done"
        assert telephone.offered == []
        assert "某人" not in telephone.text  # afterwards only that it is over
        entries = {row["kind"]: row["facts"] for row in place.house.journal() if row["incident"] == order["incident"]}
        assert entries.keys() >= {"viewed", "accept", "en_route", "arrived", "done"}
        assert "扶起，无外伤" in str(entries["done"])
        assert '"way":"page"' in str(entries["accept"]).replace(" ", "").replace("'", '"')
        assert await place.house.unbalanced() == {}
        token = order["page"].rsplit("/", 1)[1]
        assert place.house.said(token) == 0
        metrics = await place.house.get("/metrics")
        assert metrics is not None
        assert token not in metrics.text
        assert await place.house.metric("gateway_page_requests_total", outcome="answered") == 4


async def test_a_forwarded_link_stays_with_the_first_device(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        mine, theirs = place.telephone(), place.telephone()
        await theirs.open(order["page"])  # a cover is shown to anybody, and binds nothing
        held = theirs.form("open")
        await mine.open(order["page"])
        await mine.press("open")
        await theirs.send(held)
        assert theirs.page is not None
        assert theirs.page.status_code == 403
        assert "another device" in theirs.text
        assert "某人" not in theirs.text
        await theirs.open(order["page"])
        assert "another device" in theirs.text
        refused = await theirs.send({"do": "accept", "nonce": mine.form("accept")["nonce"]}, order["page"])
        assert refused.status_code == 403
        await until_sent(place, order)  # and no further
        await mine.press("accept")
        assert await place.leg(order) == "accepted"


async def test_where_forwarding_is_allowed_a_colleague_may_answer(tmp_path: Path) -> None:
    async with page_house(tmp_path, allow_forward=True) as place:
        order = await place.ordered()
        mine, theirs = place.telephone(), place.telephone()
        for telephone in (mine, theirs):
            await telephone.open(order["page"])
            await telephone.press("open")
            assert telephone.offered == ["accept", "decline"]
        await theirs.press("accept")
        assert await place.leg(order) == "accepted"


async def test_forged_expired_and_strange_links(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        token = order["page"].rsplit("/", 1)[1]
        telephone = place.telephone()
        other = Links(place.url, [b"another key of thirty-two bytes !"])
        now = datetime.now(UTC)
        own = Links(place.url, [SECRET.encode()])
        data = bytearray(base64.urlsafe_b64decode(token))
        data[2] ^= 1  # a later expiry
        later = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
        forged = [
            other.link_for(order["delivery"], "station-1", now + timedelta(hours=1)),
            f"{place.url}/{later}",
            f"{place.url}/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
            *(
                f"{place.url}/{path}"
                for path in ("", "index.html", "favicon.ico", "robots.txt", "api/v1/session", "metrics", "healthz", "static/page.css")
            ),
        ]
        answers = [await telephone.open(str(url)) for url in forged]
        assert {(answer.status_code, answer.content) for answer in answers} == {(404, b"")}
        assert {tuple(sorted(name for name in answer.headers if name != "date")) for answer in answers}.__len__() == 1
        expired = await telephone.open(str(own.link_for(order["delivery"], "station-1", now - timedelta(hours=1))))
        assert expired.status_code == 410
        assert "expired" in expired.text
        someone_else = await telephone.open(str(own.link_for(order["delivery"], "station-9", now + timedelta(hours=1))))
        assert someone_else.status_code == 410
        for answer in (expired, someone_else):
            assert "某人" not in answer.text
        await until_sent(place, order)  # and no further


async def test_a_replayed_answer_counts_once(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        telephone = place.telephone()
        await telephone.open(order["page"])
        await telephone.press("open")
        accept = telephone.form("accept")
        for _ in range(3):
            answer = await telephone.send(accept, order["page"])
            assert answer.status_code == 200
        await asyncio.gather(*(telephone.send(accept, order["page"]) for _ in range(5)))
        accepted = [row for row in place.house.journal() if row["kind"] == "accept" and row["incident"] == order["incident"]]
        assert len(accepted) == 1
        assert await place.house.metric("gateway_events_total", line="replies", outcome="duplicate") == 7
        forged = await telephone.send({"do": "done", "nonce": accept["nonce"][:-2] + "AA"}, order["page"])
        assert forged.status_code == 409
        assert (await telephone.send({"do": "explode", "nonce": accept["nonce"]}, order["page"])).status_code == 409
        assert await place.leg(order) == "accepted"


async def test_withdrawn_and_taken_are_told_in_words(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        first = await place.ordered(1)
        telephone = place.telephone("zh-CN,zh;q=0.9")
        await telephone.open(first["page"])
        await telephone.press("open")
        await place.command(first["incident"], "acknowledge")
        done = await place.command(first["incident"], "withdraw", delivery=first["delivery"])
        assert done.status_code == 200, done.text
        await telephone.send(telephone.form("accept"), first["page"])
        assert "此单已撤回" in telephone.text
        assert telephone.offered == []
        assert "某人" not in telephone.text
        assert await place.leg(first) == "withdrawn"

        second = await place.ordered(2)
        await telephone.open(second["page"])
        await telephone.press("open")
        await place.command(second["incident"], "acknowledge")
        await place.command(second["incident"], "escalate")
        await until(lambda: len({one["delivery"] for one in place.orders() if one["incident"] == second["incident"]}) == 2, "the centre is asked too")
        rival = next(one for one in place.orders() if one["incident"] == second["incident"] and one["delivery"] != second["delivery"])
        await place.witness.publish("stations/centre/reply", msgspec.json.encode({"delivery": rival["delivery"], "answer": "accept", "by": "Wang"}))
        await until(lambda: any("taken_by" in one for one in place.orders()), "the station hears who has taken it")
        await telephone.send(telephone.form("accept"), second["page"])
        assert "centre已经接单" in telephone.text
        assert telephone.offered == []


async def test_killed_between_opening_and_accepting(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        telephone, other = place.telephone(), place.telephone()
        await telephone.open(order["page"])
        await telephone.press("open")
        place.house.kill()
        with pytest.raises(httpx.TransportError):
            await telephone.open(order["page"])
        await place.start()
        place.forget_session()
        await other.open(order["page"])
        assert "another device" in other.text  # whose it is, is on disk
        await telephone.open(order["page"])
        await telephone.press("accept")
        assert await place.leg(order) == "accepted"


async def test_declining_names_why_and_somebody_else_is_asked(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        telephone = place.telephone()
        await telephone.open(order["page"])
        await telephone.press("open")
        await telephone.press("decline", reason="too_far", note="雪")
        assert await place.leg(order) == "declined"
        assert telephone.offered == ["accept"]  # nobody has taken it: they may still change their mind
        declined = next(row["facts"] for row in place.house.journal() if row["kind"] == "decline")
        assert "太远，来不及 雪" in str(declined)
        await until(lambda: len({one["delivery"] for one in place.orders() if one["incident"] == order["incident"]}) == 2, "the next one up is asked")


async def test_a_flood_fills_our_places_and_nothing_else(tmp_path: Path) -> None:
    async with page_house(tmp_path, per_minute=20) as place:
        order = await place.ordered()
        holders: list[socket.socket] = []
        try:
            for _ in range(120):  # connections that never say a word: only so many of one address are kept
                one = socket.create_connection(("127.0.0.1", place.port))
                one.setblocking(False)
                holders.append(one)
            await until_refused(place)
            assert await place.house.reasons() == []
            await place.cry(2)
            await place.order(2)  # alarms go on
        finally:
            for one in holders:
                one.close()
        await asyncio.sleep(0)
        telephone = place.telephone()
        codes = []
        async for code in knocking(telephone, order["page"]):
            codes.append(code)
        assert codes[-1] == 429
        assert await place.house.metric("gateway_page_requests_total", outcome="too_many") >= 1


async def until_sent(place: PageHouse, order: dict[str, Any]) -> None:
    """The broker's receipt for an order is on disk, which may take longer than the order took to its station."""

    async def sent() -> bool:
        state = await place.leg(order)
        assert state in ("queued", "sent")
        return state == "sent"

    await place.house.sees(sent, "the order counts as sent")


async def until_refused(place: PageHouse) -> None:
    async def refused() -> bool:
        return await place.house.metric("gateway_page_refused_total") >= 100

    await place.house.sees(refused, "connections beyond the places of one address are refused")


async def knocking(telephone: Telephone, url: str) -> AsyncIterator[int]:
    for _ in range(500):
        try:
            code = (await telephone.open(url)).status_code
        except httpx.TransportError:  # the held places are being given back
            await asyncio.sleep(0.02)
            continue
        yield code
        if code == 429:
            return


async def test_plain_http_and_bytes_of_any_kind_do_no_harm(tmp_path: Path) -> None:
    async with page_house(tmp_path) as place:
        order = await place.ordered()
        for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 4096, b"\x16\x03\x01" + b"A" * 500):
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(noise)
            await reader.read()  # closed by the gateway
            writer.close()
        raw = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        for noise in (
            b"\r\n" * 100 + b"nonsense\r\n\r\n",
            b"GET /" + b"A" * 40_000 + b" HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port, ssl=raw, server_hostname="127.0.0.1")
            writer.write(noise)
            answer = await reader.read()
            assert b" 400 " in answer or b" 404 " in answer or answer == b""
            writer.close()
        telephone = place.telephone()
        assert (await telephone.open(order["page"])).status_code == 200
        assert place.house.said("Traceback") == 0
