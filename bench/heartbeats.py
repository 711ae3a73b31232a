"""What heartbeats cost a whole gateway, and what they do to alarms: `python bench/heartbeats.py [DEVICES] [SECONDS] [ALARMS_PER_S]`.

DEVICES wearables, all registered and supervised, report once a minute through a real Mosquitto (QoS 1) while others cry. Phases of alarms alone
and of alarms beside heartbeats take turns, three times each, so that a machine whose speed drifts is fair to both. An alarm's time is from
its publish to its order at a station's topic; CPU is the gateway's process alone. Aim: the alarms' p99 is not more than doubled.
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "house")]  # not bench/ itself: bench.py would hide the folder

from house import District, House  # noqa: E402

from bench.loads import cpu_s, percentile, rss  # noqa: E402
from simulators.mqtt_link import BrokerAddress  # noqa: E402

TURNS = 3
INTERVAL_S = 60.0  # every device reports once in it
SENDERS = 2  # processes that send heartbeats


class SupervisedHouse(House):
    """Every wearable is of a class, so each heartbeat moves a deadline."""

    def write_config(self) -> None:
        super().write_config()
        text = self.config.read_text()
        text = text.replace('name = "wearables"\n', 'name = "wearables"\ndevice_class = "watch"\n')
        self.config.write_text(text + '\n[[device_class]]\nname = "watch"\ninterval_s = 600\ngrace_s = 300\n')


def beat(url: str, first: int, count: int, seconds: float) -> None:
    """`count` devices, each once a minute, spread evenly."""
    address = BrokerAddress.parse(url)
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)
    client.connect(address.host, address.port)
    client.loop_start()
    begin, sent, rate = time.monotonic(), 0, count / INTERVAL_S
    while (now := time.monotonic() - begin) < seconds:
        while sent < now * rate:
            body = json.dumps({"kind": "heartbeat", "ts": time.time_ns() // 1_000_000, "battery": 80})
            info = client.publish(f"wearables/w-{first + sent % count:06}/event", body, qos=1)
            sent += 1
        time.sleep(0.005)
    info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


async def phase(house: House, first: int, rate: float, seconds: float, devices: int) -> tuple[list[float], float]:
    """Cry `rate` times a second for so long, each time somebody else. Gives milliseconds from cry to order, and CPU seconds."""
    beats = [
        multiprocessing.get_context("spawn").Process(target=beat, args=(house.broker.url, n * (devices // SENDERS), devices // SENDERS, seconds))
        for n in range(SENDERS)
    ]
    cried: dict[str, float] = {}
    took: list[float] = []
    async with aiomqtt.Client(house.address.host, house.address.port) as ear, aiomqtt.Client(house.address.host, house.address.port) as mouth:
        await ear.subscribe("stations/+/dispatch", 1)

        async def listen() -> None:
            async for message in ear.messages:
                device = json.loads(bytes(message.payload))["device"]
                if device in cried:
                    took.append(1000 * (time.monotonic() - cried.pop(device)))

        listening = asyncio.create_task(listen())
        for process in beats if devices else ():
            process.start()
        await asyncio.sleep(2)  # the senders' start is not measured
        used, begin = cpu_s(house.process.pid), time.monotonic()
        for number in range(int(rate * (seconds - 4))):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            device = f"w-{first + number:06}"
            cried[device] = time.monotonic()
            await mouth.publish(f"wearables/{device}/event", json.dumps({"kind": "sos", "ts": time.time_ns() // 1_000_000}), qos=1)
        used = cpu_s(house.process.pid) - used
        for _ in range(1000):
            if not cried:
                break
            await asyncio.sleep(0.02)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    for process in beats if devices else ():
        while process.is_alive():  # noqa: ASYNC110 a process tells no loop
            await asyncio.sleep(0.02)
    assert not cried, f"{len(cried)} orders are missing"
    return took, used


async def main(devices: int, seconds: float, rate: float) -> None:
    with tempfile.TemporaryDirectory(prefix="heartbeats-") as name:
        house = SupervisedHouse(Path(name), District(wearables=devices, rooms=1, buttons=1, callers=1))
        async with house:
            house.start()
            await house.ready()
            await house.lines_live("wearables", "station-replies")
            print(f"{devices} devices registered: {rss(house.process.pid) / 2**20:.0f} MiB after the start", flush=True)
            times: dict[bool, list[float]] = {False: [], True: []}
            p99s: dict[bool, list[float]] = {False: [], True: []}
            cpus: dict[bool, list[float]] = {False: [], True: []}
            first = 0
            for turn in range(TURNS):
                for beating in (False, True) if turn % 2 == 0 else (True, False):
                    took, used = await phase(house, first, rate, seconds, devices if beating else 0)
                    first += int(rate * seconds)
                    times[beating] += took
                    p99s[beating].append(percentile(took, 0.99))
                    cpus[beating].append(used / (seconds - 4))
                    words = f"{devices / INTERVAL_S:.0f} heartbeats/s" if beating else "alone"
                    figures = f"p50 {percentile(took, 0.5):.2f} ms, p99 {p99s[beating][-1]:.2f} ms, CPU {100 * cpus[beating][-1]:.0f} % of a core"
                    print(f"{rate:g} alarms/s, {words}: {figures}", flush=True)
            more = statistics.median(cpus[True]) - statistics.median(cpus[False])
            print(f"all alarms: alone p99 {percentile(times[False], 0.99):.2f} ms, beside heartbeats {percentile(times[True], 0.99):.2f} ms")
            print(f"p99, ratio of the medians: {statistics.median(p99s[True]) / statistics.median(p99s[False]):.2f} (aim: at most 2)")
            print(f"a heartbeat costs {1e6 * more / (devices / INTERVAL_S):.0f} µs CPU; memory {rss(house.process.pid) / 2**20:.0f} MiB")
            assert await house.unbalanced() == {}
            assert await house.stop() == 0


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]] + [100_000, 30, 50][len(sys.argv) - 1 :]
    asyncio.run(main(int(given[0]), given[1], given[2]))
