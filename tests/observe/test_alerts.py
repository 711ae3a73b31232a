"""Each alert fires when it should and keeps quiet when it should (Prometheus' own promtool judges), and each has a page to read at night."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from servers import program

from tests.observe.cases import CASES, Case
from tests.observe.rules import ALERTS, CHINESE, FOLDER, RECORDING, RULES, RUNBOOKS, Selector, selectors

NAMES = {alert.name for alert in ALERTS}
BY_NAME = {alert.name: alert for alert in ALERTS}
WHAT = ("What it means", "What is in danger", "Look first", "Cure", "If that does not help", "Whom to tell")


def test_an_expression_is_read_as_it_is_meant() -> None:
    """Else a metric that is renamed would not be seen (test_end_to_end compares what is read here with a real gateway)."""
    expr = 'sum by (line) (rate(gateway_a_total{line=~"x",what="y"}[5m])) / on(line) up{job="g"} > 0.5 or gateway:b:p99_5m unless gateway_c offset 5m'
    assert selectors(expr) == {
        Selector("gateway_a_total", frozenset({"line", "what"})),
        Selector("up", frozenset({"job"})),
        Selector("gateway:b:p99_5m", frozenset()),
        Selector("gateway_c", frozenset()),
    }


def test_each_alert_has_a_case_and_each_case_an_alert() -> None:
    assert {case.alert for case in CASES} == NAMES
    assert len(NAMES) == len(ALERTS), "two alerts of one name"


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    for folder in (RUNBOOKS, CHINESE):
        assert {page.stem for page in folder.glob("*.md")} - {"README"} == NAMES


def test_the_index_names_each_runbook_once_with_its_severity_and_what_it_says() -> None:
    for folder, summary in ((RUNBOOKS, "summary"), (CHINESE, "summary_zh")):
        rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \| (.*) \|$", (folder / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
        said = {alert.name: (alert.severity, re.sub(r"{{.*?}}", "", alert.annotations[summary])) for alert in ALERTS}
        assert {name: (severity, re.sub(r"\*\w+\*", "", text)) for name, _, severity, text in rows} == said
        assert len(rows) == len(ALERTS)
        assert all(name == page for name, page, *_ in rows)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_says_what_it_must(alert) -> None:
    assert alert.severity in ("critical", "warning")
    assert set(alert.annotations) == {"summary", "summary_zh", "description", "runbook_url", "runbook_url_zh"}
    assert alert.annotations["runbook_url"] == f"docs/runbooks/{alert.name}.md"
    assert alert.annotations["runbook_url_zh"] == f"docs/runbooks/zh-CN/{alert.name}.md"
    assert re.search(r"[\u4e00-\u9fff]", alert.annotations["summary_zh"])
    asked = set(re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values())))
    assert all(asked <= set(case.labels) for case in CASES if case.alert == alert.name), "a label that this alert does not have"


def test_each_wait_and_each_want_of_one_has_its_reason() -> None:
    text = RULES.read_text(encoding="utf-8")
    blocks = re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]
    assert [block.split()[0] for block in blocks if not re.search(r"^ +(for: \w+ +# \S|# no for: \S)", block, flags=re.MULTILINE)] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_runbook_answers_the_questions_of_the_night(alert) -> None:
    text = (RUNBOOKS / f"{alert.name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == list(WHAT)
    assert all(len(part.strip()) > 20 for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])
    assert re.search(r"^\*\*[^*\n]*[\u4e00-\u9fff]", text, flags=re.MULTILINE), "a line in Chinese"


def promtool(*arguments: str) -> None:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_reads_the_files() -> None:
    promtool("check", "config", str(FOLDER / "prometheus.yml"))
    promtool("check", "rules", str(RULES), str(RECORDING))


def metrics_of(case: Case) -> set[str]:
    return {name.partition("{")[0] for series in (case.fires, case.quiet) for name in series}


def packed(cases: list[Case]) -> list[list[Case]]:
    """In groups that share a clock and no metric: each group is one world for promtool, which reckons every rule anew in each."""
    groups: list[list[Case]] = []
    for case in cases:
        for group in groups:
            if not metrics_of(case) & set().union(*map(metrics_of, group)):
                group.append(case)
                break
        else:
            groups.append([case])
    return groups


def world(cases: list[Case], *, fires: bool) -> dict[str, object]:
    series = [{"series": name, "values": values} for case in cases for name, values in (case.fires if fires else case.quiet).items()]
    return {"interval": cases[0].step, "input_series": series, "promql_expr_test": [expectation(case, fires=fires) for case in cases]}


def expectation(case: Case, *, fires: bool) -> dict[str, object]:
    labels = {"alertname": case.alert, "alertstate": "firing", "severity": BY_NAME[case.alert].severity, **case.labels}
    written = ",".join(f'{name}="{value}"' for name, value in labels.items())
    samples = [{"labels": f"ALERTS{{{written}}}", "value": 1}] if fires else []
    return {"expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}', "eval_time": case.at, "exp_samples": samples}


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "quiet"])
def test_each_alert_in_promtool(tmp_path: Path, fires: bool) -> None:
    """One file a step of the clock: what waits for a week is reckoned in hours."""
    files = []
    for step in sorted({case.step for case in CASES}):
        tests = [world(group, fires=fires) for group in packed([case for case in CASES if case.step == step])]
        files.append(tmp_path / f"{step}.yml")
        content = {"rule_files": [str(RECORDING), str(RULES)], "evaluation_interval": step, "tests": tests}
        files[-1].write_text(yaml.safe_dump(content, allow_unicode=True))
    promtool("test", "rules", *map(str, files))


def test_what_is_recorded(tmp_path: Path) -> None:
    """Shares and the one glance, by numbers worked out by hand."""
    order = 'gateway_order_seconds_bucket{channel="mqtt",le="60.0"}'
    well = {
        'up{job="gateway"}': "1x20",
        "gateway_store_down": "0x20",
        'gateway_line_state{line="panel",state="lost"}': "0x20",
        'gateway_unaccounted{line="panel"}': "0x20",
        "gateway_incidents_unaccounted": "0x20",
        "gateway_audit_oldest_overdue_seconds": "0x20",
    }

    def asked(series: dict[str, str], expr: str, *samples: tuple[str, float]) -> dict[str, object]:
        inputs = [{"series": name, "values": values} for name, values in series.items()]
        expected = [{"labels": labels, "value": value} for labels, value in samples]
        return {"interval": "15s", "input_series": inputs, "promql_expr_test": [{"expr": expr, "eval_time": "4m", "exp_samples": expected}]}

    glance = "gateway:help_would_come:bool"
    share = "gateway:order_within_60s:share_1h"
    tests = [
        asked({order: "0+9x20", 'gateway_order_seconds_count{channel="mqtt"}': "0+10x20"}, share, (share, 0.9)),
        asked(well, glance, (glance, 1)),
        asked({**well, "gateway_self_test_up": "1x20"}, glance, (glance, 1)),
        asked({**well, "gateway_self_test_up": "0x20"}, glance, (glance, 0)),
        asked({**well, 'gateway_line_state{line="panel",state="lost"}': "1x20"}, glance, (glance, 0)),
        asked({**well, "gateway_store_down": "1x20"}, glance, (glance, 0)),
        asked({**well, 'gateway_unaccounted{line="panel"}': "-1x20"}, glance, (glance, 0)),
        asked({**well, "gateway_audit_oldest_overdue_seconds": "31x20"}, glance, (glance, 0)),
        asked({'up{job="gateway"}': "0x20"}, glance, (glance, 0)),
        asked({'up{job="node"}': "1x20"}, glance, (glance, 0)),
    ]
    file = tmp_path / "recorded.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RECORDING)], "evaluation_interval": "15s", "tests": tests}))
    promtool("test", "rules", str(file))
