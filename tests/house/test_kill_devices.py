"""SIGKILL at random instants while panels, an alarm receiver, watches, pendants and 808 terminals cry, each until it has its receipt.

Judged at the devices, which are simulators that share no code with the codecs: what was acknowledged is in the journal, and nobody has two
incidents or two delivery ids. What is said again after a crash is known, whether it comes as it was or with a new time or number: no second cry.
"""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from device_house import FAMILIES, DeviceHouse
from house import Setting
from servers import until
from test_kill import CAUGHT_UP_S, UNDER_LOAD_S, kill_again_and_again, proven, slow_disk

from simulators.panels.dialler import Dialler
from simulators.panels.receiver import AlarmReceiver
from simulators.sent import Sent
from simulators.stations import Behaviour, Stations
from simulators.trackers.fleet import build, identity_of
from simulators.trackers.tracker import Patience, Tracker
from simulators.wire import TcpWire, UdpWire, keep_open

KILLS, LONG_KILLS = 5, 150
PANELS = 6  # half of them over UDP
ACCOUNTS = 4  # of the alarm receiver
TRACKERS_A_KILL = 12  # of each family; each is pressed once
FIRST_TRACKER = 1001
ZONES = 999  # a panel says each once, so that every press can be told from the others
PRESS_S = (0.05, 0.4)
DIAL_EVERY_S = 0.15
LINGER_S = (0.5, 4.0)  # a tracker goes on saying that it is there: some live through a restart or two
PATIENCE = Patience(answer_s=0.4, tries=6, alive_s=0.4, misses=5, boot_s=0.2)
TRACKERS = {"watches": "watch3g", "pendants": "gt06", "terminals": "jt808"}
LINES = tuple(
    replace(family, options='auth_secret_file = "{folder}/jt808.secret"') if family.name == "terminals" else family
    for family in FAMILIES
    if family.name in ("dc09", "dc09-udp", "receiver", *TRACKERS)
)


def account_of(number: int) -> str:
    """Of a panel; invented."""
    return f"A{number:03}"


def address_of(tracker: Tracker) -> str:
    """As the register has it: without the zeros that a terminal's BCD begins with."""
    return tracker.identity.lstrip("0") if tracker.identity.startswith("0174") else tracker.identity


def population(kills: int) -> Iterator[tuple[str, str, str]]:
    """(person, line, device): everybody has one of their own."""
    for number in range(PANELS):
        yield f"p-panel-{number}", ("dc09", "dc09-udp")[number % 2], account_of(number)
    for number in range(ACCOUNTS):
        yield f"p-receiver-{number}", "receiver", f"10{number:02}"
    for line, codec in TRACKERS.items():
        for number in range(FIRST_TRACKER, FIRST_TRACKER + TRACKERS_A_KILL * kills):
            identity = identity_of(codec, number)
            yield f"p-{line}-{number}", line, identity.lstrip("0") if codec == "jt808" else identity


class Crowd:
    """Everybody who cries, and what they heard."""

    def __init__(self, house: DeviceHouse, kills: int, seed: object) -> None:
        self.house = house
        self.kills = kills
        self.random = random.Random(f"devices:{seed}")
        self.stations = Stations(house.address, choose=lambda *_: Behaviour("silent"), identifier="stations-of-the-test")
        self.panels = [
            Dialler(account_of(number), [self._wire(("dc09", "dc09-udp")[number % 2])], answer_s=0.5, round_s=0.1, null_s=5.0, stamps=False)
            for number in range(PANELS)
        ]
        self.receiver = AlarmReceiver(TcpWire("127.0.0.1", house.ports["receiver"]), answer_s=0.5, heartbeat_s=2.0, fault_s=0.3)
        self.pressed: dict[tuple[str, str, str], Sent] = {}  # (line, device, zone), zone "" of trackers
        self.persons = {(line, device): person for person, line, device in house.people}
        self.goes_on = True

    def _wire(self, line: str) -> TcpWire | UdpWire:
        return (UdpWire if line.endswith("udp") else TcpWire)("127.0.0.1", self.house.ports[line])

    @contextlib.asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        parts = [self.stations.run(), keep_open(self.receiver.wire), self.receiver.run(), *(panel.run() for panel in self.panels)]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await until(self.stations.ready.is_set, "the stations stand")
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def cry(self) -> None:
        """Until `goes_on` is taken back; then each finishes what it began."""
        async with asyncio.TaskGroup() as group:
            for number, panel in enumerate(self.panels):
                group.create_task(self._dial(("dc09", "dc09-udp")[number % 2], panel))
            group.create_task(self._report())
            for line, codec in TRACKERS.items():
                group.create_task(self._hand_out(group, line, codec))

    async def _dial(self, line: str, panel: Dialler) -> None:
        for zone in range(1, ZONES + 1):
            if not self.goes_on:
                return
            sent = self.pressed[line, panel.account, f"{zone:03}"] = panel.press(f"{zone:03}")
            await until(lambda sent=sent: sent.over, f"{line} {panel.account} is answered", CAUGHT_UP_S)  # type: ignore[misc]
            await asyncio.sleep(self.random.uniform(*PRESS_S))

    async def _report(self) -> None:
        for number in range(ACCOUNTS * ZONES):
            if not self.goes_on:
                return
            account, zone = f"10{number % ACCOUNTS:02}", f"{number // ACCOUNTS + 1:03}"
            sent = self.pressed["receiver", account, zone] = self.receiver.press(account, zone)
            await until(lambda sent=sent: sent.over, f"receiver {account} is answered", CAUGHT_UP_S)  # type: ignore[misc]
            await asyncio.sleep(self.random.uniform(*PRESS_S))

    async def _hand_out(self, group: asyncio.TaskGroup, line: str, codec: str) -> None:
        for number in range(FIRST_TRACKER, FIRST_TRACKER + TRACKERS_A_KILL * self.kills):
            if not self.goes_on:
                return
            quirks = frozenset({"bit_stays"} if codec == "jt808" else {"serial_same"} if codec == "gt06" and number % 2 else set())
            tracker = build(codec, identity_of(codec, number), self._wire(line), PATIENCE, quirks=quirks, seed=number)
            group.create_task(self._wear(line, tracker))
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * DIAL_EVERY_S)

    async def _wear(self, line: str, tracker: Tracker) -> None:
        """Pressed once, and there for a while after its answer."""
        sent = self.pressed[line, address_of(tracker), ""] = tracker.press()
        task = asyncio.create_task(tracker.run())
        try:
            await until(lambda: sent.over, f"{line} {tracker.identity} is answered", CAUGHT_UP_S)
            await asyncio.sleep(self.random.uniform(*LINGER_S))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # ---- what the witnesses say

    @property
    def confirmed(self) -> list[tuple[str, str, str]]:
        """Presses that a device may forget."""
        return [press for press, sent in self.pressed.items() if sent.confirmed is not None]

    def lost(self, confirmed: list[tuple[str, str, str]]) -> list[str]:
        """Acknowledged to the device, and no station has heard of its person."""
        told = {order.person for order in self.stations.orders}
        return sorted({f"{line} {device}" for line, device, _ in confirmed if self.persons[line, device] not in told})

    def contradictions(self) -> list[str]:
        """What must never be at any time."""
        ids: dict[str, set[str]] = defaultdict(set)
        incidents: dict[str, set[str]] = defaultdict(set)
        for order in list(self.stations.orders):
            ids[str(order.person)].add(order.delivery)
            incidents[str(order.person)].add(order.incident)
        found = [f"under two delivery ids: {person} {sorted(some)}" for person, some in ids.items() if len(some) > 1]
        return found + [f"under two incidents: {person} {sorted(some)}" for person, some in incidents.items() if len(some) > 1]

    def wrong_in_the_journal(self) -> list[str]:
        """Each press is one cry, whatever crashed between: said again it is a duplicate, a repeat, or a bit that stays set."""
        found: list[str] = []
        cries: Counter[tuple[str, str, str]] = Counter()
        incidents: dict[tuple[str, str], set[str]] = defaultdict(set)
        for line in (*TRACKERS, "dc09", "dc09-udp", "receiver"):
            for fact in self.house.facts(line, "sos", "medical"):
                zone = "" if line in TRACKERS else str(fact["detail"]["zone"])
                cries[line, fact["device"], zone] += fact.get("phase", "raise") == "raise"
                incidents[line, fact["device"]].add(str(fact["incident"]))
        found += [f"not in the journal: {press}" for press in self.confirmed if not cries[press]]
        found += [f"never pressed: {press}" for press in cries if press not in self.pressed]
        found += [f"under two incidents: {who} {sorted(some)}" for who, some in incidents.items() if len(some) > 1]
        return found + [f"two cries: {press}" for press, count in cries.items() if count > 1]


async def kill_and_restart(folder: Path, seed: int, kills: int) -> str:
    """The whole play; gives the line with the figures."""
    chance = random.Random(f"device kills:{seed}")
    slow = await asyncio.to_thread(slow_disk, folder)
    (folder / "jt808.secret").write_text("a long random word\n")
    house = DeviceHouse(folder, Setting(mandatory=tuple(family.name for family in LINES), environment=slow), families=LINES, people=population(kills))
    async with house:
        crowd = Crowd(house, kills, seed)

        async def live() -> None:
            """Prove that nothing of the lives before is gone, then go on for a while."""
            await _catch_up(house, crowd)
            assert crowd.contradictions() == []
            assert await house.unbalanced() == {}
            await asyncio.sleep(chance.uniform(0, UNDER_LOAD_S))

        house.start()
        await house.ready()
        async with crowd.playing():
            crying = asyncio.create_task(crowd.cry())
            in_the_start = await kill_again_and_again(house, chance, kills, slow, live)
            crowd.goes_on = False
            await asyncio.wait_for(crying, CAUGHT_UP_S)
            await _catch_up(house, crowd)
            assert crowd.contradictions() == []
            assert await house.unbalanced() == {}
        assert await house.stop() == 0, house.tail()
    whole = proven(house)
    faults = crowd.wrong_in_the_journal()
    assert not faults, faults[:20]
    said = Counter(line for line, _, _ in crowd.confirmed)
    again = sum(sent.tries > 1 for sent in crowd.pressed.values())
    assert again, "nobody ever had to repeat: the kills have hit nothing"
    return (
        f"seed {seed}: {kills} kills ({in_the_start} in the start), acknowledged {dict(said)}, 0 lost; {again} presses said again; "
        f"no second cry; {len(crowd.stations.orders)} orders, 0 under two ids; {whole}"
    )


async def _catch_up(house: DeviceHouse, crowd: Crowd) -> None:
    """Wait until whatever was acknowledged before this moment is with a station."""
    confirmed = crowd.confirmed
    await house.ready()
    try:
        await until(lambda: not crowd.lost(confirmed), "everything acknowledged reached a station", CAUGHT_UP_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {crowd.lost(confirmed)[:5]}\n{house.tail()}") from None


async def test_killed_five_times(tmp_path: Path) -> None:
    print(await kill_and_restart(tmp_path, seed=12349, kills=KILLS))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1))
async def test_killed_a_hundred_and_fifty_times(tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One database, ten minutes."""
    told = await kill_and_restart(tmp_path, seed=seed, kills=LONG_KILLS)
    with capsys.disabled():
        print(f"\n{told}")
