"""Real calls into a whole gateway: what two proxies mirror ends in its journal, once, under the name of who called."""

import json
import re
from pathlib import Path

from house import House

from tests.telephony.peers import Kamailio, Sipp, as_seen, caller

GUIDE = Path(__file__).parents[2] / "docs/guide/kamailio.md"


async def test_calls_reach_the_journal(tmp_path: Path) -> None:
    taken, busy = Sipp(tmp_path, "caller", d_ms=300), Sipp(tmp_path, "caller_refused")
    async with House(tmp_path) as house:
        house.start()
        await house.lines_live("pbx")
        gateway = "sip:{}:{}".format(*house.hep)
        async with Sipp(tmp_path, "phone", d_ms=300) as phone, Kamailio(tmp_path, gateway, phone.uri("8001")) as proxy:
            await taken.calls(proxy.address, 2)
            await house.sees(lambda: _has_read(house, 2 * 13), "all of it is mirrored")
        async with Sipp(tmp_path, "phone_busy") as phone, Kamailio(tmp_path, gateway, phone.uri("8001")) as proxy:
            await busy.calls(proxy.address)
            await house.sees(lambda: _has_read(house, 2 * 13 + 7), "all of it is mirrored")  # how packets are seen to arrive
        await house.sees(lambda: _is(house, "gateway_events_total", 10, outcome="accepted"), "every event is on disk")
        assert await house.unbalanced() == {}
        shown = await house.get("/metrics")
        assert shown is not None
        assert [name for name in re.findall(r"`(gateway_\w+)", GUIDE.read_text("utf-8")) if f"# TYPE {name}" not in shown.text] == []
        assert await house.metric("gateway_rejected_total", line="pbx") == 0
        assert await house.stop() == 0

        told: dict[str, list[str]] = {}
        events = [json.loads(str(row["facts"])) for row in house.journal() if str(row["kind"]).startswith("call_")]
        for event in events:
            told.setdefault(event["detail"]["call_id"], []).append(event["kind"].removeprefix("call_"))
        assert told == as_seen(taken, busy)
        assert {(event["device"], event["person"]) for event in events} == {(caller(0), "pc-1"), (caller(1), "pc-2")}
        assert {event["detail"]["agent"] for event in events if event["kind"] == "call_answered"} == {"8001"}
        assert house.run("journal", "verify").returncode == 0


async def _has_read(house: House, copies: int) -> bool:
    return await house.metric("gateway_line_counted_total", line="pbx", what="datagrams") >= copies


async def _is(house: House, name: str, value: float, **labels: str) -> bool:
    return await house.metric(name, line="pbx", **labels) == value
