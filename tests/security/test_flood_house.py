"""A whole gateway, a real broker, one wearable that cries hundreds of times: every cry is kept, its stations are spared, nobody else waits."""

from pathlib import Path

import msgspec
from house import House
from servers import Outsider, until
from test_faults import street

FLOOD = 400
CRY = '{"kind": "sos", "seq": %d}'


def kept(house: House, device: str) -> int:
    """How many cries of it stand in the journal."""
    rows = [msgspec.json.decode(row["facts"]) for row in house.journal() if row["kind"] == "sos"]  # type: ignore[arg-type]
    return sum(row.get("device") == device for row in rows)


async def test_who_floods_is_counted_and_whoever_cries_meanwhile_is_helped_at_once(tmp_path: Path) -> None:
    async with street(tmp_path) as (house, seen):
        stuck, other = house.district.wearable(1), house.district.wearable(2)
        flood = await Outsider(house.broker.port).ready()
        try:
            await flood.publish(f"wearables/{stuck}/event", *(CRY % number for number in range(FLOOD)))
            await seen.wear(2)
        finally:
            flood.close()
        assert seen.order_for(other)
        await until(lambda: kept(house, stuck) == FLOOD, "every cry is kept")
        assert await house.metric("gateway_incidents_chattering") == 1
        orders = [order for order in seen.stations.orders if order.device == stuck]
        assert 1 <= len(orders) <= 20, "its station hears it as often as it can mean something"
