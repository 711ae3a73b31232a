"""Stand-ins for the gateway, written by hand for these tests: a station on the serial cable, and a responder on the broker that orders at once."""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest

from simulators.mqtt_link import Client


class PagingStation:
    """An ESPA station 2 in its own thread on the slave end: ACK when selected, ACK or NAK for a block by a simple XOR."""

    def __init__(self, path: Path, answer: Callable[[bytes, int], bytes] | None = None) -> None:
        self.blocks: list[bytes] = []
        self.polls = 0
        self._answer = answer or (lambda block, number: b"\x06" if good(block) else b"1\x15")
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ended = False
        self._thread.start()

    def gone(self, link: Path) -> bool:
        """Is another terminal behind the link now?"""
        with contextlib.suppress(OSError):
            return not self._thread.is_alive() or os.ttyname(self._file) != os.path.realpath(link)
        return True

    def close(self) -> None:
        """End: nothing is read any more."""
        self._ended = True
        self._thread.join(2)
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _serve(self) -> None:
        os.set_blocking(self._file, False)
        seen = bytearray()
        pause = threading.Event()
        while not self._ended:
            try:
                seen += os.read(self._file, 1000)
            except BlockingIOError:
                pause.wait(0.002)
            except OSError:
                return
            self._understand(seen)

    def _understand(self, seen: bytearray) -> None:
        if seen.endswith(b"\x041\x052\x05"):
            seen.clear()
            os.write(self._file, b"\x06")
        elif seen.endswith(b"\x042\x05"):
            self.polls += 1
            seen.clear()
            os.write(self._file, b"\x04")
        elif 0x01 in seen and 0x03 in seen and len(seen) > seen.index(0x03) + 1:
            block = bytes(seen[seen.index(0x01) : seen.index(0x03) + 2])
            seen.clear()
            self.blocks.append(block)
            os.write(self._file, self._answer(block, len(self.blocks)))


def good(block: bytes) -> bool:
    """Is the last byte the XOR of all between SOH and it?"""
    check = 0
    for byte in block[1:-1]:
        check ^= byte
    return check == block[-1]


class EchoGateway:
    """Orders one station for every wearable alarm, folds what it knows, repeats the open order for a second cry; asks the centre after a decline."""

    def __init__(self, port: int, *, silent_s: float = 0.5, deaf_to: str = "") -> None:
        self.port = port
        self.silent_s = silent_s
        self.deaf_to = deaf_to
        self.replies: list[dict[str, object]] = []
        self._seen: set[bytes] = set()
        self._open: dict[str, dict[str, object]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        async with Client("127.0.0.1", self.port) as client:
            await client.subscribe([("wearables/+/event", 1), ("stations/+/reply", 1)])
            self.ready.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                if message.topic.matches("wearables/+/event"):
                    await self._hear(client, str(message.topic).split("/")[1], message.payload)
                else:
                    reply = json.loads(message.payload)
                    self.replies.append(reply)
                    timer = self._timers.pop(reply["delivery"], None)
                    if timer is not None:
                        timer.cancel()

    async def _hear(self, client: aiomqtt.Client, device: str, payload: bytes) -> None:
        cry = json.loads(payload)
        if cry["kind"] not in ("sos", "fall") or payload in self._seen or device == self.deaf_to:
            return
        self._seen.add(payload)
        order = self._open.get(device)
        if order is None:
            order = self._open[device] = {"delivery": f"d-{device}", "incident": f"i-{device}", "repeat": -1}
            self._timers[f"d-{device}"] = asyncio.create_task(self._escalate(client, device))
        order |= {
            "repeat": int(str(order["repeat"])) + 1,
            "ts": cry["ts"],
            "device": device,
            "kind": cry["kind"],
            "severity": "critical",
            "person": {"id": "p" + device[2:]},
        }
        order["reply_by"] = (datetime.now(UTC) + timedelta(seconds=self.silent_s)).isoformat()
        await client.publish("stations/s-1/dispatch", json.dumps(order), qos=1)

    async def _escalate(self, client: aiomqtt.Client, device: str) -> None:
        await asyncio.sleep(self.silent_s)
        order = self._open[device] | {"delivery": f"e-{device}", "repeat": 0}
        await client.publish("stations/centre/dispatch", json.dumps(order), qos=1)


@pytest.fixture
def district(tmp_path: Path) -> Path:
    """A tiny invented register: four wearables, two panel rooms, two buttons, one couple."""
    folder = tmp_path / "district"
    folder.mkdir()
    people = [("p1", "17400000001"), ("p2", "17400000002"), ("p3", "17400000003"), ("p4", "17400000009"), ("p5", "17400000009"), ("p6", "")]
    (folder / "persons.csv").write_text(
        "id,name,lat,lon,phones\n" + "".join(f"{name},某人,36.3,102.8,{phone}\n" for name, phone in people), encoding="utf-8"
    )
    devices = [
        *((f"w-{number}", "wearables", f"p{number}") for number in (1, 2, 3, 6)),
        ("201", "corridor-panel", ""),
        ("202", "corridor-panel", "p6"),
    ]
    devices += [("0000A1:2", "corridor-buttons", "p4"), ("0000A2", "corridor-buttons", "p5")]
    (folder / "devices.csv").write_text("id,line,person,place\n" + "".join(f"{name},{line},{person},\n" for name, line, person in devices))
    (folder / "responders.csv").write_text("id,kind,parent,channel\ns-1,station,centre,mqtt\ncentre,street_centre,,mqtt\n")
    return folder
