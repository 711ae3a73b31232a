"""A gateway that lives, reads another [routing] at a SIGHUP and is killed: what it decided before and after is made again beside it."""

import json
from pathlib import Path

from house import District, House
from servers import until

from simulators.mqtt_link import Client


async def cry(house: House, number: int) -> None:
    """One SOS over the broker."""
    device = house.district.wearable(number)
    async with Client(house.address.host, house.address.port) as client:
        await client.publish(f"wearables/{device}/event", json.dumps({"kind": "sos", "ts": 1_770_000_000_000 + number}), qos=1)


async def test_every_decision_of_a_real_gateway_is_made_again_across_a_reload_and_a_kill(tmp_path: Path) -> None:
    async with House(tmp_path, District(wearables=5)) as house:
        house.start()
        await house.lines_live("wearables")
        for number in range(2):
            await cry(house, number)
        await until(lambda: dispatched(house) >= 2, "two are ordered")
        house.config.write_text(house.config.read_text() + "\n[routing]\ncircle_min = 1\nequal_min = 0\n")
        house.hang_up()
        await until(lambda: house.said("configuration in force") >= 1, "the new rules are in force")
        await cry(house, 2)
        await until(lambda: dispatched(house) >= 3, "the third is ordered")
        house.kill()
        told = house.run("replay", "--json")
        assert told.returncode == 0, told.stderr
        lines = [json.loads(line) for line in told.stdout.splitlines()]
        assert len({line["incident"] for line in lines[:-1]}) == 3
        assert {line["result"] for line in lines[:-1]} == {"equal"}


def dispatched(house: House) -> int:
    """Orders in the journal."""
    return sum(row["kind"] == "dispatch" for row in house.journal())
