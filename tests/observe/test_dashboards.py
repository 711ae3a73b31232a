"""The dashboards: whole, in both languages, nothing on top of anything, nothing without a unit, and every name in them known.

That each expression is understood by a real Prometheus, and names what a real gateway shows, is asked in test_end_to_end.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observe.rules import ALERTS, ROOT

FOLDER = ROOT / "config" / "grafana"
BOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
PANELS = [pytest.param(panel, id=f"{name}-{panel['id']}") for name, board in BOARDS.items() for panel in board["panels"]]
UNITS = {"none", "short", "s", "d", "bytes", "cps", "percentunit"}
KINDS = {"stat", "timeseries", "table"}
BOTH = re.compile(r"[\u4e00-\u9fff].*[A-Za-z]{2}")
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_the_boards_that_we_promise_are_there() -> None:
    assert set(BOARDS) == {"on-call", "lines", "pipeline", "dispatch", "cluster"}
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert all(board["uid"] == f"gateway-{name}" for name, board in BOARDS.items())


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_each_board_is_whole(board: dict[str, Any]) -> None:
    assert BOTH.search(board["title"])
    assert board["description"]
    assert board["schemaVersion"] >= 36  # Grafana 9, the oldest that is still used
    assert board["panels"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert all(one["datasource"] == DATA_SOURCE for name, one in variables.items() if name != "datasource")
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([panel["targets"] for panel in board["panels"]])))
    assert {name for name in used if not name.startswith("__")} == set(variables)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_no_panel_lies_on_another(board: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["id"]


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["type"] in KINDS
    assert BOTH.search(panel["title"])
    assert len(panel["description"]) > 20
    assert panel["datasource"] == DATA_SOURCE
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None, "the first colour holds from the beginning"
    values = [step["value"] for step in steps[1:]]
    assert values == sorted(values)
    refs = [target["refId"] for target in panel["targets"]]
    assert refs
    assert len(set(refs)) == len(refs)
    assert all(target["expr"].strip() and target["datasource"] == DATA_SOURCE for target in panel["targets"])


def test_alerts_that_are_named_exist() -> None:
    named = {word for board in BOARDS.values() for panel in board["panels"] for word in re.findall(r"\bGateway[A-Z]\w+", panel["description"])}
    assert len(named) > 10
    assert named <= {alert.name for alert in ALERTS}


def test_runbooks_name_boards_by_their_names() -> None:
    titles = " ".join(board["title"] for board in BOARDS.values())
    named = {
        name for page in (ROOT / "docs" / "runbooks").glob("*.md") for name in re.findall(r'dashboard "([^"]+)"', page.read_text(encoding="utf-8"))
    }
    assert named
    assert [name for name in named if name not in titles] == []


@pytest.mark.parametrize("path", sorted((FOLDER / "provisioning").rglob("*.yml")), ids=lambda path: path.stem)
def test_provisioning_is_read(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["apiVersion"] == 1
    assert content.get("datasources") or content.get("providers")
