"""What devices hear back on a whole gateway: that an operator has taken their alarm, that help comes; at once, or when they are back."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from device_house import ACK, ENQ, EOT, FAMILIES, LK, DeviceHouse, Peer, Street, jt808, press, street
from servers import Outsider, until

from gateway.dispatch.words import TOLD

FAMILY = {family.name: family for family in FAMILIES}
WATCHES = replace(FAMILY["watches"], options="")  # as it comes: it is asked where it is
WARD = replace(FAMILY["ward"], options='poll_silence_s = 0\ntell = "status"')
SOON_S = 60.0


class Operator:
    """A person at the console's API."""

    def __init__(self, house: DeviceHouse) -> None:
        self._house = house
        self._csrf = ""

    async def begin(self) -> "Operator":
        answer = await self._house.get("/api/v1/session")
        assert answer is not None
        self._csrf = answer.json()["csrf"]
        await self.post("duty", name="李娜")
        return self

    async def post(self, path: str, **body: object) -> None:
        answer = await self._house.post(f"/api/v1/{path}", body, self._csrf)
        assert answer is not None
        assert answer.status_code == 200, answer.text

    async def acknowledge(self, incident: str) -> None:
        await self.post(f"incidents/{incident}/acknowledge")

    async def tellings(self, incident: str) -> list[tuple[str, str]]:
        """(word, state) of what the incident's devices are told."""
        answer = await self._house.get(f"/api/v1/incidents/{incident}")
        assert answer is not None
        return [(one["word"], one["state"]) for one in answer.json()["tellings"]]

    async def sees(self, incident: str, *tellings: tuple[str, str]) -> None:
        last: list[Any] = []

        async def told() -> bool:
            last[:] = [await self.tellings(incident)]
            return last[0] == list(tellings)

        try:
            await self._house.sees(told, "", SOON_S)
        except AssertionError as error:
            raise AssertionError(f"told: {last} in place of {tellings}") from error


class Wearer:
    """A watch that echoes what it is asked. shown: its display."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.words: list[str] = []
        self.shown: list[str] = []
        self._task = asyncio.create_task(self._obey())

    async def _obey(self) -> None:
        while True:
            while (end := self.peer.heard.find(b"]")) >= 0:
                vendor, device, index, _, content = bytes(self.peer.heard[1:end]).decode().split("*", 4)
                del self.peer.heard[: end + 1]
                word, _, rest = content.partition(",")
                self.words.append(word)
                if word == "MESSAGE":
                    self.shown.append(bytes.fromhex(rest).decode("utf-16-be"))
                if word in ("MESSAGE", "CR"):
                    self.peer.say(f"[{vendor}*{device}*{index}*{len(word):04X}*{word}]".encode())
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def _accept(house: DeviceHouse, seen: Street, person: str) -> None:
    """The station that has the order goes."""
    order = next(order for order in seen.stations.orders if order.person == person)
    outsider = await Outsider(house.broker.port).ready()
    body = {"delivery": order.delivery, "answer": "accept", "by": "duty"}
    await outsider.publish(f"stations/{order.responder}/reply", json.dumps(body))
    outsider.close()


async def _incident(house: DeviceHouse, seen: Street, line: str) -> str:
    await until(lambda: seen.deliveries(f"p-{line}"), "a station has the order")
    (incident,) = {str(fact["incident"]) for fact in house.facts(line, "sos")}
    return incident


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[DeviceHouse, Street, Operator]]:
    async with street(tmp_path, families=(WATCHES, FAMILY["terminals"], WARD)) as (house, seen):
        yield house, seen, await Operator(house).begin()


async def test_a_watch_shows_that_its_alarm_is_taken_and_that_help_comes(place: tuple[DeviceHouse, Street, Operator]) -> None:
    house, seen, operator = place
    peer = seen.peers["watches"]
    assert await peer.cries()
    wearer = Wearer(peer)
    incident = await _incident(house, seen, "watches")
    await until(lambda: "CR" in wearer.words, "it is asked where it is")
    assert wearer.shown == []
    await operator.acknowledge(incident)
    await operator.sees(incident, ("taken", "told"))
    assert wearer.shown == [TOLD["taken"]["zh-CN"]]
    await _accept(house, seen, "p-watches")
    await operator.sees(incident, ("taken", "told"), ("coming", "told"))
    assert wearer.shown == [TOLD["taken"]["zh-CN"], TOLD["coming"]["zh-CN"]]
    await wearer.stop()


async def test_a_watch_that_is_away_is_told_when_it_is_back_though_the_gateway_was_killed(place: tuple[DeviceHouse, Street, Operator]) -> None:
    house, seen, operator = place
    assert await seen.peers["watches"].cries()
    incident = await _incident(house, seen, "watches")
    seen.peers["watches"].close()
    await house.sees(lambda: _fewer(house, "watches"), "the watch is gone")
    await operator.acknowledge(incident)
    await operator.sees(incident, ("taken", "pending"))
    house.kill()
    house.start()
    await house.lines_live("watches")
    await operator.begin()
    await operator.sees(incident, ("taken", "pending"))
    peer = await seen.dial(WATCHES)
    await peer.asks(LK.replace(b"3G*8800000015*", b"ZJ*8800000015*0008*"), LK.replace(b"3G*8800000015*", b"ZJ*8800000015*0008*"))
    wearer = Wearer(peer)
    await operator.sees(incident, ("taken", "told"))
    assert wearer.shown == [TOLD["taken"]["zh-CN"]]
    await wearer.stop()


async def _fewer(house: DeviceHouse, line: str) -> bool:
    return await house.metric("gateway_line_connections", line=line) == 0


async def test_a_terminal_hears_8203_and_its_answer_marks_it_told(place: tuple[DeviceHouse, Street, Operator]) -> None:
    house, seen, operator = place
    peer = seen.peers["terminals"]
    assert await peer.cries()
    incident = await _incident(house, seen, "terminals")
    await operator.acknowledge(incident)
    assert await peer.hears(jt808(0x8203, "000300000001", 0x0102))
    assert await operator.tellings(incident) == [("taken", "pending")]
    peer.say(jt808(0x0001, "0102820300", 4))
    await operator.sees(incident, ("taken", "told"))


async def test_a_ward_hears_status_information_when_it_polls(place: tuple[DeviceHouse, Street, Operator]) -> None:
    house, seen, operator = place
    peer = seen.peers["ward"]
    assert await peer.cries()
    incident = await _incident(house, seen, "ward")
    await operator.acknowledge(incident)

    async def polled() -> bool:
        peer.heard.clear()
        peer.say(EOT + b"2" + ENQ)
        await until(lambda: peer.heard, "an answer to the poll")
        return bytes(peer.heard) == b"1" + ENQ

    await house.sees(polled, "it wants to say something")
    peer.heard.clear()
    await peer.asks(ACK, bytes.fromhex("01 32 02 31 1f 32 30 31 1e 37 1f 36 03 2e"))
    await peer.asks(ACK, EOT)
    await operator.sees(incident, ("taken", "told"))


async def test_a_siren_behind_a_mapping_file_is_switched_off(place: tuple[DeviceHouse, Street, Operator]) -> None:
    house, seen, operator = place
    siren = await Outsider(house.broker.port, "acme/+/set").ready()
    await siren.publish(*press(1))
    incident = await _incident(house, seen, "mapping")
    await operator.acknowledge(incident)
    await until(lambda: siren.received, "the siren hears")
    assert siren.received == [("acme/bt-0042/set", b'{"warning":{"mode":"stop"}}')]
    await operator.sees(incident, ("taken", "told"))
    siren.close()
