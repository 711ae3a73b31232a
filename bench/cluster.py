"""What a cluster takes, with one, two and four edges and two cores: `python bench/cluster.py [ALARMS] [EDGES…]`.

Everything runs on this one machine: three NATS servers, PostgreSQL with fsync, Mosquitto, the edges and the cores. For each number of edges ALARMS
cries of WEARABLES devices come as fast as the broker takes them; measured are the time until all are written, and the CPU time of every part
per alarm. On machines of their own a part takes as many alarms a second as its CPU time allows: the table says which is full first, and that is
the next bottleneck. Writes bench/results/cluster.md and cluster.svg.
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "house")]  # not bench/ itself: this file would hide tests/cluster

from cluster.cluster import Cluster, Plan  # noqa: E402
from cluster.witness import Stations  # noqa: E402

from bench.loads import cpu_s  # noqa: E402

WEARABLES = 6000
PATIENCE_S = 300.0
COUNT = " UNION ALL ".join(f"SELECT count(*) FROM shard_{shard}.journal WHERE kind = 'sos'" for shard in range(4))


def cry(port: int, plan: Plan, edge: int, count: int, go: "multiprocessing.synchronize.Event") -> None:
    """As fast as the broker takes them; returns when all are confirmed."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    mine = [number for number in range(plan.wearables) if number % plan.edges == edge]
    go.wait()
    info = None
    for turn in range(count):
        body = json.dumps({"kind": "sos", "ts": time.time_ns() // 1_000_000, "seq": turn})
        info = client.publish(plan.topic(mine[turn % len(mine)]), body, qos=1)
    if info is not None:
        info.wait_for_publish(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


async def measure(folder: Path, edges: int, alarms: int) -> dict[str, float]:
    """One play: seconds and CPU by part."""
    plan = Plan(edges=edges, cores=2, shards=4, wearables=WEARABLES)
    async with Cluster(folder, plan) as cluster:
        await cluster.start_all()
        stations = Stations(cluster.broker.port)
        await asyncio.to_thread(stations.ready.wait)
        go = multiprocessing.get_context("spawn").Event()
        spawn = multiprocessing.get_context("spawn")
        senders = [spawn.Process(target=cry, args=(cluster.broker.port, plan, edge, alarms // edges, go)) for edge in range(edges)]
        for sender in senders:
            sender.start()
        await asyncio.sleep(3)  # they connect
        before = {name: cpu_s(server.process.pid) for name, server in cluster.servers.items() if server.process is not None}
        broker = cluster.broker._process
        before["mosquitto"] = cpu_s(broker.pid) if broker is not None else 0.0
        began = time.monotonic()
        go.set()
        written = 0
        wanted = alarms // edges * edges
        while written < wanted:
            assert time.monotonic() - began < PATIENCE_S, f"{written} of {wanted} written"
            await asyncio.sleep(0.2)
            rows = await asyncio.to_thread(
                cluster.postgres.rows, " UNION ALL ".join(f"SELECT count(*) FROM shard_{n}.journal WHERE kind = 'sos'" for n in range(4))
            )
            written = sum(int(str(row[0])) for row in rows)
        all_written = time.monotonic() - began
        count = -1
        while count != len(stations.orders):
            count = len(stations.orders)
            await asyncio.sleep(1)
        after = {name: cpu_s(server.process.pid) for name, server in cluster.servers.items() if server.process is not None}
        after["mosquitto"] = cpu_s(broker.pid) if broker is not None else 0.0
        for sender in senders:
            sender.join()
        stations.close()
        spent = {name: after[name] - before[name] for name in after}
        told = {
            "edge": sum(spent[name] for name in cluster.edges),
            "core": sum(spent[name] for name in cluster.cores),
            "nats": sum(spent[name] for name in cluster.nats),
            "postgres": spent["postgres"],
            "mosquitto": spent["mosquitto"],
        }
        return {"edges": edges, "alarms": wanted, "written_s": all_written, "orders": float(count)} | {
            f"{name}_us": value / wanted * 1e6 for name, value in told.items()
        }


PARTS = ("mosquitto", "edge", "nats", "core", "postgres")
COLOURS = ("#7a7a7a", "#1f77b4", "#2ca02c", "#d62728", "#9467bd")


def table(found: list[dict[str, float]]) -> str:
    """The report in words and figures."""
    rows = [
        "| edges | alarms/s on this machine | " + " | ".join(f"{part}, µs CPU an alarm" for part in PARTS) + " | orders |",
        "|" + "---|" * (len(PARTS) + 3),
    ]
    rows += [
        f"| {one['edges']:.0f} | {one['alarms'] / one['written_s']:,.0f} | "
        + " | ".join(f"{one[f'{part}_us']:.0f}" for part in PARTS)
        + f" | {one['orders']:,.0f} |"
        for one in found
    ]
    best = found[len(found) // 2]
    alone = {part: 1e6 / best[f"{part}_us"] for part in PARTS if best[f"{part}_us"] > 0}
    first = min(alone, key=lambda part: alone[part])
    limits = "\n".join(f"| {part} | {rate:,.0f} |" for part, rate in sorted(alone.items(), key=lambda item: item[1]))
    return (
        "# Cluster\n\n"
        + "\n".join(rows)
        + "\n\nOne processor core for each part, nothing else on it, so many alarms a second:\n\n| part | alarms/s of one core |\n|---|---|\n"
        f"{limits}\n\nFull first: **{first}**.\n"
    )


def plot(found: list[dict[str, float]]) -> str:
    """Bars: CPU per alarm, by part, for each number of edges."""
    high = max(sum(one[f"{part}_us"] for part in PARTS) for one in found)
    width, height, left, bar = 640, 360, 60, 90
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">']
    lines.append(
        f'<rect width="{width}" height="{height}" fill="#fff"/><text x="{left}" y="20">µs of CPU time an alarm, all processes of each part</text>'
    )
    for place, one in enumerate(found):
        y, x = height - 40.0, left + 30 + place * 140
        for part, colour in zip(PARTS, COLOURS, strict=True):
            tall = one[f"{part}_us"] / high * 260
            y -= tall
            lines.append(f'<rect x="{x}" y="{y:.1f}" width="{bar}" height="{tall:.1f}" fill="{colour}"/>')
        lines.append(f'<text x="{x}" y="{height - 22}">{one["edges"]:.0f} edge(s)</text>')
        lines.append(f'<text x="{x}" y="{height - 6}">{one["alarms"] / one["written_s"]:,.0f}/s</text>')
    for place, (part, colour) in enumerate(zip(PARTS, COLOURS, strict=True)):
        y = 50.0 + place * 22
        lines.append(f'<rect x="{width - 150}" y="{y}" width="14" height="14" fill="{colour}"/>')
        lines.append(f'<text x="{width - 130}" y="{y + 12}">{part}</text>')
    return "\n".join(lines) + "\n</svg>\n"


def main() -> None:
    alarms = int(sys.argv[1]) if len(sys.argv) > 1 else 12_000
    counts = [int(word) for word in sys.argv[2:]] or [1, 2, 4]
    found = []
    for edges in counts:
        with tempfile.TemporaryDirectory() as folder:
            found.append(asyncio.run(measure(Path(folder), edges, alarms)))
        print(found[-1], flush=True)
    results = ROOT / "bench" / "results"
    (results / "cluster.md").write_text(table(found))
    (results / "cluster.svg").write_text(plot(found))
    print(table(found))


if __name__ == "__main__":
    main()
