"""A bug in a part that alarms can do without: it is logged, the part begins again, the house goes on."""

from pathlib import Path

import pytest
from waiting import wait_until

from gateway import beside
from gateway.auditor import Auditor
from gateway.dispatch.robot import RobotChannel
from gateway.flood import Flood
from gateway.retention import Retention
from gateway.risks import Risks
from gateway.saturation import Saturation
from tests.dispatch.text_house import cries, elders, gateway, web


@pytest.mark.parametrize("part", [RobotChannel, Retention, Saturation, Auditor, Flood, Risks])
async def test_a_bug_in_it_ends_neither_the_house_nor_the_part(tmp_path: Path, part: type, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []

    async def broken(self: object) -> None:
        begun.append(self)
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(part, "run", broken)
    monkeypatch.setattr(beside, "BEGIN_AGAIN_S", 0.01)
    with web() as server:
        (tmp_path / "group.url").write_text(f"{server.url}/robot\n")
        server.answers = [(200, b'{"errcode":0}')]
        settings = '[[dispatch.robot]]\nname = "group"\nkind = "wecom"\nurl_file = "group.url"\n'
        async with gateway(tmp_path, "robot", settings, station="group", centre="group") as house:
            await wait_until(lambda: len(begun) >= 3, "it begins again")
            await cries(house)
            await wait_until(lambda: elders(house).legs and server.requests, "alarms are taken and orders leave")
