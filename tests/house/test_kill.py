"""SIGKILL at random instants under load from all three lines at once; invariants 1, 2 and 7, judged at the senders and at the stations."""

import asyncio
import contextlib
import random
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from crowd import Crowd
from desk import Desk
from house import District, House, Setting
from servers import until

CAUGHT_UP_S = 180.0  # a second is usual; a loaded machine is given time
IN_THE_START = 0.4  # of all kills fall into the start or into the work on what had collected
DURING_START_S = 1.6  # a start takes about one second
UNDER_LOAD_S = 1.0
KILLS = 20
SLOW_SYNC_US = 20_000  # an SD card; on a fast disk hardly a kill falls between a message and its commit
SLOW_LIVES = 0.75  # of all
ROOT = Path(__file__).parents[2]


async def kill_and_restart(folder: Path, seed: int, kills: int) -> str:
    """The whole play: `kills` lives of one gateway on one database. Gives the line with the figures."""
    chance = random.Random(f"kills:{seed}")
    slow = await asyncio.to_thread(slow_disk, folder)
    district = District(wearables=900 * kills, rooms=200 * kills, buttons=40 * kills, callers=30 * kills)
    async with House(folder, district, Setting(environment=slow)) as house:
        house.start()
        await house.lines_live()  # the kept session exists: from now on a PUBACK is a promise
        crowd, desk = Crowd(house, seed), Desk(house, seed=seed)

        async def live() -> None:
            """Prove that nothing of the lives before is gone, then go on for a while."""
            await _catch_up(house, crowd, desk)
            assert crowd.contradictions() == []
            assert await house.unbalanced() == {}
            await asyncio.sleep(chance.uniform(0, UNDER_LOAD_S))

        async with crowd.playing():
            crying, watching = asyncio.create_task(crowd.cry()), asyncio.create_task(desk.run())
            in_the_start = await kill_again_and_again(house, chance, kills, slow, live)
            await _catch_up(house, crowd, desk)
            crying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await crying
            heard = len(crowd.buttons_heard())
            await until(lambda: not crowd.unconfirmed and not crowd.going_on, "everything sent is taken", CAUGHT_UP_S)
            await _catch_up(house, crowd, desk)
            await house.sees(lambda: _settled(house, desk), "nothing is under way", CAUGHT_UP_S)
            assert crowd.lost(crowd.confirmed_cries, crowd.confirmed_calls) == []
            assert crowd.contradictions() == []
            assert desk.undone() == []
            by_telephone = sum(str(row["kind"]).startswith("call_") for row in desk.rows.values())
            assert by_telephone >= len(desk.ever_called), "a call that was seen has left no incident"
            assert await _unaccepted(house, crowd) == []
            assert await house.unbalanced() == {}
            desk.works = False
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            assert await house.stop() == 0
        whole = proven(house)
        counts = crowd.stations.counts
        return (
            f"seed {seed}: {kills} kills ({in_the_start} in the start), "
            f"{len(crowd.confirmed_cries)} cries and {len(crowd.confirmed_calls)} panel calls confirmed, 0 lost; "
            f"{heard} of {len(crowd.receiver.presses)} presses heard, "
            f"{len(desk.ever_called)} of {len(crowd.pbx.calls)} calls seen live, {by_telephone} incidents of them; "
            f"{counts.orders} orders, 0 under two ids, {counts.duplicates} repeated under the same id; "
            f"{len(desk.seen)} incidents seen and {len(desk.taken)} taken, 0 undone; {whole}"
        )


def slow_disk(folder: Path) -> dict[str, str]:
    """The environment that makes every fsync slow; empty where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    library = folder / "slowsync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, ROOT / "bench" / "load" / "slowsync.c", "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "BENCH_SYNC_DELAY_US": str(SLOW_SYNC_US)}


async def kill_again_and_again(
    house: House, chance: random.Random, kills: int, slow: dict[str, str], live: Callable[[], Awaitable[None]], early: float = IN_THE_START
) -> int:
    """Each life ends at a random instant: a share of `early` in the start; the others first do what `live` has them do. Most have a slow disk.
    Gives how many ended in the start."""
    in_the_start = 0
    for number in range(kills):
        if number and chance.random() < early:
            in_the_start += 1
            await asyncio.sleep(chance.uniform(0, DURING_START_S))  # the random instant itself, no waiting for anything
        else:
            await live()
        assert house.is_running, f"the gateway ended by itself: {house.tail()}"
        house.kill()
        house.setting.environment = slow if chance.random() < SLOW_LIVES else {}
        house.start()
    return in_the_start


def proven(house: House) -> str:
    """The chain of its journal is whole, and nothing was logged as an error; gives how long it is."""
    proof = house.run("journal", "verify")
    assert proof.returncode == 0, proof.stderr
    assert house.said('"level": "error"') == house.said('"level":"error"') == 0, house.tail()
    return str(proof.stdout).strip().partition(";")[0]


async def _catch_up(house: House, crowd: Crowd, desk: Desk) -> None:
    """Wait until whatever was confirmed, or shown, before this moment is with a station, or shown again."""
    cries, calls, seen = crowd.confirmed_cries, crowd.confirmed_calls, dict(desk.seen)
    await house.ready()
    try:
        await until(lambda: not crowd.lost(cries, calls), "everything confirmed reached a station", CAUGHT_UP_S)
        await until(lambda: not desk.forgotten(seen), "everything shown is still there", CAUGHT_UP_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {crowd.lost(cries, calls)[:5]} {desk.forgotten(seen)[:5]}\n{house.tail()}") from None


async def _settled(house: House, desk: Desk) -> bool:
    """No order waits for its receipt, no call is live, every row is shown as it stands."""
    metrics = await house.metrics()
    in_flight = sum(value for key, value in metrics.items() if key.startswith("gateway_in_flight"))
    return metrics.get("gateway_orders_pending") == 0 and in_flight == 0 and not desk.calls and not desk.forgotten(desk.seen)


async def _unaccepted(house: House, crowd: Crowd) -> list[str]:
    """Accepted by a station, and the gateway does not know it. Answers leave a station when it can: they are waited for."""
    accepted = {delivery for delivery, answers in crowd.stations.answered.items() if any(word == "accept" for word, _ in answers)}
    incidents = {order.incident: order.delivery for order in crowd.stations.orders if order.delivery in accepted}
    missing = []
    for incident, delivery in random.Random(0).sample(sorted(incidents.items()), min(50, len(incidents))):
        answer = await house.get(f"/api/v1/incidents/{incident}")
        assert answer is not None
        (leg,) = [leg for leg in answer.json()["legs"] if leg["delivery"] == delivery]
        if leg["state"] not in ("accepted", "en_route"):
            missing.append(f"{incident} {leg['state']}")
    return missing


async def test_killed_twenty_times(tmp_path: Path) -> None:
    print(await kill_and_restart(tmp_path, seed=12349, kills=KILLS))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(10))
async def test_killed_two_hundred_times(tmp_path: Path, seed: int) -> None:
    """Ten databases, twenty lives each."""
    print(await kill_and_restart(tmp_path, seed=seed, kills=KILLS))
