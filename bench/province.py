"""A province on paper, and a part of it for real: `python bench/province.py [PARTS…]`; writes bench/results/province.md and province.svg.

On paper: a day of 4,000,000 elders with a storm, simulated (gateway.capacity). For real: one PARTS-th of its rates (20 and 4 if not said) on three
NATS servers, PostgreSQL, Mosquitto, two edges, two cores and a console of this machine: calm, storm, calm again, a minute in all. CPU time
predicted and used stand side by side. Costs were measured with each kind alone, so what differs is what the mixture does.
"""

import asyncio
import contextlib
import io
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "house")]  # not bench/ itself, whose cluster.py would hide tests/cluster

from cluster.cluster import Plan  # noqa: E402

from bench.capacity import Answering, ClusterMeter, SupervisedCluster, over, until_quiet  # noqa: E402
from bench.loads import sender  # noqa: E402
from gateway.capacity.costs import measured  # noqa: E402
from gateway.capacity.load import Load  # noqa: E402
from gateway.capacity.model import PARTS, cluster_use, times  # noqa: E402
from gateway.cli import main as gateway  # noqa: E402
from simulators.mqtt_link import BrokerAddress  # noqa: E402

WEARABLES = 12_000
CALM_S, STORM_S = 12.0, 36.0
RESULTS = ROOT / "bench" / "results"


async def beside(parts: int) -> str:
    """One PARTS-th, for real: a table."""
    load, costs = times(Load(), 1 / parts), measured()
    calm, storm = load.alarms_s(load.storm_at), load.storm_s
    with tempfile.TemporaryDirectory(prefix="province-") as name:
        async with SupervisedCluster(Path(name), Plan(wearables=WEARABLES, consoles=1)) as cluster:
            await cluster.start_all()
            async with Answering(BrokerAddress.parse(cluster.broker.url)) as answering:
                meter = ClusterMeter(cluster)
                await until_quiet(meter.events)
                plan, loop = cluster.plan, asyncio.get_running_loop()
                used, began = meter.used(), loop.time()
                whole = 2 * CALM_S + STORM_S
                beats = [
                    sender(cluster.broker.port, [plan.topic(n) for n in range(edge, WEARABLES, 2)], "heartbeat", load.heartbeats_s / 2, whole)
                    for edge in range(2)
                ]
                first = 0
                for rate, seconds in ((calm, CALM_S), (storm, STORM_S), (calm, CALM_S)):
                    count = max(1, round(rate * seconds))
                    topics = [plan.topic(n) for n in range(first, first + count)]
                    first += count
                    begin = loop.time()
                    await over(sender(cluster.broker.port, topics, "sos", rate, seconds))
                    await asyncio.sleep(max(0.0, begin + seconds - loop.time()))  # the calm itself
                for process in beats:
                    await over(process)
                await until_quiet(meter.events)
                took, after = loop.time() - began, meter.used()
                assert answering.stations.counts.orders >= first * 0.95, f"{answering.stations.counts.orders} orders of {first} cries"
    predicted = dict.fromkeys(PARTS, 0.0)
    nothing = cluster_use(costs, QUIET, 2, 2, 1, 0.0, 0.0)
    for rate, seconds in ((calm, 2 * CALM_S), (storm, STORM_S)):
        for part, share in cluster_use(costs, QUIET, 2, 2, 1, load.heartbeats_s, rate).items():
            predicted[part] += (share - nothing[part]) * seconds
    rows = []
    for part in PARTS:
        model, real = predicted[part] + nothing[part] * took, after[part] - used[part]
        rows.append(f"| {part} | {model:.2f} | {real:.2f} | {_ratio(model, real)} |")
    head = f"**1 : {parts}** ({load.heartbeats_s:.0f} heartbeats/s, {storm:.2f} alarms/s in the storm, {whole:.0f} s, {first} alarms)"
    return "\n".join([head, "", "| part | predicted, s CPU | used, s CPU | used of predicted |", "|---|---|---|---|", *rows, ""])


QUIET = Load(calls_day=0, consoles=0, open_incidents=1)  # what the small cluster has beside its rates: no calls, a console process without pages


def _ratio(predicted: float, real: float) -> str:
    return f"{real / predicted:.0%}" if predicted > 0.05 else "–"


def main() -> None:
    parts = [int(word) for word in sys.argv[1:]] or [20, 4]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        gateway(["capacity", "--plot", str(RESULTS / "province.svg")])
    tables = [asyncio.run(beside(number)) for number in parts]
    text = f"# A province\n\nBy `python bench/province.py` on {datetime.now(UTC).date()}.\n\n![A day, and growth](province.svg)\n\n"
    text += f"```\n{said.getvalue().strip()}\n```\n\n"
    text += "## A part of it for real\n\nTwo edges, two cores, one console, all on two cores of this machine that others use too.\n\n" + "\n".join(
        tables
    )
    (RESULTS / "province.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
