"""Orders into chat groups, against a web server of the test's that answers as WeCom and DingTalk do."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from waiting import wait_until

from gateway.config.dispatch import RobotConfig
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.robot import RobotChannel
from gateway.errors import ConfigError
from tests.dispatch.text_house import Web, cries, elders, gateway, legs, web

OK = (200, b'{"errcode":0,"errmsg":"ok"}')
SECRET = "SEC0123456789"


def order(number: int = 1, *, repeat: int = 0, **more: object) -> Order:
    body = {
        "delivery": f"d{number}", "incident": f"I{number}", "kind": "sos", "severity": "critical", "repeat": repeat,
        "person": {"name": "王秀兰", "age": 85, "address": "红古路12号"}, "page": "https://12349.example/r/token",
    } | more  # fmt: skip
    return Order(delivery=f"d{number}", incident=f"I{number}", responder="street", address="group", body=json.dumps(body).encode(), repeat=repeat)


def withdrawn(number: int = 1) -> Order:
    return Order(
        delivery=f"d{number}", incident=f"I{number}", responder="street", address="group",
        body=json.dumps({"delivery": f"d{number}", "incident": f"I{number}", "withdrawn": True}).encode(),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def robot(folder: Path, server: Web, clock: Any = lambda: 0.0, **more: Any) -> AsyncIterator[RobotChannel]:
    (folder / "url").write_text(f"{server.url}/robot/send?key=k-1\n")
    settings = {"name": "group", "kind": "wecom", "url_file": str(folder / "url")} | more
    channel = RobotChannel((RobotConfig(**settings),), lambda: "zh-CN", area=lambda _order: "海石湾", clock=clock, now=lambda: 1_740_909_600.0)
    running = asyncio.create_task(channel.run())
    await asyncio.sleep(0)
    try:
        yield channel
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def said(server: Web) -> list[str]:
    return [json.loads(body)["text"]["content"] for _, _, body in server.requests]


async def test_a_group_hears_number_kind_and_area_and_nobodys_name(tmp_path: Path) -> None:
    with web() as server:
        server.answers = [OK]
        async with robot(tmp_path, server) as channel:
            await channel.deliver(order())
        ((path, headers, body),) = server.requests
        assert path == "/robot/send?key=k-1"
        assert headers["content-type"] == "application/json"
        assert json.loads(body) == {"msgtype": "text", "text": {"content": "SOS 求助 I1，海石湾。"}}


async def test_where_the_group_may_know_it_hears_name_address_and_link(tmp_path: Path) -> None:
    with web() as server:
        server.answers = [OK]
        async with robot(tmp_path, server, details=True, link=True) as channel:
            await channel.deliver(order())
        assert said(server) == ["SOS 求助 I1，王秀兰，85岁，红古路12号。 接单：https://12349.example/r/token"]


async def test_dingtalk_is_signed(tmp_path: Path) -> None:
    """As DingTalk's own example computes it: HMAC-SHA-256 of "<ms>\\n<secret>" under the secret, base64."""
    (tmp_path / "secret").write_text(SECRET)
    with web() as server:
        server.answers = [OK]
        async with robot(tmp_path, server, kind="dingtalk", secret_file=str(tmp_path / "secret")) as channel:
            await channel.deliver(order())
        query = parse_qs(urlsplit(server.requests[0][0]).query)
        at = "1740909600000"
        wanted = base64.b64encode(hmac.new(SECRET.encode(), f"{at}\n{SECRET}".encode(), hashlib.sha256).digest()).decode()
        assert query == {"key": ["k-1"], "timestamp": [at], "sign": [wanted]}


@pytest.mark.parametrize(
    ("answer", "reason", "retry"),
    [
        ((200, b'{"errcode":93000,"errmsg":"invalid webhook url"}'), "errcode_93000", False),
        ((200, b'{"errcode":310000,"errmsg":"sign not match"}'), "errcode_310000", False),
        ((200, b'{"errcode":45009,"errmsg":"api freq out of limit"}'), "rate_limit", True),
        ((200, b'{"errcode":130101,"errmsg":"send too fast"}'), "rate_limit", True),
        ((200, b'{"errcode":-1,"errmsg":"system busy"}'), "errcode_-1", True),
        ((200, b"<html>"), "garbage", True),
        ((200, b'{"errcode":"0"}'), "garbage", True),
        ((200, b"[0]"), "garbage", True),
        ((404, b""), "http_404", False),
        ((502, b""), "http_502", True),
    ],
)
async def test_refused(tmp_path: Path, answer: tuple[int, bytes], reason: str, retry: bool) -> None:
    with web() as server:
        server.answers = [answer]
        async with robot(tmp_path, server) as channel:
            with pytest.raises(DeliveryError) as failed:
                await channel.deliver(order())
        assert (failed.value.reason, failed.value.retry) == (reason, retry)


async def test_no_answer_and_an_unknown_robot(tmp_path: Path) -> None:
    with web() as server:
        server.may_answer.clear()
        async with robot(tmp_path, server, timeout_s=0.2) as channel:
            with pytest.raises(DeliveryError, match="timeout"):
                await channel.deliver(order())
            with pytest.raises(DeliveryError) as failed:
                await channel.deliver(Order(delivery="d", incident="I", responder="x", address="other", body=b"{}"))
            assert (failed.value.reason, failed.value.retry) == ("no_such_robot", False)


async def test_notices_give_way_to_first_orders(tmp_path: Path) -> None:
    """Twenty a minute: notices wait when room is short and are told with the next order, the newest of each delivery; no order waits for them."""
    with web() as server:
        server.answers = [OK]
        async with robot(tmp_path, server) as channel:
            for number in range(15):
                await channel.deliver(order(number))
            for number in range(15):
                await channel.deliver(order(number, repeat=1))
                await channel.deliver(withdrawn(number))
            assert len(server.requests) == 15
            for number in range(15, 20):
                await channel.deliver(order(number))
            assert len(server.requests) == 20
            with pytest.raises(DeliveryError, match="rate_limit"):
                await channel.deliver(order(20))
        text = said(server)[15]
        assert text.startswith("SOS 求助 I15，海石湾。\n另有 15 条通知：I5 已撤回")
        assert "再次呼叫" not in text, "only the newest of each"
        assert "I14 已撤回，您不必前往。" in text
        assert said(server)[16] == "SOS 求助 I16，海石湾。", "told once"


async def test_notices_that_no_order_takes_along_leave_when_there_is_room(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with web() as server:
        server.answers = [OK]
        async with robot(tmp_path, server, clock=loop.time) as channel:
            bucket = channel._robots["group"].bucket
            bucket.per_s = 100.0  # the platform's minute, shortened
            bucket.charge(19.0, loop.time())
            await channel.deliver(withdrawn(3))
            assert server.requests == []
            await wait_until(lambda: said(server) == ["I3 已撤回，您不必前往。"], "it left alone")


@pytest.mark.parametrize(("answer", "left"), [((503, b""), 1), ((200, b'{"errcode":93000}'), 0)])
async def test_a_group_that_is_gone_keeps_no_other_waiting(tmp_path: Path, answer: tuple[int, bytes], left: int) -> None:
    """One platform is away, or says that there is no such group: the other group hears its notice all the same."""
    loop = asyncio.get_running_loop()
    with web() as away, web() as server:
        away.answers, server.answers = [answer], [OK]
        configs = []
        for name, url in (("away", away.url), ("group", server.url)):
            (tmp_path / name).write_text(f"{url}/robot/send?key=k-1\n")
            configs.append(RobotConfig(name=name, kind="wecom", url_file=str(tmp_path / name)))
        channel = RobotChannel(tuple(configs), clock=loop.time)
        running = asyncio.create_task(channel.run())
        await asyncio.sleep(0)
        for name in ("away", "group"):
            bucket = channel._robots[name].bucket
            bucket.per_s = 100.0  # the platform's minute, shortened
            bucket.charge(19.0, loop.time())
            await channel.deliver(msgspec.structs.replace(withdrawn(3), address=name))
        await wait_until(lambda: said(server) == ["I3 已撤回，您不必前往。"], "the other group hears it")
        await wait_until(lambda: away.requests and len(channel._robots["away"].notices) == left, "kept as long as it may still be heard")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_gateway_that_tells_a_group(tmp_path: Path) -> None:
    """The group is told; an operator passes its answer on, or a member opens the link."""
    with web() as server:
        server.answers = [OK]
        (tmp_path / "group.url").write_text(f"{server.url}/robot/send?key=k-1")
        settings = '[[dispatch.robot]]\nname = "group"\nkind = "wecom"\nurl_file = "group.url"\n'
        async with gateway(tmp_path, "robot", settings, "group", "group") as house:
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "the group knows")
            assert said(server) == [f"SOS 求助 {elders(house).id}，小区。"]
            delivery = elders(house).legs[0].delivery
            for answer in ("accept", "done"):
                house._answered("station", json.dumps({"delivery": delivery, "answer": answer}).encode())
            await wait_until(lambda: legs(house) == [("station", "done")], "it is done")


def test_an_address_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("k-1")
    with pytest.raises(ConfigError, match=r"dispatch.robot group: url_file: .* holds no web address"):
        RobotChannel((RobotConfig(name="group", kind="wecom", url_file=str(tmp_path / "url")),))
