"""An edge in a real cluster tests its lines by itself, from the wire to the shard's disk, and says so when alarms do not come through."""

import re
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from zlib import crc32

import httpx
import pytest
import yaml
from cluster.cluster import STREETS, Cluster, Plan

from gateway.core.shards import CATCH_ALL

SHARDS = 2
WEARABLES = 5
POINTS = ("wearables-e0", "station-replies")


class TestedCluster(Cluster):
    """Every line is probed each second; a sign of life every half second, to a file a part."""

    __test__ = False

    def configuration(self, page: int, console: int) -> str:
        text = super().configuration(page, console).replace("[self_test]\nenabled = false\n", "[self_test]\nevery_s = 3\nwithin_s = 3\n")
        text += f'[[line]]\nname = "homes"\ncodec = "mapping"\nbroker = "{self.broker.url}"\nedge = "e0"\n'
        text += '[line.options]\nmappings = ["zigbee2mqtt"]\n'
        return f'{text}\n[heartbeat]\nfile = "alive"\ninterval_s = 0.5\n'

    async def __aenter__(self) -> "TestedCluster":
        self.opened: list[httpx.AsyncClient] = []
        await super().__aenter__()
        return self

    async def __aexit__(self, *how: object) -> None:
        for one in self.opened:
            await one.aclose()
        await super().__aexit__(*how)

    def beats(self) -> set[str]:
        return {file.name for file in (self.folder / "data").glob("alive-*")}

    def rows_of(self, table: str, where: str) -> list[tuple[object, ...]]:
        """How many of every shard, where there are any."""
        every = (f"SELECT {n}, count(*) FROM shard_{n}.{table} WHERE {where} HAVING count(*) > 0" for n in range(SHARDS))
        return self.postgres.rows(" UNION ALL ".join(every) + " ORDER BY 1")

    def told(self) -> list[tuple[object, ...]]:
        """(phase, point, what was missing) of what the journal says about self-tests."""
        sql = "SELECT phase, facts::json->'detail'->>'point', facts::json->'detail'->>'reason' FROM shard_0.journal"
        return self.postgres.rows(f"{sql} WHERE kind = 'self_test_missed' ORDER BY seq")


def watched_names() -> set[str]:
    """The metrics that alert rules of the group gateway_cluster and the dashboard of several machines use."""
    config = Path(__file__).parents[2] / "config"
    groups = yaml.safe_load((config / "prometheus" / "gateway.rules.yml").read_text())["groups"]
    rules = [rule["expr"] for group in groups if group["name"] == "gateway_cluster" for rule in group["rules"]]
    texts = [*rules, (config / "grafana" / "dashboards" / "cluster.json").read_text()]
    names = {name for text in texts for name in re.findall(r"\bgateway_[a-z0-9_]+", text)} - {"gateway_cluster"}
    assert {"gateway_shard_owned", "gateway_bus_lag_seconds", "gateway_bus_under_way"} <= names
    return names


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[TestedCluster]:
    async with TestedCluster(tmp_path, Plan(edges=1, cores=1, consoles=1, servers=1, shards=SHARDS, wearables=WEARABLES)) as found:
        for name in found.cores:  # an edge that is tested before anybody owns a shard misses twice, and says so
            found.start(name)
        await found.sees(found._all_owned, "every shard has an owner")
        await found.start_rest()
        yield found


async def test_an_edge_tests_its_lines_to_the_disk_of_the_shard_and_says_when_nothing_comes_through(cluster: TestedCluster) -> None:
    def series(name: str, point: str, *more: str) -> str:
        labels = sorted([f'line="{point}"', f'point="{point}"', *more])
        return f"{name}{{{','.join(labels)}}}"

    async def seen_back() -> bool:
        metrics = await cluster.metrics("e0")
        return all(metrics.get(series("gateway_self_test_up", point)) == 1 for point in POINTS)

    await cluster.sees(seen_back, "every line is tested and seen back")
    page = await on_the_page(cluster)
    metrics = await cluster.metrics("e0")
    for point in POINTS:
        for stage in ("connect", "receipt", "bus", "committed"):
            assert metrics.get(series("gateway_self_test_seconds_count", point, f'stage="{stage}"'), 0) > 0, (point, stage)
    exposed = {series.partition("{")[0] for name in ("e0", "c0") for series in await cluster.metrics(name)}
    assert watched_names() - exposed == set(), "rules and dashboards of a cluster ask for what nobody tells"
    assert cluster.rows_of("journal", "device = 'self-test'") == [], "a test is in no journal"
    assert cluster.rows_of("incident", "true") == []

    async def all_beat() -> bool:
        return cluster.beats() == {"alive-edge-e0", "alive-shard-0", "alive-shard-1"}

    await cluster.sees(all_beat, "the edge and every shard give a sign of life of their own")

    assert (await cluster.metrics("c0"))['gateway_bus_lag_seconds{shard="0"}'] < 10
    cluster.kill("c0")

    async def says_no() -> bool:
        withheld = (await cluster.metrics("e0")).get('gateway_heartbeats_withheld_total{reason="self_test"}', 0)
        return withheld > 0 and (await cluster.http.get(f"{cluster.pages['e0']}/readyz")).status_code == 503

    await cluster.sees(says_no, "without its shard's core the edge is not ready and gives no sign of life")

    async def missed_twice() -> bool:
        missed = series("gateway_self_test_missed_total", "wearables-e0", 'reason="not_committed"')
        return (await cluster.metrics("e0")).get(missed, 0) >= 2

    await cluster.sees(missed_twice, "what did not come back is counted, and why")

    async def told_all() -> bool:  # both points' misses are on the bus before the edge dies
        metrics = await cluster.metrics("e0")
        return all(metrics.get(series("gateway_self_test_missed_total", point, 'reason="not_committed"'), 0) > 2 for point in POINTS)

    await cluster.sees(told_all, "both lines were missed")
    await cluster.sees(partial(says, page, {"failing"}, {"not_committed"}), "the page says what is missing")
    cluster.kill("e0")
    await cluster.sees(partial(says, page, {"failing"}, {"line_down"}), "the lines of an edge that does not answer are down on the page")
    cluster.start("c0")

    async def raised() -> bool:
        return {(phase, point) for phase, point, _ in cluster.told()} >= {("raise", point) for point in POINTS}

    await cluster.sees(raised, "the misses are incidents")
    assert {reason for _, _, reason in cluster.told()} == {"self_test_not_committed"}

    cluster.start("e0")  # it remembers what was told, and ends it
    await cluster.stands()

    async def cleared() -> bool:
        return sorted(point for phase, point, _ in cluster.told() if phase == "clear") == sorted(POINTS)

    await cluster.sees(cleared, "the incidents end when alarms come through again, also after a restart of the edge")
    assert len(cluster.told()) == 2 * len(POINTS)
    await cluster.sees(partial(says, page, {"good"}, {""}), "the page says that alarms come through again")

    incidents = cluster.rows_of("incident", "true")
    await somebodys(cluster, "self-test", next(f"p-{n}" for n in range(WEARABLES) if crc32(f"street-{n % STREETS}".encode()) % SHARDS == CATCH_ALL))
    await cluster.sees(partial(says_of, page, "wearables-e0", "not_marked"), "the edge learns it before it sends")
    assert cluster.rows_of("journal", "device = 'self-test'") == [], "nobody was cried for, not even once"
    assert cluster.rows_of("incident", "true") == incidents


async def somebodys(cluster: TestedCluster, device: str, person: str) -> None:
    """The register's file gives it to somebody of the shard that had it when it was nobody's; the core has read it, the edge has not."""

    async def version() -> set[str]:
        return {name for name, value in (await cluster.metrics("c0")).items() if name.startswith("gateway_config_info{") and value == 1}

    before = await version()
    devices = cluster.folder / "districts" / "province" / "devices.csv"
    head, *rows = devices.read_text("utf-8").splitlines()
    like = next(row for row in rows if f",{person}," in row)
    devices.write_text("\n".join([head, *rows, like.replace(like.split(",")[0], device, 1)]) + "\n", "utf-8")
    process = cluster.servers["c0"].process
    assert process is not None
    process.send_signal(signal.SIGHUP)

    async def is_read() -> bool:
        return await version() != before

    await cluster.sees(is_read, "the core has read the register again")


async def says_of(page: httpx.AsyncClient, point: str, missing: str) -> bool:
    rows = (await page.get("/api/v1/self-test")).json()["self_test"]["points"]
    return [row["missing"] for row in rows if row["name"] == point] == [missing]


async def on_the_page(cluster: TestedCluster) -> httpx.AsyncClient:
    """The console shows what the edge found out, also of the profiles of its mapping line, and has it probe a point at once."""
    page = httpx.AsyncClient(base_url=cluster.consoles["page0"], timeout=20, trust_env=False)
    cluster.opened.append(page)
    await cluster.sees(partial(says, page, {"good"}, {""}), "the results are on the page")
    shown = (await page.get("/api/v1/self-test")).json()["self_test"]
    rows = {row["name"]: row for row in shown["points"]}
    assert (shown["state"], rows.keys()) == ("good", {*POINTS, "homes"})
    assert {"connect", "receipt", "bus", "committed"} <= rows["wearables-e0"]["stages"].keys()
    headers = {"x-csrf": (await page.get("/api/v1/session")).json()["csrf"]}
    answer = await page.post("/api/v1/self-test", json={"point": "wearables-e0"}, headers=headers)
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["points"]
    assert (row["name"], row["missing"], row["sent"] > rows["wearables-e0"]["sent"]) == ("wearables-e0", "", True)
    lines = {line["id"]: line["profiles"] for line in (await page.get("/api/v1/lines")).json()["lines"]}
    assert [(one["name"], one["state"]) for one in lines["homes"]] == [("zigbee2mqtt", "running")]
    return page


async def says(page: httpx.AsyncClient, states: set[str], missing: set[str]) -> bool:
    """Are these the states of the points whose lines are probed, and what is missing there?"""
    try:
        answer = await page.get("/api/v1/self-test")
    except httpx.HTTPError:
        return False
    if answer.status_code != 200:
        return False
    rows = [row for row in answer.json()["self_test"]["points"] if row["name"] in POINTS]
    return {row["state"] for row in rows} == states and {row["missing"] for row in rows} == missing
