"""A street with every family of devices against a whole gateway: nothing that was confirmed to a device is lost, nothing comes twice.

The devices are simulators that share no code with the codecs; the judges are their own records and the stations' orders.
"""

import asyncio
import contextlib
import random
import shutil
import socket
import sqlite3
from collections import deque
from pathlib import Path

import msgspec
import pytest
from house import STATIONS, District, House, Setting
from servers import free_port, until
from test_kill import slow_disk

from simulators.panels.dialler import Dialler, Event
from simulators.sent import Sent
from simulators.street import HOST, Street, lines_of
from simulators.street_plan import PLOTS, STREETS, Part, StreetPlan, address, load_street, person, write_register
from simulators.trackers.fleet import TrackerFleet, build, identity_of
from simulators.trackers.gt06 import Pendant
from simulators.trackers.tracker import Cry, Patience, Tracker
from simulators.wire import TcpWire, UdpWire

STREET = STREETS / "devices_of_a_street.toml"
CAUGHT_UP_S = 180.0


class StreetHouse(House):
    """A house whose district is the street and whose lines are the street's, beside those for the stations' answers."""

    def __init__(self, folder: Path, plan: StreetPlan, setting: Setting | None = None) -> None:
        super().__init__(folder, District(wearables=1, rooms=1, buttons=1, callers=1), setting)
        self.plan = plan
        self.ports = {line: free_port() for line in PLOTS}

    def write_config(self) -> None:
        super().write_config()
        streets = self.folder / "districts" / "chaos"
        shutil.rmtree(streets)
        write_register(self.plan, streets, STATIONS)
        (streets / "district.toml").write_text((streets / "district.toml").read_text().replace('"street"', '"chaos"', 1))
        text = self.config.read_text()
        keep = text[: text.index('[[line]]\nname = "panel"')]
        self.config.write_text(keep + lines_of(self.plan, self.ports, self.folder / "ports"))

    def street(self) -> Street:
        return Street(self.plan, self.address, self.ports, self.folder / "ports")

    async def stands(self, street: Street) -> None:
        """Every line lives, every wire is plugged."""
        await self.lines_stand()
        await until(lambda: all(wire.plugged for wires in street.wires.values() for wire in wires), "all devices are connected")

    async def lines_stand(self) -> None:
        """Every line lives."""
        await self.ready()
        await self.sees(self._all_open, "all lines are open")

    async def _all_open(self) -> bool:
        return all([await self.line(part.line) in ("live", "suspect") for part in self.plan.part])


async def nothing_is_lost(house: StreetHouse, street: Street, owed: list[tuple[str, int]]) -> None:
    """Wait until a station has heard of each; the message names those of whom none has."""
    try:
        await until(lambda: not street.lost(owed), "everything confirmed reached a station", CAUGHT_UP_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {street.lost(owed)[:9]}\n{house.tail()}") from None


async def settle(house: StreetHouse, street: Street, *, sound: bool, strangers: int = 0) -> None:
    """Everything is confirmed, everything confirmed is with a station, nothing is there twice. strangers: orders about nobody of the street."""
    await house.ready()
    try:
        await until(lambda: not street.unconfirmed, "every device has its answer", CAUGHT_UP_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{street.unconfirmed[:9]}\n{house.tail()}") from None
    await nothing_is_lost(house, street, street.owed(sound=sound))
    # a TAP terminal gives a page up after three wrong checks
    refused = [key for key, sent in street.sent.items() if sent.refused and key[0] != "tap"]
    assert refused == []

    def nobody() -> set[tuple[str, str | None]]:
        return {(order.kind, order.device) for order in street.stations.orders if order.person is None}

    await until(lambda: len(nobody()) >= strangers, "orders about strangers", CAUGHT_UP_S)
    assert len(nobody()) == strangers, nobody()
    found = [text for text in street.contradictions() if not (strangers and text.endswith("None"))]
    assert found == []
    assert await house.unbalanced() == {}


@pytest.mark.parametrize("name", ["devices_of_a_street", "quirks_of_a_street"])
async def test_everybody_of_the_street_is_heard_once(tmp_path: Path, name: str) -> None:
    plan = load_street(STREETS / f"{name}.toml")
    async with StreetHouse(tmp_path, plan) as house:
        street = house.street()
        house.start()
        async with street.standing():
            await house.stands(street)
            await street.play()
            await settle(house, street, sound=True)
            assert street.intrusions or name != "devices_of_a_street"
            print(street.summary())
        assert await house.stop() == 0
        assert house.run("journal", "verify").returncode == 0


async def test_a_store_that_cannot_write_confirms_nothing(tmp_path: Path) -> None:
    """Every device tries again until the store is back: then each has its answer, and each press one incident and one order."""
    plan = load_street(STREET)
    plan = msgspec.structs.replace(plan, fault=(), seconds=1.0, again=0.0)
    async with StreetHouse(tmp_path, plan) as house:
        street = house.street()
        house.start()
        async with street.standing():
            await house.stands(street)
            await house.sees(lambda: _has_greeted(street), "all trackers are logged in")
            with contextlib.closing(sqlite3.connect(tmp_path / "data" / "gateway.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await street.play()
                await house.sees(lambda: _says(house, "store_down"), "the gateway says that it cannot write")
                await until(lambda: _repeating(street) == set(), "somebody repeats on every line that has answers")
                assert [key for key, sent in street.sent.items() if sent.confirmed is not None] == []
                assert street.stations.orders == deque()
                other.execute("ROLLBACK")
            await settle(house, street, sound=False)
            print(street.summary())


async def _has_greeted(street: Street) -> bool:
    return all(end.is_greeted.is_set() for ends in street.ends.values() for end in ends if isinstance(end, Tracker))


def _repeating(street: Street) -> set[str]:
    """Lines with answers on which nobody has tried a second time yet. A panel has one message in flight, so one is enough."""
    lines = {line for line in street.ends if PLOTS[line].promise == "confirmed"}
    return lines - {line for (line, _), sent in street.sent.items() if sent.tries > 1}


async def _says(house: House, word: str) -> bool:
    return word in (await house.reasons() or [])


async def test_killed_under_the_load_of_a_street(tmp_path: Path) -> None:
    print(await kill_again_and_again(tmp_path, seed=12349, kills=3, houses=2))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(5))
async def test_killed_often_under_the_load_of_a_street(tmp_path: Path, seed: int) -> None:
    print(await kill_again_and_again(tmp_path, seed=seed, kills=20, houses=8))


async def kill_again_and_again(folder: Path, *, seed: int, kills: int, houses: int) -> str:
    """So many lives of one gateway while the street cries. What nobody confirms may be lost in a kill; all else may not."""
    chance = random.Random(f"street kills:{seed}")
    plan = load_street(STREET)
    plan = msgspec.structs.replace(plan.larger(houses), seed=seed, seconds=plan.seconds * kills / 3)
    slow = await asyncio.to_thread(slow_disk, folder)
    async with StreetHouse(folder, plan, Setting(environment=slow)) as house:
        street = house.street()
        house.start()
        async with street.standing():
            await house.stands(street)
            playing = asyncio.create_task(street.play())
            for _ in range(kills):
                await asyncio.sleep(chance.uniform(0.5, 4.0))  # the random instant itself, no waiting for anything
                assert house.is_running, f"the gateway ended by itself: {house.tail()}"
                house.kill()
                confirmed = street.owed(sound=False)
                house.start()
                if chance.random() < 0.5:
                    await house.ready()
                    await nothing_is_lost(house, street, confirmed)
                assert not (found := street.contradictions()), found
            await playing
            await settle(house, street, sound=False)
            figures = street.summary().values()
        assert await house.stop() == 0
        assert house.run("journal", "verify").returncode == 0
    presses, confirmed_ones, tries, ordered = (sum(one[key] for one in figures) for key in ("presses", "confirmed", "tries", "ordered"))
    return f"seed {seed}: {kills} kills, {presses} presses, {confirmed_ones} confirmed in {tries} tries, 0 lost, {ordered} orders, none twice"


async def test_who_attacks_one_line_disturbs_nobody_else(tmp_path: Path) -> None:
    """Wrong key, stale, replayed, plain where it must be encrypted, cut short, a flood: each has its name, and the others are heard meanwhile."""
    plan = msgspec.structs.replace(load_street(STREET), fault=(), seconds=2.0, again=0.0)
    async with StreetHouse(tmp_path, plan) as house:
        street = house.street()
        house.start()
        async with street.standing():
            await house.stands(street)
            playing = asyncio.create_task(street.play())
            account = address("dc09-aes128", 0).partition(":")[0]
            at = (HOST, house.ports["dc09-aes128"])
            right, wrong = (Dialler(account, [], key=key) for key in (bytes(range(16)), bytes(16)))
            sound = right.encode(Event(Sent(account), zone="009", code="602", sequence=7001))
            right.clock_off_s = -300.0
            stale = right.encode(Event(Sent(account), zone="009", sequence=7002))
            strange = wrong.encode(Event(Sent(account), zone="009", sequence=7003))
            plain = Dialler(account, []).encode(Event(Sent(account), zone="009", sequence=7004))
            duplicates = await house.metric("gateway_events_total", line="dc09-aes128", outcome="duplicate")
            assert b'"*ACK"7001' in await say(at, sound)
            assert b'"*ACK"7001' in await say(at, sound), "a repetition is acknowledged again"
            assert b'"NAK"' in await say(at, stale)
            assert await say(at, strange, wait_s=0.5) == b""
            assert b'"DUH"7004' in await say(at, plain)
            assert await say(at, sound[:40], wait_s=0.3) == b""
            for reason in ("wrong_key", "stale_timestamp"):
                await house.sees(lambda reason=reason: _rejected(house, "dc09-aes128", reason), reason)  # type: ignore[misc]

            async def is_known() -> bool:
                return await house.metric("gateway_events_total", line="dc09-aes128", outcome="duplicate") > duplicates

            await house.sees(is_known, "the repetition is known as one")
            for _ in range(20):  # a loaded machine reads slowly, and drops in the kernel what it has no time for
                await say(at, strange, times=6_000, wait_s=0.1, source="127.0.0.2")
                if await _rejected(house, "dc09-aes128", "flooding"):
                    break
            assert await _rejected(house, "dc09-aes128", "flooding")

            pendant = Pendant("001012349999999", TcpWire("", 0), Patience())
            half = pendant.write_alarm(Cry(Sent("x")), 0)[0]
            _, writer = await asyncio.open_connection(HOST, house.ports["pendants"])
            writer.write(half[:20] + half[:-4] + b"\0\0\r\n" + half)  # cut short, a wrong check, and nobody has logged in
            await writer.drain()
            await house.sees(lambda: _rejected(house, "pendants", "bad_crc"), "a wrong check has its name")
            writer.close()
            await writer.wait_closed()
            await playing
            # what the stranger without a login and the plain message cried goes to people all the same: somebody may be behind it
            await settle(house, street, sound=True, strangers=2)


async def say(at: tuple[str, int], data: bytes, *, times: int = 1, wait_s: float = 3.0, source: str = HOST) -> bytes:
    """A UDP socket of its own says this; gives the first answer, b"" when none came."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.bind((source, 0))
        one.connect(at)
        for number in range(times):
            with contextlib.suppress(BlockingIOError):
                one.send(data)
            if number % 100 == 99:
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                return await loop.sock_recv(one, 4096)
    return b""


async def _rejected(house: House, line: str, reason: str) -> bool:
    return await house.metric("gateway_rejected_total", line=line, reason=reason) >= 1


async def test_hundreds_of_pendants_some_with_twins_through_a_storm(tmp_path: Path) -> None:
    """Every link is cut at once while everybody presses; five have a second device under their id, and each new link takes the place of the old."""
    await many_pendants(tmp_path, 300, 5, 1)


@pytest.mark.campaign
async def test_thousands_of_pendants_through_many_storms(tmp_path: Path) -> None:
    await many_pendants(tmp_path, 3_000, 30, 10)


async def many_pendants(folder: Path, devices: int, twins: int, storms: int) -> None:
    plan = StreetPlan(name="pendants", part=(Part(line="pendants", devices=devices),))
    async with StreetHouse(folder, plan) as house:
        street = house.street()
        patience = Patience(2.0, alive_s=5.0, misses=3, boot_s=0.3)
        others = [
            build("gt06", identity_of("gt06", number), TcpWire(HOST, house.ports["pendants"]), patience, dialect="26_25") for number in range(twins)
        ]
        house.start()
        async with street.standing(), TrackerFleet(others).running():
            await house.lines_stand()
            fleet = TrackerFleet(street.ends["pendants"])
            await until(lambda: fleet.on_line >= devices - twins, "everybody has logged in")
            for number in range(devices):
                await street.press("pendants", number)
            for _ in range(storms):
                fleet.storm()
                await asyncio.sleep(0.2)  # the next storm comes while they dial
            await settle(house, street, sound=True)
            assert sum(device.links for device in fleet.devices) > devices


async def test_locations_kept_while_there_was_no_link(tmp_path: Path) -> None:
    """A terminal with an SOS among its stored locations: told once, though late, and the terminal may forget it."""
    plan = StreetPlan(name="terminals", part=(Part(line="terminals", devices=3),))
    async with StreetHouse(tmp_path, plan) as house:
        street = house.street()
        for terminal in street.ends["terminals"]:
            terminal.store()
            terminal.store("sos", ago_s=400)
            terminal.store(ago_s=100)
            street.sent["terminals", street.ends["terminals"].index(terminal)] = Sent(terminal.identity)
        house.start()
        async with street.standing():
            await until(lambda: all(not terminal.stored for terminal in street.ends["terminals"]), "all that was kept is answered")
            for sent in street.sent.values():
                sent.confirm("8001")
            await settle(house, street, sound=True)


class DeafWire(TcpWire):
    """What is sent arrives; no answer ever comes back."""

    def data_received(self, data: bytes) -> None:
        """Lost on the way."""


async def test_an_answer_lost_on_the_main_way_makes_no_second_incident(tmp_path: Path) -> None:
    """The dialler hears nothing over TCP and says it again over its backup way, another line: one incident, one order."""
    plan = StreetPlan(name="ways", part=(Part(line="dc09-tcp", devices=2), Part(line="dc09-aes128", devices=1)))
    async with StreetHouse(tmp_path, plan) as house:
        accounts = [address("dc09-tcp", number) for number in range(2)]
        with (tmp_path / "districts" / "chaos" / "devices.csv").open("a") as file:
            file.writelines(f"{account},dc09-aes128,{person('dc09-tcp', number)},,,,,,invented\n" for number, account in enumerate(accounts))
        street = house.street()
        ports = house.ports
        diallers = [
            Dialler(account.partition(":")[0], [DeafWire(HOST, ports["dc09-tcp"]), UdpWire(HOST, ports["dc09-aes128"])], answer_s=0.5)
            for account in accounts
        ]
        street.ends["dc09-tcp"] = diallers
        house.start()
        async with street.standing():
            await house.ready()
            for number in range(2):
                await street.press("dc09-tcp", number)
            await settle(house, street, sound=True)
            assert all(sent.tries >= 3 for sent in street.sent.values())
