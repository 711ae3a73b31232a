"""The SIP line on real sockets: UDP, TCP, TLS, IPv6; stored before answered; nobody disturbs anybody else."""

import asyncio
from tests.sip.sip_peer import Store, request, talking


async def test_a_plain_message() -> None:
    async with talking() as (device, store, line):
        answer = await device.ask(request())
        assert answer.code == 200
        assert [event.kind.value for event in store.events] == ["help"]
