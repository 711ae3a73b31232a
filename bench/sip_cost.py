"""What an alarm costs a whole gateway by SIP MESSAGE (SCAIP) and by MQTT, same store, same run: `python bench/sip_cost.py [RATE] [SECONDS]`.

Each way in turn, twice: RATE a second for SECONDS, then a burst of as many. The senders are processes of their own. A SIP alarm is the
unit's MESSAGE, our 200, our MESSAGE with `<mrs>` and its 200; each way ends with the order at a station's topic. CPU: the gateway's process.
"""

import asyncio
import json
import multiprocessing
import re
import select
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "house")]

from house import District  # noqa: E402
from telephone_house import TelephoneHouse  # noqa: E402

from simulators.mqtt_link import BrokerAddress  # noqa: E402

RUNS = 2
AGAIN_S = 0.5  # T1: unanswered so long, a request is sent again
WINDOW = 200  # requests of a burst that wait for their 200 at once: what is more would only fill the kernel's buffer
BACK = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq):.*\r\n", re.MULTILINE)
Due = float | None


def press_by_mqtt(url: str, first: int, count: int, rate: float) -> None:
    """`count` wearables cry, at `rate` a second (0: all at once)."""
    address = BrokerAddress.parse(url)
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)
    client.connect(address.host, address.port)
    client.loop_start()
    begin = time.monotonic()
    for number in range(count):
        if rate and (ahead := begin + number / rate - time.monotonic()) > 0:
            time.sleep(ahead)
        body = json.dumps({"kind": "sos", "ts": time.time_ns() // 1_000_000, "seq": number})
        info = client.publish(f"wearables/w-{first + number:06}/event", body, qos=1)
    info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def press_by_sip(port: int, first: int, count: int, rate: float) -> None:
    """`count` home units cry; every answer of theirs is given, and nothing is sent twice unless it was not answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        out.bind(("127.0.0.1", 0))
        out.connect(("127.0.0.1", port))
        own = out.getsockname()[1]
        wires = [_message(own, port, first + number) for number in range(count)]
        waiting: dict[bytes, tuple[float, bytes]] = {}
        begin, number, sent_again, replies = time.monotonic(), 0, 0, 0
        while number < count or waiting or replies < count:
            now = time.monotonic()
            while number < count and (now >= begin + number / rate if rate else len(waiting) < WINDOW):
                waiting[b"b%d" % (first + number)] = (now, wires[number])
                out.send(wires[number])
                number += 1
            for key, (since, wire) in list(waiting.items())[:50]:
                if now - since > AGAIN_S:
                    waiting[key] = (now, wire)
                    out.send(wire)
                    sent_again += 1
            while select.select([out], [], [], 0.0005)[0]:
                data = out.recv(65_535)
                if data.startswith(b"SIP/2.0"):
                    waiting.pop(data.partition(b"branch=z9hG4bK")[2].partition(b";")[0], None)
                else:
                    replies += 1
                    out.send(b"SIP/2.0 200 OK\r\n" + b"".join(BACK.findall(data)) + b"Content-Length: 0\r\n\r\n")
        if sent_again:
            print(f"({sent_again} requests were sent again)")


def _message(own: int, port: int, number: int) -> bytes:
    cid = f"7{number:09}"
    body = f"<mrq><ref>{number:08}</ref><mty>ME</mty><cid>{cid}</cid><dty>0003</dty><stc>0010</stc></mrq>"
    return (
        f"MESSAGE sip:arc@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bKb{number};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:{cid}@127.0.0.1>;tag=t{number}\r\nTo: <sip:arc@127.0.0.1:{port}>\r\nCall-ID: c{number}\r\nCSeq: 1 MESSAGE\r\n"
        f"Contact: <sip:{cid}@127.0.0.1:{own}>\r\nContent-Type: application/scaip+xml\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def phase(house: TelephoneHouse, way: str, first: int, count: int, rate: float, arrived: dict[str, float]) -> str:
    """Let them press; gives the line with the figures."""
    target = (press_by_sip, house.sip) if way == "sip" else (press_by_mqtt, house.broker.url)
    sender = multiprocessing.get_context("spawn").Process(target=target[0], args=(target[1], first, count, rate))
    name = house.district.unit if way == "sip" else house.district.wearable
    wanted = {name(first + number) for number in range(count)}
    before, begin = house.cpu_s(), time.monotonic()
    sender.start()
    while not wanted <= arrived.keys():
        await asyncio.sleep(0.02)
        assert time.monotonic() - begin < 120, f"{len(wanted - arrived.keys())} orders are missing"
    while sender.is_alive():  # noqa: ASYNC110 a process tells no loop
        await asyncio.sleep(0.02)
    used = house.cpu_s() - before
    times = sorted(arrived[device] for device in wanted)
    took = times[-1] - times[0]
    kind = f"{rate:g}/s" if rate else f"burst of {count}"
    return f"{way:5} {kind:>14}: {count / took:6.0f} orders/s, {1e6 * used / count:5.0f} µs CPU an alarm, {house.memory_mib():.0f} MiB"


async def main(rate: float, seconds: float) -> None:
    count = int(rate * seconds)
    total = count * 2 * RUNS
    with tempfile.TemporaryDirectory(prefix="sip-cost-") as name:
        district = District(wearables=total, units=total, rooms=1, buttons=1, callers=1)
        house = TelephoneHouse(Path(name), district=district, units="requests_per_s = 100_000")
        async with house:
            house.start()
            await house.ready()
            await house.lines_live("home-units", "wearables")
            arrived: dict[str, float] = {}
            listening = asyncio.create_task(_listen(house, arrived))
            await asyncio.sleep(0.5)
            for run in range(RUNS):
                for turn, speed in enumerate((rate, 0.0)):
                    first = (2 * run + turn) * count
                    for way in ("mqtt", "sip") if run % 2 else ("sip", "mqtt"):
                        print(await phase(house, way, first, count, speed, arrived), flush=True)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            stored = statistics.multimode(row["line"] for row in house.journal() if row["kind"] == "sos")
            assert sorted(map(str, stored)) == ["home-units", "wearables"], "as many of each, each once"
            assert await house.unbalanced() == {}
            assert await house.stop() == 0


async def _listen(house: TelephoneHouse, arrived: dict[str, float]) -> None:
    async with aiomqtt.Client(house.address.host, house.address.port) as client:
        await client.subscribe("stations/+/dispatch", 1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            arrived.setdefault(json.loads(message.payload)["device"], time.monotonic())


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 500, float(sys.argv[2]) if len(sys.argv) > 2 else 4))
