"""Devices on networks that a scenario plays: panels on IP, 4G watches, 808 terminals, Zigbee buttons, a street gateway; each over its own wire.

All that the register has are there and on line from the begin; who cries is the scenario's.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from simulators.district import District
from simulators.ecosystems.bridge import Bridge
from simulators.ecosystems.zigbee2mqtt import MODELS, Zigbee2Mqtt
from simulators.masses.street import StreetGateway
from simulators.mqtt_link import BrokerAddress
from simulators.panels.dialler import Dialler
from simulators.sent import Sent
from simulators.street_plan import KEYS
from simulators.trackers.fleet import build
from simulators.trackers.tracker import Patience, Tracker
from simulators.wire import TcpWire

PORTS = {"ip_panel": "alarm-panels", "watch": "watches", "terminal": "terminals"}  # means → line of the gateway that it dials
CRIES: Mapping[str, tuple[str, ...]] = {
    "ip_panel": ("press",),
    "watch": ("sos", "fall", "low_battery"),
    "terminal": ("sos",),
    "zigbee": ("sos",),
    "hub": ("falls_silent", "returns"),
}  # what each can do
KEY = bytes.fromhex(KEYS["dc09-aes128"])  # of panels whose model says AES
HOST = "127.0.0.1"
ANSWER_S = 3.0
ALIVE_S = 10.0
BEAT_S = 1.0  # behind the street gateway
FAMILIES = {"watch": "watch3g", "terminal": "jt808"}
NAMES = {"ip_panel": "ip_panels", "watch": "watches", "terminal": "terminals"}


class Neighbourhood:
    """means: which of CRIES are played. ports: line → port of the gateway."""

    def __init__(self, district: District, means: set[str], broker: BrokerAddress, ports: Mapping[str, int], mark: str = "") -> None:
        self.diallers: dict[str, Dialler] = {}
        self.trackers: dict[str, dict[str, Tracker]] = {}
        self.zigbee: Bridge | None = None
        self.street: Bridge | None = None
        if "ip_panel" in means:
            for device, model in district.models["ip_panel"].items():
                wire = TcpWire(HOST, ports[PORTS["ip_panel"]])
                key = KEY if model.endswith("AES") else b""
                self.diallers[device] = Dialler(device.partition(":")[0], [wire], key=key, null_s=ALIVE_S, answer_s=ANSWER_S)
        patience = Patience(ANSWER_S, alive_s=ALIVE_S)
        for family in FAMILIES.keys() & means:
            self.trackers[family] = {
                device: build(
                    FAMILIES[family], device.zfill(12) if family == "terminal" else device, TcpWire(HOST, ports[PORTS[family]]), patience
                )
                for device in district.models[family]
            }  # fmt: skip
        if "zigbee" in means:
            buttons = {device: model for device, model in district.models["zigbee"].items() if model in MODELS}
            self.zigbee = Bridge(Zigbee2Mqtt(buttons), broker, f"simulated-zigbee-{mark}")
        if "hub" in means:
            (hub,) = list(district.models["hub"])[:1]
            self.street = Bridge(StreetGateway(district.models["street_pendant"], hub), broker, f"simulated-street-{mark}")

    async def run(self) -> None:
        """Everything is on line until cancelled."""
        async with asyncio.TaskGroup() as group:
            for device in self._ends:
                group.create_task(device.run())
            for bridge in (self.zigbee, self.street):
                if bridge is not None:
                    group.create_task(bridge.run())
            if self.street is not None:
                group.create_task(self._beat(self.street))

    async def _beat(self, street: Bridge) -> None:
        gateway = street.ecosystem
        assert isinstance(gateway, StreetGateway)
        while True:
            if street.is_up:
                street.chatter(gateway.hub, *gateway.devices)
            await asyncio.sleep(BEAT_S)

    @property
    def _ends(self) -> list[Dialler | Tracker]:
        """Those who keep a link of their own."""
        return [*self.diallers.values(), *(one for family in self.trackers.values() for one in family.values())]

    @property
    def is_ready(self) -> bool:
        """Has everybody been answered once?"""
        return (
            all(dialler.nulls_confirmed for dialler in self.diallers.values())
            and all(one.alive_answered for family in self.trackers.values() for one in family.values())
            and all(bridge is None or bridge.is_up for bridge in (self.zigbee, self.street))
        )

    def act(self, means: str, device: str, what: str) -> str:
        """Somebody presses or falls; or the street gateway stands still, or comes back. Gives what an order about it names."""
        if means == "ip_panel":
            self.diallers[device].press(device.partition(":")[2])
        elif means in self.trackers:
            self.trackers[means][device].press(what)
        elif means == "zigbee" and self.zigbee is not None:
            self.zigbee.press(device, what)
        elif means == "hub" and self.street is not None:
            gateway = self.street.ecosystem
            assert isinstance(gateway, StreetGateway)
            gateway.frozen = what == "falls_silent"
        return device.partition(":")[0]  # of a panel the account

    def untold(self, device: str) -> Callable[[], str]:
        """A question for later: was this watch told anything from now on? "" = yes."""
        watch = self.trackers.get("watch", {}).get(device)
        before = watch.texts if watch is not None else 0
        return lambda: "" if watch is not None and watch.texts > before else "the watch was told nothing"

    @property
    def sent(self) -> list[Sent]:
        """What was said and is to be confirmed."""
        return [sent for end in self._ends for sent in end.sent]

    def sources(self) -> dict[str, dict[str, Any]]:
        """Per family: what was sent and confirmed."""
        found: dict[str, dict[str, Any]] = {}
        if self.diallers:
            diallers = self.diallers.values()
            found["ip_panels"] = confirmed([sent for one in diallers for sent in one.sent])
            found["ip_panels"] |= {"polls": sum(one.nulls for one in diallers)}
        for family, devices in sorted(self.trackers.items()):
            found[NAMES[family]] = confirmed([sent for one in devices.values() for sent in one.sent])
            found[NAMES[family]] |= {"alive": sum(one.alive_answered for one in devices.values()), "told": sum(one.texts for one in devices.values())}
        if self.zigbee is not None:
            found["zigbee"] = {"sent": len(self.zigbee.presses), "messages": self.zigbee.sent}
        if self.street is not None:
            found["street"] = {"sent": self.street.sent, "devices": len(self.street.ecosystem.devices)}
        return found


def confirmed(sent: list[Sent]) -> dict[str, Any]:
    """How many, and how many of them were answered."""
    return {"sent": len(sent), "confirmed": sum(one.confirmed is not None for one in sent)}
