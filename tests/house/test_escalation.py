"""Escalation in a whole gateway that is killed in the middle of its chain, and a dead man's switch that hears of it."""

import json
from pathlib import Path

from house import House
from test_auditor import Switch

from simulators.mqtt_link import Client

CHAIN = """
[[step]]
after_s = 0.5
to = "supervisor"
how = "ring"

[[step]]
after_s = 1.5
to = "parent"
how = "order"

[[step]]
after_s = 2.5
to = "emergency"
how = "ring"
repeat_every_s = 0.5
times = 3
"""


def steps_of(house: House) -> list[tuple[int, int]]:
    """(number, turn) of each step that the journal has."""
    facts = [json.loads(str(row["facts"])) for row in house.journal() if row["kind"] in ("escalate", "remind")]
    return [(one["step"], one.get("turn", 1)) for one in facts if isinstance(one.get("step"), int)]


async def cry(house: House) -> None:
    """One SOS of a wearable, confirmed by the broker."""
    async with Client(house.address.host, house.address.port) as client:
        await client.publish(f"wearables/{house.district.wearable(0)}/event", json.dumps({"kind": "sos", "ts": 1, "seq": 1}), qos=1)


async def test_killed_in_the_middle_of_its_chain_it_takes_each_step_once(tmp_path: Path) -> None:
    """Two falls while the steps are due; a switch outside hears that we live, whenever we do."""
    async with Switch().running() as switch, House(tmp_path) as house:
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "ours.toml").write_text(CHAIN)
        text = house.config.read_text().replace('order = "at_once"', 'order = "at_once"\nsteps = "ours"', 1)
        house.config.write_text(f'{text}\n[heartbeat]\nurl = "{switch.url}"\ninterval_s = 0.2\n')
        house.start()
        await house.lines_live()
        await cry(house)

        async def taken(count: int) -> bool:
            return len(steps_of(house)) >= count

        for count in (1, 3):
            await house.sees(lambda count=count: taken(count), f"{count} steps are taken")  # type: ignore[misc]
            house.kill()
            heard = len(switch.calls)
            assert heard > 0
            house.start()
            await house.ready()
        await house.sees(lambda: taken(5), "the chain has come to its last step")
        assert steps_of(house) == [(1, 1), (2, 1), (3, 1), (3, 2), (3, 3)], "none skipped, none twice"
        ordered = [json.loads(str(row["facts"]))["responder"] for row in house.journal() if row["kind"] == "dispatch"]
        assert ordered[-1] == "centre", "the parent of the station"

        async def beats() -> bool:
            return len(switch.calls) > heard

        await house.sees(beats, "it beats again")
        assert await house.unbalanced() == {}
        assert house.said("a-secret") == 0
        assert house.run("journal", "verify").returncode == 0
