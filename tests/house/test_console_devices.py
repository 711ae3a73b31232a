"""The console of a whole gateway says how its mapping profiles do and which devices were never heard."""

from pathlib import Path

import aiomqtt
from mapped_house import MappedHouse

ADDRESS = "0x00158d00018255df"


async def test_a_profile_that_is_not_there_is_shown_beside_the_one_that_runs(tmp_path: Path) -> None:
    async with MappedHouse(tmp_path, ("zigbee2mqtt", "no_such_profile"), (ADDRESS,)) as house:
        house.start()
        await house.ready()
        await house.lines_live("mapped")
        reply = await house.get("/api/v1/lines")
        assert reply is not None
        lines = {line["id"]: line["profiles"] for line in reply.json()["lines"]}
        profiles = {one["name"]: one for one in lines["mapped"]}
        assert {name: one["state"] for name, one in profiles.items()} == {"zigbee2mqtt": "running", "no_such_profile": "refused"}
        assert "no_such_profile" in profiles["no_such_profile"]["fault"]
        assert lines["wearables"] == []
        reply = await house.get("/api/v1/devices", state="never", line="mapped")
        assert reply is not None
        answer = reply.json()
        assert [(row["address"], row["class"], row["person"]["name"]) for row in answer["devices"]] == [(ADDRESS, "sensor", "某*")]
        assert {row["class"]: row["never"] for row in answer["counts"]}["sensor"] == 1


async def versions(house: MappedHouse) -> list[str]:
    reply = await house.get("/api/v1/ops")
    return [one["version"] for one in reply.json()["firmware"]] if reply is not None and reply.status_code == 200 else []


async def test_what_a_module_runs_is_on_the_page_and_outlives_a_restart(tmp_path: Path) -> None:
    async def is_told() -> bool:
        return await versions(house) == ["9.5.0(tasmota)"]

    async with MappedHouse(tmp_path, ("tasmota",), ("badkamer",)) as house:
        house.start()
        await house.ready()
        await house.lines_live("mapped")
        async with aiomqtt.Client(house.address.host, house.address.port) as module:
            await module.publish("tele/badkamer/INFO1", '{"Info1":{"Module":"Generic","Version":"9.5.0(tasmota)"}}', qos=1)
        await house.sees(is_told, "the version is on the page")
        await house.stop()
        house.start()
        await house.ready()
        await house.sees(is_told, "the version is on the page after a restart")
