"""A whole gateway reports to two municipal systems: they go away, it is killed; nothing is lost, doubled or renumbered, and orders leave."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from house import District, House
from servers import Outsider

from simulators.municipal import Municipal

SECRET = b"an invented secret of a city"
CHINA = timedelta(hours=8)


class City:
    """Two systems of one city, and the gateway's configuration for them."""

    def __init__(self) -> None:
        self.records, self.events = Municipal(SECRET), Municipal(SECRET)

    async def start(self) -> None:
        await self.records.start()
        await self.events.start()

    async def stop(self) -> None:
        await self.records.stop()
        await self.events.stop()

    def configure(self, house: House) -> None:
        (house.folder / "city.secret").write_bytes(SECRET)
        text = "".join(
            f'[[counterpart]]\nname = "{kind}"\nkind = "{kind}"\nurl = "http://127.0.0.1:{there.port}/in"\nsecret_file = "city.secret"\nbatch = 7\n'
            for kind, there in (("management", self.records), ("supervision", self.events))
        )
        house.config.write_text(house.config.read_text() + text)

    def cried(self) -> set[str]:
        """The incidents that supervision has heard to be raised."""
        return {report["incident"] for report in self.events.reports if report["kind"] == "sos"}


@pytest.fixture
async def city() -> AsyncIterator[City]:
    one = City()
    await one.start()
    yield one
    await one.stop()


async def test_a_city_that_goes_away_and_a_gateway_that_is_killed(tmp_path: Path, city: City) -> None:
    async with House(tmp_path, District(wearables=30, rooms=0, buttons=0, callers=0)) as house:
        city.configure(house)
        house.start()
        await house.ready()
        witness = await Outsider(house.broker.port, subscribe="stations/+/dispatch").ready()
        pressed = 0

        async def press(count: int) -> None:
            nonlocal pressed
            for number in range(pressed, pressed + count):
                await witness.publish(
                    f"wearables/{house.district.wearable(number)}/event", json.dumps({"kind": "sos", "ts": 1_790_000_000_000 + number})
                )
            pressed += count

        def ordered() -> set[str]:
            return {json.loads(payload)["device"] for _, payload in witness.received}

        async def all_ordered() -> bool:
            return len(ordered()) == pressed

        async def all_told() -> bool:
            return len(city.cried()) == pressed

        await press(4)
        await house.sees(all_ordered, "orders leave")
        await house.sees(all_told, "the city hears of it")

        await city.stop()
        await press(5)
        await house.sees(all_ordered, "orders leave although nobody can be told")
        house.kill()
        house.start()
        await house.ready()
        await press(3)
        await house.sees(all_ordered, "orders leave after a kill too")

        async def waits() -> bool:
            return await house.metric("gateway_upward_lag_entries", to="supervision") >= 8

        async def fails() -> bool:
            return await house.metric("gateway_upward_failures_total", to="supervision", reason="unreachable") >= 1

        await house.sees(waits, "all of it waits")
        await house.sees(fails, "it was tried in vain, in this life too")
        assert len(city.cried()) == 4

        await city.start()
        await house.sees(all_told, "it is told what waited, soon after the city is back")
        for _ in range(3):  # killed while it reports
            await press(2)
            await house.sees(all_ordered, "orders leave")
            house.kill()
            house.start()
            await house.ready()
        await house.sees(all_told, "everything is told in the end")

        async def nothing_waits() -> bool:
            return await house.metric("gateway_upward_lag_entries") == 0

        await house.sees(nothing_waits, "nothing waits")
        for there in (city.records, city.events):
            assert sorted(there.copies) == list(range(1, len(there.copies) + 1)), "no number is missing"
            assert there.conflicts == [], "a number never has two contents"
            assert there.unsigned == 0
        assert await house.unbalanced() == {}

        said = b"\n".join(lines[0] for there in (city.records, city.events) for lines in there.copies.values()).decode()
        assert not any(word in said for word in ("某人", "pw-", "home-", "+86", "17400")), "no name, id, address or number of a person leaves"
        persons = {report["person"] for report in city.records.reports}
        assert len(persons) == pressed, "persons are told apart by pseudonyms"

        day = (datetime.now(UTC) + CHINA).date().isoformat()
        days = {report["day"] for report in city.events.reports}
        assert days <= {day, (datetime.now(UTC) + CHINA - timedelta(days=1)).date().isoformat()}
        for one in days:
            done = await asyncio.to_thread(house.run, "upward", "reconcile", one)
            assert done.returncode == 0, done.stderr
            assert [json.loads(line)["outcome"] for line in done.stdout.splitlines()] == ["equal", "equal"]

        day = city.events.reports[0]["day"]
        del city.events.copies[3]
        city.events.copies[5] *= 2
        done = await asyncio.to_thread(house.run, "upward", "reconcile", day, "supervision")
        found = json.loads(done.stdout)
        assert (done.returncode, found["outcome"], found["lost"], found["twice"]) == (1, "unequal", [3], [5]), "found and named"
        del city.events.copies[5][1]
        done = await asyncio.to_thread(house.run, "upward", "reconcile", day, "supervision", "--resend")
        assert (done.returncode, json.loads(done.stdout)["outcome"], json.loads(done.stdout)["lost"]) == (0, "mended", [3])
        city.records.copies.clear()
        done = await asyncio.to_thread(house.run, "upward", "resend", "management", "--since", min(days), "--until", max(days))
        assert json.loads(done.stdout)["sent_again"] == len(city.records.copies) > 0
        status = {one["name"]: one for one in map(json.loads, (await asyncio.to_thread(house.run, "upward", "status")).stdout.splitlines())}
        assert status["supervision"]["received"] == len(city.events.copies)
        seen = await house.get("/api/v1/upward")
        assert seen is not None
        assert {one["name"]: one["received"] for one in seen.json()["destinations"]} == {name: one["received"] for name, one in status.items()}
        stream = await house.get("/api/v1/journal-feed", after=0)
        assert stream is not None
        lines = [json.loads(line) for line in stream.text.splitlines()]
        assert {line["incident"] for line in lines if line["kind"] == "sos"} <= city.cried()
        assert int(stream.headers["x-next"]) >= lines[-1]["event"]
        assert not any("shard" in line for line in lines)
        for shard, status_code in (("0", 200), ("1", 404), ("x", 400)):
            answer = await house.get("/api/v1/journal-feed", after=0, shard=shard)
            assert answer is not None
            assert answer.status_code == status_code, "there is one journal, which is the first"
        assert (await asyncio.to_thread(house.run, "upward", "reconcile", day, "nobody")).returncode == 1
        witness.close()
