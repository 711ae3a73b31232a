"""CPU of the MQTT line and of the MQTT channel per message, with a real Mosquitto and no store: `python bench/mqtt_cost.py [RATE] [COUNT]`.

The publisher is a process of its own, so the figures are the receiving (or publishing) process alone, its event loop included.
Ways: `line` (ours), `aiomqtt` (its messages generator with receipts by hand), `channel` (ours). `--uvloop` runs each on uvloop.
"""

import asyncio
import json
import multiprocessing
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from drivers.contract import STORED, Rejected, Verdict
from drivers.lines.broker import BrokerLine, BrokerOptions
from drivers.mqtt.generic import GenericWearable
from gateway.config import LineConfig, MqttChannelConfig
from gateway.dispatch.contract import Order
from gateway.dispatch.mqtt import MqttChannel
from gateway.event import Event, new_id


def publish(port: int, rate: int, count: int) -> None:
    """The outside world: `count` alarms at `rate` a second, QoS 1."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"publisher-{new_id()}")
    client.max_inflight_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    start = time.monotonic()
    for number in range(count):
        body = {"kind": "sos", "ts": time.time_ns() // 1_000_000, "seq": number, "lat": 36.3, "lon": 102.9, "battery": 80}
        info = client.publish(f"wearables/w-{number % 1000:06d}/event", json.dumps(body), qos=1)
        ahead = start + number / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
    info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


class Quiet:
    def live(self) -> None: ...
    def heard(self) -> None: ...
    def suspect(self, reason: str) -> None: ...


async def measure_line(port: int, rate: int, count: int) -> tuple[float, str]:
    seen, groups = 0, 0
    done = asyncio.Event()

    async def emit(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        nonlocal seen, groups
        groups += 1
        seen += len(events)
        if seen >= count:
            done.set()
        return [STORED] * len(events)

    config = LineConfig(name="cost", codec="generic", broker=f"mqtt://127.0.0.1:{port}")
    task = asyncio.create_task(BrokerLine(config, BrokerOptions(client_id=new_id()), GenericWearable()).run(emit, Quiet()))
    await asyncio.sleep(0.5)
    used = await while_publishing(port, rate, count, done.wait)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return used, f"{seen / groups:.1f} messages a group"


async def measure_aiomqtt(port: int, rate: int, count: int) -> tuple[float, str]:
    client = aiomqtt.Client("127.0.0.1", port, identifier=new_id(), clean_session=True, max_inflight_messages=0)
    client._client.manual_ack_set(True)
    done = asyncio.Event()

    async def read() -> None:
        seen = 0
        async for message in client.messages:
            client._client.ack(message.mid, message.qos)
            seen += 1
            if seen >= count:
                done.set()

    async with client:
        await client.subscribe("wearables/+/event", 1)
        task = asyncio.create_task(read())
        used = await while_publishing(port, rate, count, done.wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return used, "no decoding"


async def while_publishing(port: int, rate: int, count: int, finished: Callable[[], Awaitable[object]]) -> float:
    publisher = multiprocessing.get_context("spawn").Process(target=publish, args=(port, rate, count))
    before = time.process_time()
    publisher.start()
    await asyncio.wait_for(finished(), count / rate + 60)
    used = time.process_time() - before
    publisher.join()
    return used


async def measure_channel(port: int, rate: int, count: int) -> tuple[float, str]:
    channel = MqttChannel(MqttChannelConfig(broker=f"mqtt://127.0.0.1:{port}", client_id=new_id()))
    keeper = asyncio.create_task(channel.run())
    body = json.dumps({"delivery": new_id(), "person": {"name": "x" * 20}, "filler": "y" * 250}).encode()
    orders = [Order(delivery=new_id(), incident="i", responder=f"s-{number % 400}", address="", body=body) for number in range(count)]
    await channel.deliver(orders[0])
    waits_s: list[float] = []

    async def deliver(order: Order) -> None:
        begin = time.perf_counter()
        await channel.deliver(order)
        waits_s.append(time.perf_counter() - begin)

    before, start = time.process_time(), time.monotonic()
    tasks = []
    for number, order in enumerate(orders):
        tasks.append(asyncio.create_task(deliver(order)))
        ahead = start + number / rate - time.monotonic()
        if ahead > 0.002:
            await asyncio.sleep(ahead)
    await asyncio.gather(*tasks)
    used = time.process_time() - before
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    waits_s.sort()
    return used, f"p50 {waits_s[count // 2] * 1000:.2f} ms, p99 {waits_s[count * 99 // 100] * 1000:.2f} ms, task of the caller included"


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    rate, count = int(words[0]) if words else 1000, int(words[1]) if len(words) > 1 else 5000
    loop_factory = asyncio.new_event_loop
    if "--uvloop" in sys.argv:
        import uvloop

        loop_factory = uvloop.new_event_loop
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "m.conf").write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 1000\nmax_queued_messages 100000\n"
        )
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with subprocess.Popen([program, "-c", f"{folder}/m.conf"], stderr=subprocess.DEVNULL) as broker:
            time.sleep(0.5)
            try:
                for name, way in (("aiomqtt", measure_aiomqtt), ("line", measure_line), ("channel", measure_channel)):
                    with asyncio.Runner(loop_factory=loop_factory) as runner:
                        used, note = runner.run(way(port, rate, count))
                    print(f"{name:8} {rate}/s  {used / count * 1e6:6.1f} µs CPU a message  ({note})", flush=True)
            finally:
                broker.terminate()


if __name__ == "__main__":
    main()
