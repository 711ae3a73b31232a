"""Faults of the world around a running gateway, each on real parts: it recovers by itself, says so, and the books balance."""

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from house import District, House, Setting
from servers import program, until

from simulators.espa_panel import EspaPanel
from simulators.pbx import Outcome, Pbx
from simulators.stations import Behaviour, Stations
from simulators.wearables import Fleet

BACK_S = 90.0  # the longest pause between two tries is 30 s
ANSWER_S = 0.5  # the panel's patience


class Witnesses:
    """One of each, nobody answering orders."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.fleet = Fleet(house.address, prefix="wearables-of-the-test", connections=1)
        self.panel = EspaPanel(house.panel, answer_s=ANSWER_S, poll_s=0.1)
        self.stations = Stations(house.address, choose=lambda *_: Behaviour("silent"), identifier="stations-of-the-test")

    def order_for(self, device: str, ts: int | None = None) -> bool:
        """Did a station get an order for this device (and cry)?"""
        return any(order.device == device and ts in (None, order.ts) for order in self.stations.orders)

    def deliveries(self, device: str) -> set[str]:
        return {order.delivery for order in self.stations.orders if order.device == device}

    async def wear(self, number: int) -> None:
        """A wearable cries, and a station hears it."""
        cry = self.fleet.send(self.house.district.wearable(number), "sos")
        await until(lambda: self.order_for(cry.device, cry.ts), f"a station heard {cry.device}", BACK_S)

    async def ring(self, number: int) -> None:
        """A room calls, and a station hears it."""
        call = self.panel.press(self.house.district.room(number), "ROOM")
        await until(lambda: call.confirmed is not None and self.order_for(call.address), f"a station heard room {call.address}", BACK_S)


@contextlib.asynccontextmanager
async def street(folder: Path, setting: Setting | None = None, live: tuple[str, ...] = ()) -> AsyncIterator[tuple[House, Witnesses]]:
    """A running house and its witnesses; all its lines are live, or these. At the end the books balance and the journal is whole."""
    async with House(folder, District(), setting) as house:
        house.start()
        seen = Witnesses(house)
        tasks = [asyncio.create_task(part.run()) for part in (seen.stations, seen.fleet, seen.panel)]
        try:
            await house.lines_live(*live)
            await until(lambda: seen.stations.ready.is_set() and seen.fleet.links[0].up.is_set(), "the witnesses stand")
            yield house, seen
            assert await house.unbalanced() == {}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if house.is_running:
            assert await house.stop() == 0, house.tail()
        proof = house.run("journal", "verify")
        assert proof.returncode == 0, proof.stderr


async def test_broker_stopped_and_started(tmp_path: Path) -> None:
    async with street(tmp_path) as (house, seen):
        await seen.wear(0)
        await house.broker.stop()
        await house.sees(lambda: _is(house, "wearables", "lost"), "the line says that it is lost")
        assert "line wearables lost" in (await house.reasons() or [])
        meanwhile = seen.fleet.send(house.district.wearable(1), "sos")  # its wearable keeps it
        call = seen.panel.press(house.district.room(1), "ROOM")
        await until(lambda: call.confirmed is not None, "the panel is taken all the same")
        assert not seen.order_for(call.address)
        pending = await house.metric("gateway_orders_pending")
        assert pending == 1
        await house.broker.start()
        await until(lambda: seen.order_for(meanwhile.device, meanwhile.ts) and seen.order_for(call.address), "both reach a station", BACK_S)
        assert len(seen.deliveries(call.address)) == 1
        await house.ready()
        await house.lines_live()
        await seen.wear(2)
        await house.sees(lambda: _tells(house, "wearables", "line_lost", "line_restored", "gap"), "the journal tells of it")
        assert await house.metric("gateway_line_restarts_total", line="wearables") >= 1
        assert 'gateway_line_dropped_total{line="pbx"}' in await house.metrics()


async def test_broker_restarted_while_orders_wait_twice(tmp_path: Path) -> None:
    """The gateway is killed, too, while the order waits: it leaves under the id that it was given at first."""
    async with street(tmp_path) as (house, seen):
        await house.broker.stop()
        call = seen.panel.press(house.district.room(1), "ROOM")
        await until(lambda: call.confirmed is not None, "the panel is taken")
        (given,) = [msgspec.json.decode(str(row["facts"]))["delivery"] for row in house.journal() if row["kind"] == "dispatch"]
        house.kill()
        house.start()
        await house.lines_live("panel")
        await house.broker.start()
        await until(lambda: seen.order_for(call.address), "the order arrives", BACK_S)
        assert seen.deliveries(call.address) == {given}
        await house.ready()


async def test_port_closed_and_reopened(tmp_path: Path) -> None:
    async with street(tmp_path, Setting(mandatory=("panel",))) as (house, seen):
        await seen.ring(0)
        house.panel.unplug()
        await house.sees(lambda: _is(house, "panel", "lost"), "the line says that it is lost")
        assert await house.reasons() == ["line panel lost"]
        call = seen.panel.press(house.district.room(1), "ROOM")
        await seen.wear(0)  # nobody else is disturbed
        house.panel.plug()
        await until(lambda: call.confirmed is not None and seen.order_for(call.address), "the call is taken after all", BACK_S)
        await house.ready()
        await house.sees(lambda: _tells(house, "panel", "line_lost", "line_restored", "gap"), "the journal tells of it")


async def test_exchange_falls_silent(tmp_path: Path) -> None:
    setting = Setting(mandatory=("pbx",), silence_s={"pbx": 1.5})
    async with street(tmp_path, setting, live=("wearables", "buttons")) as (house, _):  # a slow machine may find the exchange silent at once
        async with Pbx(house.hep, area_code="0931") as pbx:
            await pbx.call("first", house.district.caller(0), Outcome.ABANDONED, ring_s=0.1)
            await house.sees(lambda: _is(house, "pbx", "suspect"), "silence is noticed")
            assert await house.reasons() == ["line pbx suspect"]

            async def is_heard() -> bool:
                """It falls silent again soon after each call: a slow machine may look too late."""
                await pbx.call("again", house.district.caller(1), Outcome.ABANDONED, ring_s=0.1)
                return await house.line("pbx") == "live"

            await house.sees(is_heard, "the exchange is heard again")
        await house.sees(lambda: _tells(house, "pbx", "line_lost", "line_restored", "gap"), "the journal tells of it")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:  # rubbish is no sign of life of the exchange
            await house.sees(lambda: _is(house, "pbx", "suspect"), "silence is noticed again")
            before = await house.metric("gateway_rejected_total", line="pbx")
            stranger.sendto(b"HEP3 rubbish", house.hep)
            await house.sees(lambda: _rises(house, "gateway_rejected_total", before, line="pbx"), "rubbish is counted")
            assert await house.line("pbx") == "suspect"


async def test_disk_full(tmp_path: Path) -> None:
    """Receipts are withheld while nothing can be written; afterwards everything is there."""
    data = tmp_path / "small"
    data.mkdir()
    if os.geteuid() != 0 or not _run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(data)):
        pytest.skip("NOT TESTED: only root can mount a file system of two megabytes")
    try:
        async with street(tmp_path, Setting(data="small")) as (house, seen):
            await seen.wear(0)
            await seen.ring(0)
            _fill(data)
            sent = []
            give_up = time.monotonic() + BACK_S
            while "store_down" not in (await house.reasons() or []):  # what SQLite still has in its files is used up first
                sent.append(seen.fleet.send(house.district.wearable(len(sent) % 20), "sos"))
                await asyncio.sleep(0.02)
                assert time.monotonic() < give_up, f"the disk never was full\n{house.tail()}"
            call = seen.panel.press(house.district.room(1), "ROOM")
            await until(lambda: "2nak" in call.refusals, "the panel hears: busy, repeat")
            assert call.confirmed is None
            sent += [seen.fleet.send(house.district.wearable(number), "sos") for number in range(20)]
            (data / "filler").unlink()
            await until(lambda: call.confirmed is not None and seen.order_for(call.address), "the call is taken after all", BACK_S)
            newest = {message.device: message.ts for message in sent}
            await until(lambda: all(seen.order_for(device, ts) for device, ts in newest.items()), "every cry reached a station", BACK_S)
            await house.ready()
            assert await house.metric("gateway_rejected_total") == 0, "a full disk is nobody's fault but ours"
            events = [msgspec.json.decode(str(row["facts"])) for row in house.journal() if row["kind"] == "sos"]
            journalled = {(event["device"], event["detail"]["ts"]) for event in events if "ts" in event["detail"]}
            assert {(message.device, message.ts) for message in sent} <= journalled
    finally:
        _run("umount", "-l", str(data))


def _run(*command: str) -> bool:
    return subprocess.run(command, check=False).returncode == 0


def _fill(folder: Path) -> None:
    """A file that takes all the room there is."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
async def test_clock_steps(tmp_path: Path, hours: int) -> None:
    """The waiting time of an order stays what it was: nobody is escalated early, and nobody an hour late."""
    library = _faketime()
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    wait_s = 6.0
    environment = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    environment |= {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    async with street(tmp_path, Setting(reply_s=wait_s, environment=environment)) as (house, seen):
        asked = seen.panel.press(house.district.room(0), "ROOM")
        await until(lambda: seen.order_for(asked.address), "the nearest is asked")
        first = next(order for order in seen.stations.orders if order.device == asked.address)
        written = offset.with_suffix(".new")
        written.write_text(f"{'+' if hours > 0 else '-'}{abs(hours) * 3600}\n")
        written.replace(offset)
        await house.sees(lambda: _journalled(house, "clock_step"), "the journal tells of the step")
        (step,) = [msgspec.json.decode(str(row["facts"]))["step_s"] for row in house.journal() if row["kind"] == "clock_step"]
        assert abs(step - hours * 3600) < 10
        await until(lambda: any(order.responder == "centre" for order in seen.stations.orders), "the next one up is asked", wait_s + BACK_S)
        second = next(order for order in seen.stations.orders if order.responder == "centre")
        assert wait_s - 1.5 <= second.arrived - first.arrived <= wait_s + 5
        assert second.incident == first.incident
        await seen.wear(0)
        await seen.ring(1)


async def test_stopped_politely_while_everybody_cries(tmp_path: Path) -> None:
    async with street(tmp_path) as (house, seen):
        ten_each = range(10 * house.district.wearables)  # [desk] chatter_over: an eleventh within the minute would ring with the others at its end
        cries = [seen.fleet.send(house.district.wearable(number % house.district.wearables), "sos") for number in ten_each]
        await until(lambda: sum(cry.confirmed is not None for cry in cries) > 50, "some are taken")
        assert await house.stop() == 0, house.tail()
        house.start()
        newest = {cry.device: cry.ts for cry in cries}
        await until(lambda: all(seen.order_for(device, ts) for device, ts in newest.items()), "every cry reached a station", BACK_S)
        await house.lines_live()
        journalled = [row for row in house.journal() if row["kind"] == "sos" and row["line"] == "wearables"]
        assert len(journalled) == len(cries)
        assert all(len(seen.deliveries(device)) == 1 for device in newest)


async def test_reload(tmp_path: Path) -> None:
    async with street(tmp_path) as (house, seen):
        persons = house.folder / "districts" / "chaos" / "persons.csv"
        good = persons.read_text("utf-8")
        persons.write_text(good.replace(",1940,", ",long ago,", 1), "utf-8")
        house.hang_up()
        await house.sees(lambda: _rises(house, "gateway_config_reload_total", 0, result="failed"), "the bad file is counted")
        await seen.wear(0)
        assert {order.person for order in seen.stations.orders} == {"pw-0"}
        persons.write_text(good.replace("pw-1,", "pw-one,"), "utf-8")
        devices = persons.with_name("devices.csv")
        devices.write_text(devices.read_text("utf-8").replace(",pw-1,", ",pw-one,"), "utf-8")
        house.hang_up()
        await house.sees(lambda: _rises(house, "gateway_config_reload_total", 0, result="ok"), "the good file is in force")
        await seen.wear(1)
        assert {order.person for order in seen.stations.orders} == {"pw-0", "pw-one"}
        house.config.write_text("[gateway]\nlanguage = 'Klingon'\n")
        house.hang_up()
        await house.sees(lambda: _rises(house, "gateway_config_reload_total", 1, result="failed"), "the next bad one is counted, too")
        await seen.wear(2)
        house.write_config()


async def test_second_gateway_on_one_folder(tmp_path: Path) -> None:
    async with street(tmp_path) as (house, seen):
        second = house.run("run")
        assert second.returncode == 1
        assert second.stderr.strip().splitlines()[-1].startswith("gateway: another gateway is using ")
        assert "Traceback" not in second.stderr
        await seen.wear(0)


async def test_console_port_taken(tmp_path: Path) -> None:
    """Another program has the port: the gateway ends with words that say so, and not with a traceback."""
    async with street(tmp_path) as (house, seen):
        first, house.setting = house.setting, replace(house.setting, data="elsewhere")
        house.write_config()
        second = house.run("run")
        house.setting = first
        house.write_config()
        assert second.returncode == 2
        assert house.console.removeprefix("http://") in second.stderr
        assert "Traceback" not in second.stderr
        await seen.wear(0)


async def _is(house: House, line: str, state: str) -> bool:
    return await house.line(line) == state


async def _journalled(house: House, kind: str) -> bool:
    return kind in [row["kind"] for row in house.journal()]


async def _tells(house: House, line: str, *kinds: str) -> bool:
    """Does the journal begin with these notices of a line?"""
    found = [row["kind"] for row in house.journal() if row["line"] == line and row["kind"] in ("line_lost", "line_restored", "gap")]
    return tuple(found[: len(kinds)]) == kinds


async def _rises(house: House, name: str, above: float, **labels: str) -> bool:
    return await house.metric(name, **labels) > above


def _faketime() -> str:
    """The library that Debian's `faketime` preloads; the variant for programs with threads."""
    program("faketime")
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "faketime is installed without its library"
    return str(found[0])
