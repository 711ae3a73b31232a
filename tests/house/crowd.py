"""Everybody who cries, at once and without pause: a fleet, a panel, a button receiver, an exchange; and the stations that get the orders.

Each has its own records. `lost` and `contradictions` compare them.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator

from house import House
from servers import until

from simulators.button_receiver import ButtonReceiver, Press
from simulators.espa_panel import EspaPanel, PanelCall
from simulators.pbx import Outcome, Pbx
from simulators.stations import Behaviour, Order, Stations
from simulators.wearables import Fleet, Message

TURN_S = 0.05
CRIES_A_TURN = 10  # 200 a second
SECOND_CRIES = 0.05  # of all cries
CALLS_WAITING = 2  # on the panel: the next is offered as soon as one is taken
CALL_EVERY_S = 0.15
TALK_S = (0.3, 6.0)  # some calls live through one restart or two
PATIENCE_S = 120.0  # longer than any outage in a test
ANSWER_S = 0.5  # the panel's patience; a second or two would only make the test longer
ACCEPTS = 0.1  # of all orders; the others are never answered


class Crowd:
    """The load of all lines at once, on a house whose waiting times are longer than the test."""

    def __init__(self, house: House, seed: object) -> None:
        self.house = house
        self.random = random.Random(f"crowd:{seed}")
        self.fleet = Fleet(house.address, prefix="wearables-of-the-test")
        self.panel = EspaPanel(house.panel, answer_s=ANSWER_S)
        self.receiver = ButtonReceiver(house.buttons, copies=2)
        self.pbx = Pbx(house.hep, seed=seed, area_code="0931")
        self.stations = Stations(house.address, choose=self._choose, seed=seed, identifier="stations-of-the-test")
        self.cries: dict[str, list[Message]] = defaultdict(list)
        self.rings = True
        self._calls: set[asyncio.Task[object]] = set()

    def _choose(self, order: Order, _before: int) -> Behaviour:
        accepts = random.Random(order.delivery).random() < ACCEPTS
        return Behaviour("helpful" if accepts else "silent", answer_after=(0.0, 0.3), travel=(3600.0, 3600.0))

    @contextlib.asynccontextmanager
    async def playing(self) -> AsyncIterator["Crowd"]:
        """Stations, fleet and panel run; nobody cries yet."""
        async with self.pbx:
            tasks = [asyncio.create_task(part.run()) for part in (self.stations, self.fleet, self.panel)]
            try:
                await until(lambda: self.stations.ready.is_set() and all(link.up.is_set() for link in self.fleet.links), "the witnesses stand")
                yield self
            finally:
                for task in [*tasks, *self._calls]:
                    task.cancel()
                await asyncio.gather(*tasks, *self._calls, return_exceptions=True)

    async def cry(self) -> None:
        """Everybody cries until cancelled or until everybody has."""
        async with asyncio.TaskGroup() as group:
            for part in (self._wear(), self._press(), self._ring_up(), self._panel_calls()):
                group.create_task(part)

    async def _wear(self) -> None:
        district, number = self.house.district, 0
        while number < district.wearables:
            for _ in range(CRIES_A_TURN):
                if number and self.random.random() < SECOND_CRIES:
                    self._say(district.wearable(self.random.randrange(number)))
                elif number < district.wearables:
                    self._say(district.wearable(number))
                    number += 1
            await asyncio.sleep(TURN_S)

    def _say(self, device: str) -> None:
        self.cries[device].append(self.fleet.send(device, "sos"))

    async def _panel_calls(self) -> None:
        for number in range(self.house.district.rooms):
            await until(lambda: len(self.panel.calls) - self.panel.confirmed < CALLS_WAITING, "the panel takes another call", PATIENCE_S)
            self.panel.press(self.house.district.room(number), f"ROOM {number}")

    async def _press(self) -> None:
        for number in range(self.house.district.buttons):
            await self.receiver.press(self.house.district.button(number))

    async def _ring_up(self) -> None:
        for number in range(self.house.district.callers):
            outcome = self.random.choice([Outcome.ANSWERED, Outcome.ANSWERED, Outcome.QUEUED, Outcome.ABANDONED, Outcome.NO_ANSWER])
            talk_s = self.random.uniform(*TALK_S)
            call = self.pbx.call(f"call {number}", self.house.district.caller(number), outcome, ring_s=0.2, talk_s=talk_s)
            task: asyncio.Task[object] = asyncio.create_task(call)
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
            await asyncio.sleep(CALL_EVERY_S)

    # --- what the witnesses say --------------------------------------------------------------------------------------

    @property
    def confirmed_cries(self) -> list[Message]:
        """Those with the broker's PUBACK."""
        return [message for messages in self.cries.values() for message in messages if message.confirmed is not None]

    @property
    def confirmed_calls(self) -> list[PanelCall]:
        """Those with the gateway's ACK."""
        return [call for call in self.panel.calls if call.confirmed is not None]

    @property
    def unconfirmed(self) -> int:
        """What is still to be taken from a wearable or from the panel."""
        return (
            sum(message.confirmed is None for messages in self.cries.values() for message in messages) + len(self.panel.calls) - self.panel.confirmed
        )

    @property
    def going_on(self) -> int:
        """Telephone calls that have not ended."""
        return len(self._calls)

    def newest(self) -> dict[str, int]:
        """Device → the newest ts that a station was told."""
        found: dict[str, int] = {}
        for order in self.stations.orders:
            if order.device is not None and order.ts is not None:
                found[order.device] = max(found.get(order.device, 0), order.ts)
        return found

    def lost(self, cries: list[Message], calls: list[PanelCall]) -> list[str]:
        """Confirmed to a sender, and no station heard of it. A second cry may overtake the first on the way: then its ts stands for both."""
        told = self.newest()
        missing = [f"{cry.device} ts {cry.ts}" for cry in cries if told.get(cry.device, 0) < cry.ts]
        return missing + [f"room {call.address}" for call in calls if call.address not in told]

    def buttons_heard(self) -> list[Press]:
        """Presses that reached a station (nobody acknowledges them: what is pressed while the gateway is down is gone)."""
        told = self.newest()
        return [press for press in self.receiver.presses if press.device in told]

    def contradictions(self) -> list[str]:
        """What must never be at any time: sent under two ids, sent for nothing, changed on the way."""
        orders = list(self.stations.orders)
        found: list[str] = []
        ids: dict[str, set[str]] = defaultdict(set)
        incidents: dict[str, set[str]] = defaultdict(set)
        said: dict[tuple[str, int], set[object]] = defaultdict(set)
        sent = {(device, message.ts) for device, messages in self.cries.items() for message in messages}
        for order in orders:
            ids[str(order.device)].add(order.delivery)
            incidents[order.incident].add(str(order.device))
            said[order.delivery, order.repeat].add((order.responder, order.incident, order.device, order.ts))
            if str(order.device).startswith("w-"):
                if (str(order.device), order.ts) not in sent:
                    found.append(f"sent for nothing: {order.device} ts {order.ts}")
                if order.repeat >= len(self.cries[str(order.device)]):
                    found.append(f"more repeats than cries: {order.device} repeat {order.repeat}")
        found += [f"under two ids: {device} {sorted(some)}" for device, some in ids.items() if len(some) > 1]
        found += [f"one incident, two people: {incident} {sorted(some)}" for incident, some in incidents.items() if len(some) > 1]
        found += [f"changed under the same id and number: {key} {some}" for key, some in said.items() if len(some) > 1]
        return found
