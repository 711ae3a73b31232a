"""`gateway purge` beside a running gateway and without one: who writes is always one, the journal says what went, the chain holds."""

import asyncio
import re
from pathlib import Path

from gateway.core.state import Seen
from tests.house.house import House
from tests.house.test_pipeline import cry, running


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


async def test_last_signs_that_are_forgotten_are_not_written_anew_from_memory(tmp_path: Path) -> None:
    """They wait there for the next checkpoint, or are just being written."""
    name = "wearables|w-1"
    async with running(tmp_path) as path:
        await path.pipeline.receive([cry("w-1"), cry("w-2")])
        assert name in path.working.seen
        await path.pipeline._save_seen()
        await path.pipeline.receive([cry("w-1")])
        writing = asyncio.create_task(path.pipeline._save_seen())
        await path.pipeline.receive([cry("w-1")])
        assert await path.pipeline.unsee([name]) == 1
        assert await writing
        assert name not in path.working.seen
    path.store.open()
    seen: dict[str, Seen] = dict(path.store.load().seen)
    path.store.close()
    assert "wearables|w-2" in seen
    assert name not in seen
