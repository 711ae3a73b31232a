"""SIGKILL at random instants while home units cry over UDP and TCP and three exchanges have calls, told over AMI, event socket and HEP.

Judged at the units (what was taken over is in the journal, once), at the exchanges, which go on while the gateway is dead (every call that was
told has one end; whoever was lost is to be rung back), at the stations (one delivery id) and at a console (nothing shown is ever undone).
"""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from house import District, Setting
from servers import until
from telephone_house import TelephoneHouse
from test_kill import CAUGHT_UP_S, kill_again_and_again, proven, slow_disk

from simulators.home_unit import HomeUnit
from simulators.pbx import Outcome, Pbx, plan_of
from simulators.sip_text import chinese_forms
from simulators.stations import Behaviour, Stations

KILLS, LONG_KILLS = 5, 50
IN_THE_START = 0.3  # of all kills fall into the start
UNDER_LOAD_S = 1.5
UNITS = 12  # every other one over TCP
PRESS_S = (0.05, 0.5)
AGAIN_S = 0.2  # so long a unit waits before it begins its list of receivers anew
CALL_EVERY_S = 0.3  # at each exchange
TALK_S = (0.2, 6.0)  # some calls live through one restart or two
RING_S = (0.1, 3.0)
HEARD_S = 1.0  # what happened so long before a kill was read and stored by then, on a loaded machine too
OUTCOMES = (Outcome.QUEUED, Outcome.QUEUED, Outcome.GAVE_UP, Outcome.NO_ANSWER, Outcome.ABANDONED)
ENDS = ("call_ended", "call_abandoned", "call_missed", "call_failed")


@dataclass(slots=True)
class Judged:
    """What the witnesses found wrong, and the figures."""

    faults: list[str] = field(default_factory=list)
    told: int = 0
    inferred: int = 0
    call_backs: int = 0
    unheard: int = 0  # calls that began and ended while nobody listened


class Crowd:
    """Twelve units that press again and again, three exchanges that have calls, the stations; each with its own record."""

    def __init__(self, house: TelephoneHouse, exchanges: dict[str, Pbx], seed: object) -> None:
        self.house = house
        self.exchanges = exchanges
        self.random = random.Random(f"telephony:{seed}")
        self.stations = Stations(house.address, choose=lambda *_: Behaviour("silent"), seed=seed, identifier="stations-of-the-test")
        self.units = [house.unit(number, [house.receiver(("udp", "tcp")[number % 2])]) for number in range(UNITS)]
        self.confirmed: list[tuple[str, str]] = []  # (cid, ref): 200, and `<mrs>` with status number 0
        self.pressed: dict[str, int] = defaultdict(int)
        self.spans: list[tuple[float, float]] = []  # from when until when everything was heard, seconds since 1970
        self.goes_on = True

    @contextlib.asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for unit in self.units:
                await stack.enter_async_context(unit)
            stations = asyncio.create_task(self.stations.run())
            try:
                await until(self.stations.ready.is_set, "the stations stand")
                yield
            finally:
                stations.cancel()
                await asyncio.gather(stations, return_exceptions=True)

    async def cry(self) -> None:
        """Until `goes_on` is taken back; then each finishes what it began."""
        async with asyncio.TaskGroup() as group:
            for unit in self.units:
                group.create_task(self._press(unit))
            for place, pbx in enumerate(self.exchanges.values()):
                group.create_task(self._ring_up(place, pbx))

    async def _press(self, unit: HomeUnit) -> None:
        while self.goes_on:
            ref = f"{self.pressed[unit.cid]:08}"
            self.pressed[unit.cid] += 1
            while (await unit.alarm(ref=ref)).outcome != "confirmed":  # noqa: ASYNC110 the unit has patience of its own
                await asyncio.sleep(AGAIN_S)
            self.confirmed.append((unit.cid, ref))
            await asyncio.sleep(self.random.uniform(*PRESS_S))

    async def _ring_up(self, place: int, pbx: Pbx) -> None:
        number = place
        while self.goes_on and number < self.house.district.callers:
            caller = self.house.district.caller(number)
            plan = plan_of(self.random.choice(OUTCOMES), self.random.uniform(*RING_S), self.random.uniform(*TALK_S))
            call = pbx.exchange.offer(plan, caller, self.random.choice(chinese_forms(caller)), "12349")
            assert call is not None
            number += len(self.exchanges)
            await asyncio.sleep(CALL_EVERY_S)
        await pbx.exchange.drained()

    # ---- what the witnesses say

    def lost(self, confirmed: list[tuple[str, str]]) -> list[str]:
        """Units that were told "taken over", and no station heard of them."""
        told = {order.device for order in self.stations.orders}
        return sorted({cid for cid, _ in confirmed if cid not in told})

    def contradictions(self) -> list[str]:
        """What must never be at any time."""
        ids: dict[str, set[str]] = defaultdict(set)
        incidents: dict[str, set[str]] = defaultdict(set)
        found = []
        for order in list(self.stations.orders):
            if order.device is not None and order.device in self.pressed:
                ids[order.device].add(order.delivery)
                incidents[order.device].add(order.incident)
                if order.repeat >= self.pressed[order.device]:
                    found.append(f"more repeats than presses: {order.device} repeat {order.repeat}")
        found += [f"under two delivery ids: {cid} {sorted(some)}" for cid, some in ids.items() if len(some) > 1]
        return found + [f"under two incidents: {cid} {sorted(some)}" for cid, some in incidents.items() if len(some) > 1]

    def journalled(self) -> list[str]:
        """Presses that were taken over and are not in the journal, or that are there more than once."""
        kept = self.house.alarms()
        found = [f"not in the journal: {one}" for one in self.confirmed if one not in kept]
        found += [f"twice in the journal: {one}" for one, events in kept.items() if len(events) > 1]
        found += [f"never pressed: {cid} {ref}" for cid, ref in kept if int(ref) >= self.pressed[cid]]
        by_unit: dict[str, set[str]] = defaultdict(set)
        for (cid, _), events in kept.items():
            by_unit[cid].update(str(event["incident"]) for event in events)
        return found + [f"under two incidents: {cid} {sorted(some)}" for cid, some in by_unit.items() if len(some) != 1]

    def judge_calls(self, rows: dict[str, dict[str, Any]]) -> Judged:
        """The journal against what the exchanges say has happened. rows: the incidents that a console shows."""
        judged = Judged()
        for line, pbx in self.exchanges.items():
            told = self.house.stories(line)
            for truth in pbx.exchange.truths:
                names = {"asterisk": [truth["linkedid"]], "freeswitch": [truth["uuid"]], "pbx": truth["sip_call_ids"]}[line]
                stories = [told.pop(name) for name in names if name in told]
                if not stories:
                    judged.unheard += 1
                    if self._was_to_be_heard(line, truth):
                        judged.faults.append(f"{line}: never told: {truth}; heard in {self.spans}")
                    continue
                judged.told += 1
                if len(stories) > 1:
                    judged.faults.append(f"{line}: told as {len(stories)} calls: {truth}")
                self._judge_story(line, stories[0], rows, judged)
            judged.faults += [f"{line}: {name}: a call that nobody made" for name in told]
        return judged

    def _was_to_be_heard(self, line: str, truth: dict[str, Any]) -> bool:
        """The manager and the event socket list what lives when we come back; of mirrored packets only a beginning tells of a call."""
        begun, ended = truth["times"]["offered"], truth["times"]["ended"]
        return any(since <= (begun if line == "pbx" else ended) and begun <= till - HEARD_S for since, till in self.spans)

    @staticmethod
    def _judge_story(line: str, events: list[dict[str, Any]], rows: dict[str, dict[str, Any]], judged: Judged) -> None:
        kinds = [event["kind"] for event in events if not event["detail"].get("correction")]
        steps = [kind for kind in kinds if kind != "call_transferred"]
        if len(steps) != len(set(steps)) or sum(kind in ENDS for kind in kinds) != 1 or kinds[-1] not in ENDS:
            judged.faults.append(f"{line}: {kinds}")
            return
        judged.inferred += bool(events[-1]["detail"].get("inferred"))
        if "call_answered" not in kinds:
            judged.call_backs += 1
            row = rows.get(str(events[-1]["incident"]), {})
            if not str(row.get("kind")).startswith("call_"):
                judged.faults.append(f"{line}: nobody rings back: {kinds} {row}")


async def kill_and_restart(folder: Path, seed: int, kills: int) -> str:
    """The whole play; gives the line with the figures."""
    chance = random.Random(f"telephony kills:{seed}")
    slow = await asyncio.to_thread(slow_disk, folder)
    district = District(wearables=1, rooms=1, buttons=1, callers=120 * kills, units=UNITS)
    async with Pbx(None, ami_port=0, seed=seed) as asterisk, Pbx(None, esl_port=0, seed=seed) as freeswitch:
        assert asterisk.ami is not None
        assert freeswitch.esl is not None
        setting = Setting(mandatory=("home-units", "pbx", "asterisk", "freeswitch"), environment=slow)
        house = TelephoneHouse(folder, district=district, setting=setting, ami=asterisk.ami.port, esl=freeswitch.esl.port)
        async with house, Pbx(house.hep, area_code="0931", seed=seed) as mirrored:
            crowd = Crowd(house, {"asterisk": asterisk, "freeswitch": freeswitch, "pbx": mirrored}, seed)
            desk = Desk(house, seed=seed)

            async def live() -> None:
                """Prove that nothing of the lives before is gone, then go on for a while. From when to when it lived counts for the calls."""
                await house.ready()
                began = time.time()
                await _catch_up(house, crowd, desk)
                assert crowd.contradictions() == []
                assert await house.unbalanced() == {}
                await asyncio.sleep(chance.uniform(0, UNDER_LOAD_S))
                crowd.spans.append((began, time.time()))

            house.start()
            await house.ready()
            async with crowd.playing():
                crying, watching = asyncio.create_task(crowd.cry()), asyncio.create_task(desk.run())
                in_the_start = await kill_again_and_again(house, chance, kills, slow, live, IN_THE_START)
                await _catch_up(house, crowd, desk)
                crowd.spans.append((time.time(), float("inf")))
                crowd.goes_on = False
                await asyncio.wait_for(crying, CAUGHT_UP_S)
                await _catch_up(house, crowd, desk)
                await house.sees(lambda: _settled(house, desk), "nothing is under way", CAUGHT_UP_S)
                assert crowd.contradictions() == []
                assert desk.undone() == []
                assert await house.unbalanced() == {}
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                assert await house.stop() == 0
        whole = proven(house)
        assert crowd.journalled() == []
        judged = crowd.judge_calls(desk.rows)
        assert judged.faults == []
        assert judged.inferred
        return (
            f"seed {seed}: {kills} kills ({in_the_start} in the start), {len(crowd.confirmed)} presses taken over, 0 lost, 0 twice; "
            f"{judged.told} calls told, {judged.inferred} ended as inferred, {judged.call_backs} to be rung back, {judged.unheard} never heard of; "
            f"{len(crowd.stations.orders)} orders, 0 under two ids; {len(desk.taken)} taken, 0 undone; {whole}"
        )


async def _catch_up(house: TelephoneHouse, crowd: Crowd, desk: Desk) -> None:
    """Wait until whatever was confirmed, or shown, before this moment is with a station, or shown again."""
    confirmed, seen = list(crowd.confirmed), dict(desk.seen)
    await house.ready()
    await until(lambda: not crowd.lost(confirmed), "everything taken over reached a station", CAUGHT_UP_S)
    await until(lambda: not desk.forgotten(seen), "everything shown is still there", CAUGHT_UP_S)


async def _settled(house: TelephoneHouse, desk: Desk) -> bool:
    """No order waits, no call is live, every row is shown as it stands."""
    metrics = await house.metrics()
    in_flight = sum(value for key, value in metrics.items() if key.startswith("gateway_in_flight"))
    return metrics.get("gateway_orders_pending") == 0 and in_flight == 0 and not desk.calls and not desk.forgotten(desk.seen)


async def test_killed_five_times(tmp_path: Path) -> None:
    print(await kill_and_restart(tmp_path, seed=12349, kills=KILLS))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
async def test_killed_two_hundred_and_fifty_times(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Five databases, fifty lives each."""
    told = await kill_and_restart(tmp_path, seed=seed, kills=LONG_KILLS)
    with capsys.disabled():
        print(f"\n{told}")
