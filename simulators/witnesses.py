"""The witnesses a scenario needs, built for the targets that were given, and what they can tell together."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from simulators.button_receiver import ButtonReceiver
from simulators.district import CALLS, FILED, LINES, District
from simulators.espa_panel import EspaPanel, PanelCall
from simulators.home_link import Receiver
from simulators.homes import Homes, Pressed
from simulators.mqtt_link import BrokerAddress
from simulators.municipal import Municipal
from simulators.neighbourhood import CRIES, PORTS, Neighbourhood
from simulators.operator import Habits, Operator
from simulators.pbx import Pbx
from simulators.pseudo_terminal import PseudoTerminal
from simulators.rung import RungStations
from simulators.scenario import Scenario
from simulators.sent import Sent
from simulators.stations import MAX_ORDERS, Choose, Stations
from simulators.wearables import Fleet, Message

PANEL_PORT = "panel0"
BUTTON_PORT = "buttons0"
READY_S = 60.0  # how long the gateway may take to open its lines: its longest pause between two tries is 30 s
KEEP_ENDLESS = 5_000  # orders remembered in a run without end: more than two hours of the evening
LOOK_S = 0.05  # how often a condition is looked at again

Command = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Targets:
    """Where the gateway is. A source whose target is None cannot be played; stop and start of the broker are hooks of the caller."""

    district: Path
    broker: str | None = None
    hep: tuple[str, int] | None = None
    serial_dir: Path | None = None
    console: str | None = None
    stop_broker: Command | None = None
    start_broker: Command | None = None
    ready_s: float = READY_S
    ami_port: int | None = None  # where we are the exchange that the gateway connects to
    esl_port: int | None = None
    sip: Receiver | None = None  # where home units send their alarms
    ports: Mapping[str, int] = field(default_factory=dict)  # lines that devices dial: see simulators.neighbourhood.PORTS
    municipal: tuple[int, bytes] | None = None  # where we are the city that the gateway reports to, and the secret shared with it
    platforms: Mapping[str, bytes] = field(default_factory=dict)  # [[platform]] → its secret
    reconcile: Command | None = None  # compares the days with the city, at the end; an OSError says that they differ
    log_in: tuple[str, str] | None = None  # of the operator, where the console asks for it: login and password
    clock_file: Path | None = None  # libfaketime's: the offset of the clock that the gateway and we have

    @property
    def hears_calls(self) -> bool:
        return self.hep is not None or self.ami_port is not None or self.esl_port is not None


class MissingTarget(ValueError):
    """The scenario needs something that was not given."""


def check_targets(scenario: Scenario, targets: Targets) -> None:
    """Does every source of the scenario have a target?"""
    used = {do.via for do in scenario.do}
    missing = []
    if targets.broker is None:  # orders are seen there, whoever cried
        missing.append("--broker mqtt://… (orders arrive there)")
    if (used & set(CALLS) or any(do.voice for do in scenario.do)) and not targets.hears_calls:
        missing.append("--hep host:port, --ami-port or --esl-port (the scenario has calls)")
    if "home_unit" in used and targets.sip is None:
        missing.append("--sip udp:HOST:PORT (the scenario has home units)")
    missing += [f"--port {line}=PORT" for means, line in PORTS.items() if means in used and line not in targets.ports]
    if scenario.expect.reconciled and targets.municipal is None:
        missing.append("--municipal PORT=SECRETFILE (the scenario reports to a city)")
    missing += [
        f"--platform {name}=SECRETFILE" for name in sorted({do.called for do in scenario.do if do.via == "platform"} - targets.platforms.keys())
    ]
    if (used & set(FILED) or scenario.rule) and targets.console is None:
        missing.append("--console http://… (somebody rules or files there)")
    if any(fault.what == "pass_time" for fault in scenario.fault) and targets.clock_file is None:
        missing.append("--clock-file FILE (the scenario lets time pass; gateway and simulators run under libfaketime with that file)")
    if used & {"panel", "button"} and targets.serial_dir is None:
        missing.append("--serial-dir DIR (the scenario has a panel or buttons)")
    if missing:
        raise MissingTarget(f"{scenario.name}: missing " + ", ".join(missing))


@dataclass(slots=True)
class Witnesses:
    """The programs on the wire that this scenario needs; the others are None."""

    stations: Stations | None = None
    fleet: Fleet | None = None
    panel: EspaPanel | None = None
    receiver: ButtonReceiver | None = None
    pbx: Pbx | None = None
    homes: Homes | None = None
    neighbourhood: Neighbourhood | None = None
    rung: RungStations | None = None
    operator: Operator | None = None
    municipal: Municipal | None = None
    calls: set[asyncio.Task[Any]] = field(default_factory=set)

    def terminals(self) -> list[PseudoTerminal]:
        """The serial ports in play."""
        return [part.terminal for part in (self.panel, self.receiver) if part is not None]

    def running(self) -> list[Any]:
        """Those that have a `run()` of their own."""
        return [part for part in (self.stations, self.fleet, self.panel, self.neighbourhood, self.operator) if part is not None]

    def unconfirmed(self) -> list[Message | PanelCall | Pressed | Sent]:
        """Alarms and calls that nobody has confirmed yet."""
        late: list[Message | PanelCall | Pressed | Sent] = [
            message for message in (self.fleet.alarms if self.fleet else ()) if message.confirmed is None
        ]
        late += [call for call in (self.panel.calls if self.panel else ()) if call.confirmed is None]
        late += [pressed for pressed in (self.homes.pressed if self.homes else ()) if not pressed.confirmed]
        late += [sent for sent in (self.neighbourhood.sent if self.neighbourhood else ()) if not sent.over]
        return late

    def surprises(self, district: District, since_ms: int) -> list[str]:
        """Orders that answer to nothing we sent: a wearable's ts that never left it (lost messages count as never sent)."""
        if self.stations is None or self.fleet is None or len(self.fleet.alarms) == self.fleet.alarms.maxlen:
            return []
        sent = {(message.device, message.ts) for message in self.fleet.alarms}
        wearables = {member.wearable for member in district.members if member.wearable}
        return [
            f"{order.responder} was sent to {order.device} for ts {order.ts}"
            for order in self.stations.orders
            if order.device in wearables and (order.ts or 0) >= since_ms and (order.device, order.ts) not in sent
        ]

    def sources(self) -> dict[str, dict[str, Any]]:
        """Per source: what was sent, what was confirmed."""
        found = dict[str, dict[str, Any]]()
        if self.fleet is not None:
            fleet = self.fleet
            found["wearables"] = {"sent": fleet.sent, "confirmed": fleet.confirmed, "alarms": len(fleet.alarms), "copies": fleet.duplicates}
            found["wearables"] |= {"never_sent": fleet.lost, "outages": fleet.outages}
        if self.panel is not None:
            calls = self.panel.calls
            found["panel"] = {"sent": len(calls), "confirmed": self.panel.confirmed, "blocks": sum(call.blocks_sent for call in calls)}
            found["panel"] |= {"refused": sum(len(call.refusals) for call in calls), "polls": self.panel.polls}
        if self.receiver is not None:
            found["buttons"] = {"sent": len(self.receiver.presses), "lines": self.receiver.lines_sent}
        if self.homes is not None:
            pressed = self.homes.pressed
            found["home_units"] = {"sent": len(pressed), "confirmed": sum(one.confirmed for one in pressed)}
            found["home_units"]["calls"] = sum(one.has_called for one in pressed)
        if self.neighbourhood is not None:
            found |= self.neighbourhood.sources()
        if self.municipal is not None:
            found["municipal"] = {"sent": len(self.municipal.reports), "requests": len(self.municipal.requests)}
        if self.pbx is not None:
            found["calls"] = {"sent": len(self.pbx.calls), "packets": self.pbx.packets}
            for call in self.pbx.calls:
                found["calls"][call.outcome.value] = found["calls"].get(call.outcome.value, 0) + 1
        return found

    async def wait_until_ready(self, console: str | None, ready_s: float) -> list[str]:
        """Everything stands: broker connections, console, the panel's poll answered, serial lines live. Gives what did not come in time."""
        waiting: dict[str, Callable[[], object]] = {}
        if self.stations is not None:
            waiting["the broker"] = self.stations.ready.is_set
        if self.fleet is not None:
            links = self.fleet.links
            waiting["the wearables' connections"] = lambda: all(link.up.is_set() for link in links)
        if self.panel is not None:
            panel = self.panel
            waiting["an answer to the panel's poll"] = lambda: panel.polls_answered > 0
        if self.neighbourhood is not None:
            neighbourhood = self.neighbourhood
            waiting["an answer to every device on the networks"] = lambda: neighbourhood.is_ready
        if self.pbx is not None:
            pbx = self.pbx
            waiting["a login at the exchange's manager"] = lambda: pbx.is_heard
        if self.operator is not None:
            operator = self.operator
            waiting["the console"] = operator.on_duty.is_set
            if self.terminals():
                serial = {name for name, means in LINES.items() if (self.panel and means == "panel") or (self.receiver and means == "button")}
                waiting["the serial lines"] = lambda: (
                    not [line for name, line in operator.lines.items() if name in serial and line.get("state") not in ("live", "suspect")]
                )
        deadline = time.monotonic() + ready_s
        await wait_until(lambda: all(ready() for ready in waiting.values()), deadline)
        while console is not None and time.monotonic() < deadline and not await is_ready(console):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        return [name for name, ready in waiting.items() if not ready()]


def build_witnesses(scenario: Scenario, targets: Targets, district: District, seed: int, choose: Choose) -> Witnesses:
    """One witness for every source that the scenario uses. `choose` tells the stations how to behave."""
    used = {do.via for do in scenario.do}
    found = Witnesses()
    if targets.broker is not None:
        broker = BrokerAddress.parse(targets.broker)
        mark = uuid.uuid4().hex[:8]
        found.stations = Stations(
            broker, choose=choose, seed=seed, identifier=f"simulated-stations-{mark}", keep=KEEP_ENDLESS if scenario.endless else MAX_ORDERS
        )
        if "wearable" in used:
            found.fleet = Fleet(broker, prefix=f"simulated-wearables-{mark}")
        if used & CRIES.keys():
            found.neighbourhood = Neighbourhood(district, used, broker, targets.ports, mark)
    if targets.serial_dir is not None:
        if "panel" in used:
            found.panel = EspaPanel(PseudoTerminal(targets.serial_dir / PANEL_PORT))
        if "button" in used:
            found.receiver = ButtonReceiver(PseudoTerminal(targets.serial_dir / BUTTON_PORT))
    speaks = any(do.voice for do in scenario.do)
    if used & set(CALLS) or speaks or (district.rung and (targets.ami_port is not None or targets.esl_port is not None)):
        pbx = Pbx(
            targets.hep,
            ami_port=targets.ami_port,
            esl_port=targets.esl_port,
            sip=speaks,
            agents=scenario.agents,
            seed=seed,
            area_code=district.area_code,
        )
        found.pbx, found.rung = pbx, RungStations(pbx.exchange, district.rung, seed)
        if targets.sip is not None and "home_unit" in used:
            found.homes = Homes(targets.sip, lambda: pbx.sip_address)
    elif targets.sip is not None and "home_unit" in used:
        found.homes = Homes(targets.sip, lambda: None)
    if targets.municipal is not None:
        found.municipal = Municipal(targets.municipal[1])
    if targets.console is not None:
        wanted = scenario.operator
        habits = Habits(wanted.name, wanted.acknowledge_after, wanted.act_after, wanted.works, wanted.resolves, wanted.calls_back, wanted.lets_climb)
        rung = {district.names[name] for name in district.rung.values()}
        found.operator = Operator(targets.console, habits, seed=seed, rung=rung, log_in=targets.log_in)
    return found


async def wait_until(condition: Callable[[], object], deadline: float) -> None:
    """Look again and again until it is true or `deadline` (monotonic) has passed."""
    while time.monotonic() < deadline and not condition():  # noqa: ASYNC110 - the condition is about several parts at once
        await asyncio.sleep(LOOK_S)


async def is_ready(console: str) -> bool:
    """Does the gateway say that its mandatory lines are live?"""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            return (await client.get(f"{console.rstrip('/')}/readyz")).status_code == 200
    except httpx.HTTPError:
        return False
