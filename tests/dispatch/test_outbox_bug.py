"""A bug of ours while an order is written: it is tried again, the order is not lost."""

import asyncio
from pathlib import Path

from waiting import wait_until

from gateway.dispatch.contract import Order
from gateway.dispatch.under_way import UnderWay
from tests.dispatch.text_house import cries, gateway, legs, web


async def test_an_order_that_could_not_be_written_is_written_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def links(order: Order) -> str:
        asked.append(order.delivery)
        if len(asked) == 1:
            raise RuntimeError("a bug of ours")
        return ""

    with web() as server:
        (tmp_path / "group.url").write_text(f"{server.url}/robot\n")
        server.answers = [(200, b'{"errcode":0}')]
        settings = '[[dispatch.robot]]\nname = "group"\nkind = "wecom"\nurl_file = "group.url"\n'
        async with gateway(tmp_path, "robot", settings, station="group", centre="group") as house:
            house.pipeline.outbox.links = links
            await cries(house)
            await wait_until(lambda: legs(house) == [("station", "sent")], "it left at the second try")
            assert len(server.requests) == 1
            assert asked[0] == asked[1]


async def test_what_ended_in_a_bug_may_begin_again() -> None:
    begun: list[str] = []

    async def work() -> None:
        begun.append("work")
        raise RuntimeError("a bug of ours")

    under_way = UnderWay()
    under_way.begin("notice-1", work)
    under_way.begin("notice-1", work)
    await asyncio.sleep(0.01)
    assert begun == ["work"]
    under_way.begin("notice-1", work)
    await asyncio.sleep(0.01)
    assert begun == ["work", "work"]
    await under_way.close()
