"""What stands in config/prometheus/, read for the tests: alerts, what is recorded, and which metrics and labels an expression uses."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "prometheus"
RULES = FOLDER / "gateway.rules.yml"
RECORDING = FOLDER / "recording.rules.yml"
RUNBOOKS = ROOT / "docs" / "runbooks"
CHINESE = RUNBOOKS / "zh-CN"


class Alert(NamedTuple):
    name: str
    group: str
    expr: str
    wait: str  # its `for`, "" = none
    severity: str
    annotations: dict[str, str]


def _rules(path: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(group["name"], rule) for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


ALERTS = [
    Alert(rule["alert"], group, rule["expr"], rule.get("for", ""), rule["labels"]["severity"], rule["annotations"]) for group, rule in _rules(RULES)
]
RECORDED = {rule["record"]: rule["expr"] for _, rule in _rules(RECORDING)}


class Selector(NamedTuple):
    metric: str
    labels: frozenset[str]


def selectors(expr: str) -> set[Selector]:
    """Metric names, ours and those of the process and of Prometheus itself, with the labels that are asked for in braces."""
    found = re.findall(
        r"\b((?:gateway|process)_\w+|up|gateway:[\w:]+)\b(?!\s*\()(?:\{([^}]*)\})?", re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", "", expr)
    )
    return {Selector(name, frozenset(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))) for name, labels in found}
