"""A whole gateway of whose consoles none can sound: the centre is told in words, by its own channel, and again it is over when somebody hears."""

import json
from datetime import timedelta
from pathlib import Path

from waiting import wait_until

from gateway.core.account import AccessWrite, Account, AccountRole
from gateway.core.incident import Flag
from gateway.ears import Listening
from gateway.event import Kind
from tests.dispatch.text_house import gateway, web


async def test_who_can_be_reached_is_told_that_nobody_hears(tmp_path: Path) -> None:
    with web() as server:
        (tmp_path / "group.url").write_text(f"{server.url}/robot\n")
        server.answers = [(200, b'{"errcode":0}')]
        settings = '[[dispatch.robot]]\nname = "group"\nkind = "wecom"\nurl_file = "group.url"\n'
        async with gateway(tmp_path, "robot", settings, station="group", centre="group") as house:
            await house.access(Kind.ACCOUNT, None, AccessWrite(accounts=(Account(login="lina", name="Li Na", role=AccountRole.OPERATOR),)))
            ears, now = house.ears, house.now()
            await ears.look(0.0, now)
            await ears.look(29.0, now + timedelta(seconds=29))
            assert not house.incidents
            await ears.look(30.0, now + timedelta(seconds=30))
            await wait_until(lambda: server.requests, "the centre is told")
            assert "没有有声席位" in json.dumps(json.loads(server.requests[0][2]), ensure_ascii=False)
            (incident,) = house.incidents.values()
            assert (incident.kind, incident.line, incident.severity) == (Kind.LINE_LOST, "console", "critical")
            ears.consoles = lambda: [Listening(frozenset(), True)]
            await ears.look(31.0, now + timedelta(seconds=31))
            await wait_until(lambda: Flag.ENDED in house.incidents[incident.id].flags, "somebody hears")
