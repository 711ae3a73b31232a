"""A whole gateway, Debian's Prometheus and Alertmanager with the files that we ship: what is lost reaches who is on call."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from house import District, House
from prometheus_client.parser import text_string_to_metric_families
from waiting import free_port

from simulators.pbx import Outcome, Pbx
from simulators.wearables import Fleet
from tests.observe.rules import ALERTS, FOLDER, RECORDED, ROOT, selectors
from tests.observe.servers_of_watch import Alertmanager, OnCall, Prometheus

DASHBOARDS = sorted((ROOT / "config" / "grafana" / "dashboards").glob("*.json"))
# Metrics of parts that this one machine does not run; they must stand in the source, and those that nobody has written yet are named here.
NOT_YET: frozenset[str] = frozenset()
GUIDE = ROOT / "docs" / "guide" / "monitoring.md"
OF_PROMETHEUS = frozenset({"up"})
SOURCES = "".join(path.read_text(encoding="utf-8") for folder in ("gateway", "drivers") for path in (ROOT / folder).rglob("*.py"))


def expressions() -> list[str]:
    """Every expression of rules and dashboards."""
    panels = [panel for path in DASHBOARDS for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]]
    return [
        *(alert.expr for alert in ALERTS),
        *RECORDED.values(),
        *(target["expr"] for panel in panels for target in panel.get("targets", ())),
    ]


def in_the_source(metric: str) -> bool:
    base = re.sub(r"_(bucket|count|sum|total)$", "", metric)
    return f'"{base}"' in SOURCES or f'"{base}_total"' in SOURCES


def with_everything_on(house: House) -> None:
    """Parts that the house of the tests leaves out and that show metrics of their own."""
    text = house.config.read_text(encoding="utf-8")
    (house.folder / "page.secret").write_text("invented " * 8)
    page = f'listen = "127.0.0.1:{free_port()}"\npublic_url = "https://page.example"\nsecret_file = "page.secret"'
    text += f'[responder_page]\n{page}\n[heartbeat]\nfile = "alive"\ninterval_s = 1\n'
    house.config.write_text(text, encoding="utf-8")


async def test_from_a_real_gateway_to_who_is_on_call(tmp_path: Path) -> None:
    with OnCall().listening() as on_call:
        async with (
            House(tmp_path, District(wearables=3, rooms=1, buttons=1, callers=1)) as house,
            Alertmanager(tmp_path, on_call.url).running() as manager,
        ):
            with_everything_on(house)
            house.start()
            await house.ready()
            await house.lines_live()
            target = house.console.removeprefix("http://")
            async with Prometheus(tmp_path, target, manager.address).running() as prometheus:
                fired: dict[str, dict[str, Any]] = {}  # as seen last: a scrape that takes a busy machine too long lets an alert pause

                async def fires(name: str) -> bool:
                    found = await prometheus.alerts()
                    fired.update(found)
                    return name in found

                async def glance() -> float:
                    found = (await prometheus.query("gateway:help_would_come:bool"))["data"]["result"]
                    return float(found[0]["value"][1]) if found else -1

                await house.sees(lambda: is_value(prometheus, 'up{job="gateway"}', 1), "Prometheus reads the gateway")
                await every_name_is_exposed(house)
                await house.sees(lambda: as_expected(glance, 1), "help would come")
                for expr in expressions():
                    answer = await prometheus.query(re.sub(r"\$__rate_interval|\$__interval|\$__range", "5m", re.sub(r"\$\{?\w+\}?", ".*", expr)))
                    assert answer["status"] == "success", (expr, answer)

                fleet = Fleet(house.address, prefix="wearables-of-the-test")  # somebody cries and no console is open
                task = asyncio.create_task(fleet.run())
                fleet.send(house.district.wearable(0), "sos")
                await house.sees(lambda: fires("GatewayAlarmsUnwatched"), "an alarm that nobody sees rings")
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

                right = house.config.read_text(encoding="utf-8")
                house.config.write_text(right + "\n[no_such_section]\n", encoding="utf-8")
                house.hang_up()
                await house.sees(lambda: fires("GatewayReloadFailed"), "a configuration with a fault rings")
                house.config.write_text(right, encoding="utf-8")

                await house.broker.stop()
                await house.sees(lambda: fires("GatewayLineLost"), "a broker that is away rings")
                await house.sees(lambda: as_expected(glance, 0), "help would not come")
                await house.sees(lambda: fires("GatewayHeartbeatWithheld"), "the heartbeat that is withheld rings")
                lost = fired["GatewayLineLost"]
                assert lost["labels"]["line"] in ("wearables", "station-replies")
                assert lost["annotations"]["summary"] == f"Line {lost['labels']['line']} is lost: what comes over it is not heard."
                await house.sees(lambda: true(on_call.heard("GatewayLineLost")), "who is on call hears of the line")

                house.kill()
                await house.sees(lambda: fires("GatewayDown"), "a gateway that is dead rings")
                await house.sees(lambda: true(on_call.heard("GatewayDown")), "who is on call hears of the gateway")
                await house.sees(lambda: as_expected(glance, 0), "help would not come from a dead one")
                down = next(one for call in on_call.told for one in call["alerts"] if one["labels"]["alertname"] == "GatewayDown")
                assert down["annotations"]["runbook_url"] == "docs/runbooks/GatewayDown.md"

                rules = await prometheus.rules()
                assert {rule["name"] for rule in rules} == {alert.name for alert in ALERTS} | set(RECORDED)
                assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
                said = json.dumps([call["alerts"] for call in on_call.told], ensure_ascii=False)
                assert "no value" not in said
                assert "{{" not in said


async def every_name_is_exposed(house: House) -> None:
    """A metric that is renamed, or whose label is, would leave an alert silent for ever."""
    async with Pbx(house.hep, seed=1, area_code="0931") as pbx:  # a capture agent speaks, so that it is among the series
        await pbx.call("call", house.district.caller(0), Outcome.ABANDONED, ring_s=0.1, talk_s=0.1)
    answer = await house.get("/metrics")
    assert answer is not None
    families = list(text_string_to_metric_families(answer.text))
    exposed = {re.sub(r"_(bucket|count|sum|total)$", "", family.name) for family in families}
    labels: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    used = {one for expr in expressions() for one in selectors(expr) if ":" not in one.metric}
    missing = {one.metric for one in used if re.sub(r"_(bucket|count|sum|total)$", "", one.metric) not in exposed} - OF_PROMETHEUS
    assert {name for name in missing if not in_the_source(name)} == {
        name for name in NOT_YET if name in {one.metric for one in used} and not in_the_source(name)
    }
    recorded = {one.metric for expr in expressions() for one in selectors(expr) if ":" in one.metric}
    assert recorded <= set(RECORDED)
    told = dict(re.findall(r"^\| `(gateway_\w+)` \| (.*) \|$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    ours = {line.split()[2]: line.split(" ", 3)[3] for line in answer.text.splitlines() if line.startswith("# HELP gateway_")}
    assert {name: text for name, text in ours.items() if told.get(name) != text} == {}, f"write it in {GUIDE.name}, as /metrics says it"
    assert [name for name in told if name not in ours and not in_the_source(name) and not name.startswith("gateway_line_")] == []
    of_scrape = {"job", "instance"}
    wrong = [(one.metric, name) for one in used for name in one.labels - of_scrape if one.metric in labels and name not in labels[one.metric]]
    assert wrong == []


def test_what_was_not_yet_there_is_taken_off_the_list() -> None:
    assert {name for name in NOT_YET if in_the_source(name)} == set(), "it is there now: remove it from NOT_YET"


def test_the_files_that_are_shipped_name_each_other() -> None:
    config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    assert [path.name for path in FOLDER.glob("*.rules.yml") if f"- {path.name}" not in config] == []


async def is_value(prometheus: Prometheus, expr: str, wanted: float) -> bool:
    found = (await prometheus.query(expr))["data"]["result"]
    return bool(found) and float(found[0]["value"][1]) == wanted


async def as_expected(value, wanted: float) -> bool:
    return await value() == wanted


async def true(value: bool) -> bool:
    return value
