"""`simulate street`: every family of devices at once against one gateway, judged by what was confirmed to them and what reached the stations.

    simulate street --broker mqtt://127.0.0.1:1883 --write /tmp/street
    simulate street --broker mqtt://127.0.0.1:1883 --serial-dir /tmp/street/ports --port dc09-tcp=12001 --port watches=9100 …

The first writes a register and the lines of gateway.toml for the street; the second plays it. Everybody of the street has one device and presses
once, so: one press, one incident, one order. Exit 0: nothing confirmed was lost and nothing came twice; 1: not so; 2: wrong use.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from simulators.mqtt_link import BrokerAddress
from simulators.panels.block_adapter import BlockAdapter
from simulators.panels.dialler import Dialler
from simulators.panels.line_panels import AlarmDecoder, ElkPanel, NessPanel, RfLink
from simulators.panels.nurse_call import NurseCallMaster, NurseCallStation
from simulators.panels.pagers import Comp2Sender, TapSender
from simulators.panels.receiver import AlarmReceiver
from simulators.sent import Sent
from simulators.stations import Behaviour, Stations
from simulators.street_plan import (
    KEYS,
    PLOTS,
    STREETS,
    Fault,
    Part,
    StreetError,
    StreetPlan,
    address,
    load_street,
    options_of,
    person,
    write_register,
)
from simulators.trackers.fleet import build, identity_of
from simulators.trackers.tracker import Patience, Tracker
from simulators.wire import SerialWire, ServedWire, TcpWire, UdpWire, keep_open

HOST = "127.0.0.1"
ANSWER_S = 1.0  # a device's patience here: shorter than in the field, so that the play is shorter too
STATION = (36.34, 102.86)
LOOK_S = 0.05
STANDS_S = 30.0
HOURS_S = (3600.0, 3600.0)
GARBAGE = (
    b"GET / HTTP/1.1\r\nHost: example\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\n0000FFFF\"ADM-CID\"", b"[3G*88", b"xx\x25\x26",
    b"\x7e\x02\x00\x00", b"\x00" * 600, b"\xff" * 64, b"7" * 5000,
)  # fmt: skip


class Street:
    """ports: line → port of the gateway (tcp, udp), or the port on which the gateway dials us (served). folder: for pseudo-terminals."""

    def __init__(self, plan: StreetPlan, broker: BrokerAddress, ports: Mapping[str, int], folder: Path, *, answer_s: float = ANSWER_S) -> None:
        self.plan = plan
        self.sent: dict[tuple[str, int], Sent] = {}  # (line, number) → the press
        self.others: list[Sent] = []  # what else they said
        self.stations = Stations(broker, choose=self._choose, seed=plan.seed, identifier="stations-of-the-street")
        self.intrusions = 0
        self.wires: dict[str, list[Any]] = {}
        self.ends: dict[str, list[Any]] = {}
        self._ports = ports
        self._folder = folder
        self._answer_s = answer_s
        self._random = random.Random(f"street:{plan.seed}:events")
        self._written: set[tuple[str, int]] = set()
        self._pressing: set[asyncio.Task[Sent]] = set()
        for part in plan.part:
            self._build(part)

    def _choose(self, _order: Any, _before: int) -> Behaviour:
        return Behaviour("helpful", answer_after=(0.0, 0.2), travel=HOURS_S, work=HOURS_S)

    # --- who lives there -----------------------------------------------------------------------------------------------

    def _build(self, part: Part) -> None:
        line, plot, quirks = part.line, PLOTS[part.line], frozenset(part.quirks)
        port, wait = self._ports.get(line, 0), self._answer_s
        if plot.codec in ("watch3g", "gt06", "jt808"):
            kind = UdpWire if plot.wire == "udp" else TcpWire
            patience = Patience(wait, alive_s=5.0, misses=3, boot_s=0.3, is_growing=plot.codec == "jt808")
            offset = 5_000 if line == "terminals-udp" else 0
            ends: list[Any] = [
                build(plot.codec, identity_of(plot.codec, offset + n), kind(HOST, port), patience, quirks=quirks) for n in range(part.devices)
            ]
            self.wires[line] = [end.wire for end in ends]
        elif plot.codec == "sia_dc09":
            receivers = [(UdpWire if plot.wire == "udp" else TcpWire)(HOST, port) for _ in range(part.devices)]
            ends = [
                Dialler(
                    address(line, n).partition(":")[0], [wire], key=bytes.fromhex(KEYS.get(line, "")), null_s=5.0, answer_s=wait, quirks=quirks,
                    token=("ADM-CID", "SIA-DCS")[n % 2], clock_off_s=(0.0, 300.0)[n % 3 == 2], round_s=0.3,
                )
                for n, wire in enumerate(receivers)
            ]  # fmt: skip
            self.wires[line] = list(receivers)
        else:
            wire: Any = (
                SerialWire(self._folder / line) if plot.wire == "serial" else ServedWire(HOST, port) if plot.wire == "served" else TcpWire(HOST, port)
            )
            self.wires[line] = [wire]
            makers: dict[str, Any] = {
                "contact-id": lambda: BlockAdapter(wire, answer_s=wait, dial_s=0.3),
                "surgard": lambda: AlarmReceiver(wire, answer_s=wait, heartbeat_s=5, fault_s=0.5, quirks=quirks),
                "system3": lambda: AlarmReceiver(wire, system3=True, answer_s=wait, heartbeat_s=5, fault_s=0.5, quirks=quirks),
                "espa-station": lambda: NurseCallMaster(wire, poll_s=0.5, answer_s=wait, again_s=4.0, quirks=quirks),
                "espa-control": lambda: NurseCallStation(wire, answer_s=wait, quirks=quirks),
                "ness": lambda: NessPanel(wire, zone_of_clock=_china(), life_s=2.0),
                "elk": lambda: ElkPanel(wire, life_s=2.0),
                "alarmdecoder": lambda: AlarmDecoder(wire, life_s=2.0),
                "rflink": lambda: RfLink(wire, life_s=2.0),
                "tap": lambda: TapSender(wire, answer_s=wait, wake_s=0.5),
                "comp2": lambda: Comp2Sender(wire),
            }
            ends = [makers[line]()]
        self.ends[line] = ends

    async def press(self, line: str, number: int) -> None:
        """Device `number` of a line cries."""
        name, ends = address(line, number), self.ends[line]
        end = ends[number if len(ends) > 1 else 0]
        account, _, zone = name.partition(":")
        if isinstance(end, Tracker):
            sent = end.press("sos")
        elif isinstance(end, Dialler):
            sent = end.press(zone)
        elif isinstance(end, AlarmReceiver | BlockAdapter):
            sent = end.press(account, zone)
        elif isinstance(end, NurseCallMaster | NurseCallStation):
            sent = end.cry(name, f"ROOM {name}")
        elif isinstance(end, NessPanel | ElkPanel):
            sent = end.press(int(zone))
        elif isinstance(end, RfLink):
            pressing = asyncio.create_task(end.press(*name.split(":")))
            await asyncio.sleep(0)  # it is noted before its first copy can be heard
            sent = end.sent[-1]
            self._pressing.add(pressing)
            pressing.add_done_callback(self._pressing.discard)
        elif isinstance(end, AlarmDecoder):
            sent = end.press(name)
        else:
            sent = end.press(name, f"ROOM {name}")
        self.sent[line, number] = sent
        if sent.answers and "written" in sent.answers:
            self._written.add((line, number))

    def say_more(self, line: str, number: int) -> None:
        """What a device says beside: a restore, a cancel, a battery. None of it is a cry."""
        name, ends = address(line, number), self.ends[line]
        end = ends[number if len(ends) > 1 else 0]
        account, _, zone = name.partition(":")
        if isinstance(end, Dialler):
            self.others.append(end.press(zone, "384", what="battery"))
        elif isinstance(end, AlarmReceiver):
            self.others.append(end.press(account, zone, qualifier="R", what="restore"))
        elif isinstance(end, BlockAdapter):
            self.others.append(end.press(account, zone, qualifier=3, what="restore"))
        elif isinstance(end, NurseCallMaster | NurseCallStation):
            self.others.append(end.cry(name, f"ROOM {name}", what="cancel"))
        elif isinstance(end, AlarmDecoder):
            self.others.append(end.battery(name))
        elif isinstance(end, Tracker):
            self.others.append(end.press("low_battery"))

    # --- the play ------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator["Street"]:
        """Stations and devices run; nobody has pressed yet."""
        tasks = [asyncio.create_task(self.stations.run())]
        for line, ends in self.ends.items():
            if not isinstance(ends[0], Tracker | Dialler):
                tasks.append(asyncio.create_task(keep_open(self.wires[line][0])))
            tasks += [asyncio.create_task(end.run()) for end in ends]
        try:
            await _until(self.stations.ready.is_set, STANDS_S)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def play(self) -> None:
        """All presses and all faults of the file."""
        start = time.monotonic()
        faults = [asyncio.create_task(self._fault(fault, start)) for fault in self.plan.fault]
        try:
            for at, line, number in self.plan.times():
                await asyncio.sleep(max(0.0, start + at - time.monotonic()))
                await self.press(line, number)
                if self._random.random() < self.plan.again:
                    self.say_more(line, number)
            await asyncio.gather(*faults)
        finally:
            for fault in faults:
                fault.cancel()
            await asyncio.gather(*faults, return_exceptions=True)

    async def _fault(self, fault: Fault, start: float) -> None:
        await asyncio.sleep(max(0.0, start + fault.at - time.monotonic()))
        plot, wires = PLOTS[fault.line], self.wires.get(fault.line, [])
        if fault.what == "noise":
            for wire in wires:
                wire.noise.garbage, wire.noise.flip = fault.garbage, fault.flip if plot.noisy else 0.0
            await asyncio.sleep(fault.lasts)
            for wire in wires:
                wire.noise.garbage = wire.noise.flip = 0.0
        elif fault.what == "unplug":
            until = time.monotonic() + fault.lasts
            while time.monotonic() < until:  # keep_open plugs it in again
                for wire in wires:
                    wire.close()
                await asyncio.sleep(LOOK_S)
        elif fault.what == "storm":
            for end in self.ends.get(fault.line, []):
                (end.cut if isinstance(end, Tracker) else end.receivers[0].close)()
        elif plot.wire == "tcp":
            for said in itertools.islice(itertools.cycle(GARBAGE), 2 * len(GARBAGE)):
                await self._intrude(self._ports[fault.line], said)

    async def _intrude(self, port: int, said: bytes) -> None:
        """A stranger's connection: says something and is gone."""
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(said + self._random.randbytes(20))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            self.intrusions += 1

    # --- what the witnesses say ----------------------------------------------------------------------------------------

    def told(self) -> dict[str, set[tuple[str, str]]]:
        """Person → (incident, delivery) of the orders about them."""
        found: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for order in self.stations.orders:
            found[str(order.person)].add((order.incident, order.delivery))
        return found

    def owed(self, *, sound: bool = True) -> list[tuple[str, int]]:
        """Whose cry must be with a station. sound: the gateway and the cables stood all the time, so that what was written counts as well."""
        return [
            key
            for key, sent in self.sent.items()
            if sent.confirmed is not None or PLOTS[key[0]].promise == "held" or (sound and key in self._written)
        ]

    def lost(self, owed: list[tuple[str, int]]) -> list[str]:
        """Confirmed, and no station heard of it."""
        told = self.told()
        return [f"{line} {address(line, number)}" for line, number in owed if person(line, number) not in told]

    def contradictions(self) -> list[str]:
        """What must never be: two incidents or two orders for one press, an order for nothing."""
        told, found = self.told(), []
        people = {person(line, number): (line, number) for line, number in self.sent}
        for who, orders in told.items():
            if who not in people:
                found.append(f"sent for nothing: {who}")
            if len(orders) > 1:
                found.append(f"{len({incident for incident, _ in orders})} incidents, {len(orders)} orders for one press: {who}")
        incidents: dict[str, set[str]] = defaultdict(set)
        for order in self.stations.orders:
            incidents[order.incident].add(str(order.person))
        return found + [f"one incident, two people: {incident} {sorted(who)}" for incident, who in incidents.items() if len(who) > 1]

    @property
    def unconfirmed(self) -> list[str]:
        """What a device is still saying."""
        pending = [
            f"{line} {address(line, n)} {list(sent.answers)[-3:]}"
            for (line, n), sent in self.sent.items()
            if not sent.over and PLOTS[line].promise == "confirmed"
        ]
        return pending + [f"{sent.device} {sent.what}" for sent in self.others if not sent.over and "written" not in sent.answers]

    def summary(self) -> dict[str, Any]:
        """Figures by line."""
        told = self.told()
        found: dict[str, Any] = {}
        for line in self.ends:
            presses = [(key, sent) for key, sent in self.sent.items() if key[0] == line]
            found[line] = {
                "presses": len(presses),
                "confirmed": sum(sent.confirmed is not None for _, sent in presses),
                "tries": sum(sent.tries for _, sent in presses),
                "ordered": sum(person(*key) in told for key, _ in presses),
            }
        return found


def _china() -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo("Asia/Shanghai")


async def _until(condition: Any, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - about several parts at once
        await asyncio.sleep(LOOK_S)
    return bool(condition())


def lines_of(plan: StreetPlan, ports: Mapping[str, int], folder: Path) -> str:
    """The `[[line]]` tables of a gateway for this street."""
    found = []
    for part in plan.part:
        plot, port = PLOTS[part.line], ports.get(part.line, 0)
        where = {
            "serial": f'listen = "serial:{folder / part.line}"',
            "tcp": f'listen = "tcp:{port}:interface={HOST}"',
            "udp": f'listen = "udp:{port}:interface={HOST}"',
            "served": f'connect = "tcp:{HOST}:{port}"',
        }[plot.wire]
        options = options_of(part.line, part.devices, part.quirks)
        found.append(f'[[line]]\nname = "{part.line}"\ncodec = "{plot.codec}"\n{where}\nmandatory = false\n{options}\n')
    return "\n".join(found)


def parser() -> argparse.ArgumentParser:
    """The command line of `simulate street`."""
    found = argparse.ArgumentParser(prog="simulate street", description="Every family of devices at once against one gateway.")
    found.add_argument("street", nargs="?", default="devices_of_a_street", help="a TOML file, or the name of one that comes with the simulators")
    found.add_argument("--broker", default="mqtt://127.0.0.1:1883", metavar="mqtt://HOST:PORT", help="where orders arrive (default %(default)s)")
    found.add_argument(
        "--serial-dir", type=Path, default=Path("/tmp/street"), metavar="DIR", help="where serial ports are made (default %(default)s)"
    )
    found.add_argument("--port", action="append", default=[], metavar="LINE=N", help="of lines over TCP and UDP; default: 21000 and up")
    found.add_argument("--write", type=Path, metavar="DIR", help="write a register and lines.toml for the street, and play nothing")
    found.add_argument("--houses", type=int, default=1, metavar="N", help="so many times the devices of the file")
    return found


def main(arguments: list[str]) -> int:
    """Exit 0: nothing confirmed was lost, nothing came twice; 1: not so; 2: wrong use."""
    options = parser().parse_args(arguments)
    try:
        path = Path(options.street)
        plan = load_street(path if path.exists() else STREETS / f"{path.stem}.toml").larger(options.houses)
        ports = {line: 21_000 + number for number, line in enumerate(PLOTS)}
        for text in options.port:
            line, _, port = text.partition("=")
            if line not in PLOTS or not port.isdigit():
                raise ValueError(f"--port {text!r} is not like watches=9100")
            ports[line] = int(port)
        if options.write:
            write_register(plan, options.write, {"station-1": STATION})
            (options.write / "lines.toml").write_text(lines_of(plan, ports, options.serial_dir), "utf-8")
            return 0
        return asyncio.run(_play(Street(plan, BrokerAddress.parse(options.broker), ports, options.serial_dir), plan))
    except (StreetError, ValueError) as error:
        print(f"simulate street: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 1


async def _play(street: Street, plan: StreetPlan) -> int:
    async with street.standing():
        await _until(lambda: all(wire.plugged for wires in street.wires.values() for wire in wires), STANDS_S)
        await street.play()
        await _until(lambda: not street.unconfirmed and not street.lost(street.owed()), plan.within)
    wrong = [f"not confirmed: {text}" for text in street.unconfirmed] + [f"lost: {text}" for text in street.lost(street.owed())]
    wrong += street.contradictions()
    print(json.dumps({"street": plan.name, "held": not wrong, "lines": street.summary(), "wrong": wrong}, ensure_ascii=False, indent=1))
    return 1 if wrong else 0
