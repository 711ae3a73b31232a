"""CPU of an alarm and of a heartbeat inside one process, from bytes to the order: `python bench/alarm_cost.py [COUNT] [KIND …]`.

No socket and no other process: the codec, the pipeline with its listeners, the store on disk, the outbox, a channel that takes everything. So it says
what the core costs whoever else uses the machine; run it with two trees in turn (PYTHONPATH names the tree) to see what a change is worth.
The wire is measured by mqtt_cost.py, all of it together by run.sh.
"""

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from drivers.contract import Rejected, to_event
from drivers.mqtt.generic import GenericWearable
from gateway import register_files
from gateway.app import GARBAGE, House
from gateway.clock import monotonic, utc_now
from gateway.dispatch.contract import Order
from gateway.event import Event

ROOT = Path(__file__).parents[1]
DEVICES, STATIONS = 20_000, 400
GROUPS = (1, 4, 20, 100)  # messages that arrive together


class Taker:
    """A channel that has everything at once."""

    name = "mqtt"

    def __init__(self) -> None:
        self.taken = 0

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def deliver(self, order: Order) -> None:
        self.taken += bool(order.body)


def make_house(folder: Path) -> House:
    """A district of invented people around Lanzhou, as the benchmark of the whole gateway has it."""
    rng = random.Random(7)

    def place() -> tuple[float, float]:
        return round(36.0 + rng.random() * 0.3, 5), round(103.6 + rng.random() * 0.4, 5)

    (folder / "stations.csv").write_text("\n".join(f"s-{n:03},{lat},{lon}" for n in range(STATIONS) for lat, lon in [place()]))
    (folder / "devices.csv").write_text("\n".join(f"w-{n:06},p-{n:06},Person {n}" for n in range(DEVICES)))
    given = {
        "BENCH_DATA": str(folder),
        "BENCH_STATIONS": str(folder / "stations.csv"),
        "BENCH_DEVICES": str(folder / "devices.csv"),
        "BENCH_HOST": "127.0.0.1",
        "BENCH_PORT": "1",
    }
    subprocess.run([sys.executable, str(ROOT / "bench/systems/gateway/make_config.py")], env=os.environ | given, check=True)
    config = folder / "gateway.toml"
    supervised = config.read_text().replace('codec = "generic"\n', 'codec = "generic"\ndevice_class = "watch"\n')
    config.write_text(supervised + '\n[[device_class]]\nname = "watch"\ninterval_s = 600\ngrace_s = 300\n')
    return House(*register_files.read_all(str(config)))


async def measure(house: House, kind: str, count: int) -> None:
    """Messages of one kind in groups of several sizes; each device but once, so that each alarm is an incident."""
    codec, rng, first = GenericWearable(), random.Random(3), 0
    for group in GROUPS:
        bodies = []
        for number in range(first, first + count):
            said: dict[str, object] = {"kind": kind, "ts": time.time_ns() // 1_000_000, "seq": number, "battery": 80}
            if kind == "sos":
                said |= {"lat": 36.0 + rng.random() * 0.3, "lon": 103.6 + rng.random() * 0.4}
            bodies.append((f"wearables/w-{number % DEVICES:06}/event", json.dumps(said).encode()))
        if kind == "sos":
            first += count
        gc.collect()
        began = time.process_time()
        for start in range(0, count, group):
            events: list[Event | Rejected] = []
            received_at = utc_now()
            for topic, body in bodies[start : start + group]:
                for signal in codec.receive_message(topic, body, False, False, monotonic(), received_at):
                    assert not isinstance(signal, Rejected)
                    events.append(to_event(signal, "wearables", received_at))
            await house.pipeline.receive(events)
        while house.pipeline.waiting or house.pipeline.outbox.under_way:  # noqa: ASYNC110 the last reports
            await asyncio.sleep(0.001)
        print(f"{kind:9} in groups of {group:3}: {(time.process_time() - began) / count * 1e6:6.1f} µs", flush=True)


async def main(count: int, kinds: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="alarm-cost-") as name:
        house = make_house(Path(name))
        house.pipeline.outbox._channels["mqtt"] = Taker()
        house.store.open()
        house.working.supervise(house.config.device_class, {"wearables": "watch"}, house.config.supervision, utc_now())
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        running = asyncio.create_task(house.pipeline.run())
        for kind in kinds:
            await measure(house, kind, count)
        house.pipeline.finish()
        await running
        await house.pipeline.close()
        house.store.close()


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.setswitchinterval(0.0005)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(words[0]) if words else 2000, words[1:] or ("sos", "heartbeat")))
