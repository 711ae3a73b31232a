"""`gateway purge` beside a running gateway and without one: who writes is always one, the journal says what went, the chain holds."""

import asyncio
import re
from pathlib import Path

from tests.house.house import House


async def test_purge_beside_a_running_gateway_and_without_one(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        house.start()
        await house.ready()
        await house.ready()
        beside = await asyncio.to_thread(house.run, "purge")
        assert beside.returncode == 0, beside.stderr
        assert beside.stdout.startswith("erased: 0 journal entries")
        refused = await asyncio.to_thread(house.run, "purge", "--person", "pw-1", "--reason", "moved away")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "the register still has this person" in refused.stderr
        gone = await asyncio.to_thread(house.run, "purge", "--person", "nobody", "--reason", "moved away")
        assert gone.returncode == 0, gone.stderr
        assert await house.stop() == 0, house.tail()
        alone = await asyncio.to_thread(house.run, "purge")
        assert (alone.returncode, alone.stderr) == (0, "")
        proof = await asyncio.to_thread(house.run, "journal", "verify")
        assert re.match(r"\d+ entries, chain whole", proof.stdout)


async def test_a_person_needs_a_reason(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.district.write(tmp_path / "districts" / "chaos")
    house.write_config()
    said = await asyncio.to_thread(house.run, "purge", "--person", "pw-1")
    assert said.returncode == 1
    assert "--person needs --reason" in said.stderr
