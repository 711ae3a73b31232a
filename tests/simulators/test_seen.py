"""What a scenario says of an incident against what the console shows: each word can fail, and says what it saw instead."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from simulators.amend import prepare
from simulators.district import Member
from simulators.expectations import Pending
from simulators.runner import overtaken
from simulators.scenario import Amend, Scenario, ScenarioError, See
from simulators.seen import differs

DETAIL: dict[str, Any] = {
    "incident": {
        "flags": ["beyond_circle"],
        "loop": {"passed": [{"name": "order"}, {"name": "agree"}]},
    },
    "beside": {
        "sources": [{"way": "device"}, {"way": "call"}],
        "visiting": "West",
        "visiting_id": "west",
        "notices": [{"who": "district"}],
    },
    "timeline": [{"kind": "escalate", "detail": {"reason": "not_arrived"}}, {"kind": "sos", "detail": {"reason": "no_call_back"}}],
}
DECISIONS: list[dict[str, Any]] = [
    {"responder": "n-1", "rule": "neighbour", "asked": {"role": "neighbour"}, "candidates": []},
    {
        "responder": "s-1", "rule": "nearest", "area": "east-1", "beyond": True, "asked": {"role": "social"},
        "candidates": [{"responder": "s-2", "verdict": "lost"}],
    },
    {"responder": "c-1", "rule": "partner", "area": "east-1", "agreement": "aid-1", "asked": {"role": "social"}, "candidates": []},
]  # fmt: skip


@pytest.mark.parametrize(
    ("see", "said"),
    [
        (See(responder="s-1", rule="nearest", kind="station", area="east", beyond=True, verdicts={"s-2": "lost"}), ""),
        (See(nth=2, rule="partner", agreement="aid-1"), ""),
        (See(nth=0, rule="partner"), ""),
        (See(roles=("social", "neighbour"), flags=("beyond_circle",), lacks=("stalled",), reasons=("not_arrived",), sources=2), ""),
        (See(visiting="west", told=("district",), stages=("order", "agree")), ""),
        (See(rule="partner"), "s-1 by nearest: rule nearest, not partner"),
        (See(responder="n-1"), "s-1 by nearest: responder s-1, not n-1"),
        (See(kind="provider"), "kind station, not provider"),
        (See(area="west"), "in east-1, not in west"),
        (See(beyond=False), "beyond True"),
        (See(verdicts={"s-2": "off_duty"}), "s-2 lost, not off_duty"),
        (See(verdicts={"s-3": "lost"}), "s-3 not looked at, not lost"),
        (See(nth=3, rule="partner"), "there are 2 decision(s)"),
        (See(roles=("medical",)), "nobody was asked for medical"),
        (See(sources=3), "2 source(s), not 3"),
        (See(visiting="east"), "visits from west"),
        (See(flags=("stalled",)), "no flag stalled"),
        (See(lacks=("beyond_circle",)), "has the flag beyond_circle"),
        (See(reasons=("no_call_back",)), "did not come up for no_call_back"),
        (See(told=("family",)), "was not told: family"),
        (See(stages=("serve",)), "has not passed serve"),
    ],
)
def test_what_the_console_shows(see: See, said: str) -> None:
    found = differs(see, DETAIL, DECISIONS, {"s-1": "station"}, {"east-1": "east", "east": ""})
    assert said in found
    assert bool(said) == bool(found)


def test_an_alarm_that_waited_for_a_service_is_named() -> None:
    def one(via: str, sent: float, arrived: float) -> Pending:
        found = Pending(f"{via} {sent}", "order", via, "", Member(None), None, 0, False, sent, 0, 0)
        found.arrived = arrived
        return found

    assert overtaken([one("wearable", 1, 2), one("request", 1.5, 3), one("request", 0.5, 1.9)]) == []
    assert overtaken([one("wearable", 1, 4), one("request", 1.5, 3)]) == ["wearable 1 came after request 1.5"]
    assert overtaken([one("wearable", 1, 1.006), one("request", 1.001, 1.005)]) == []  # both at once: the request's way was shorter


def test_a_register_is_amended(tmp_path: Path) -> None:
    district, into = tmp_path / "district", tmp_path / "new"
    district.mkdir()
    (district / "agreements.csv").write_text("id,until\na,2030-01-01\nb,2030-01-01\n")
    amends = (
        Amend(file="agreements.csv", id="a", set={"until": "{today}"}),
        Amend(file="agreements.csv", id="b", add=True, set={"until": "{yesterday}"}),
        Amend(file="agreements.csv", id="c", set={"until": "2031-01-01"}),
    )
    prepare(Scenario(name="x", amend=amends), district, into, datetime(2026, 12, 1, 17, tzinfo=UTC))  # two in the morning in China, a day later
    assert (into / "agreements.csv").read_text() == "id,until\na,2026-12-02\nb,2030-01-01\nb,2026-12-01\nc,2031-01-01\n"
    assert "2030-01-01" in (district / "agreements.csv").read_text()
    wrong = (Amend(file="agreements.csv", id="a", set={"untl": "x"}), Amend(file="treaties.csv", set={}))
    with pytest.raises(ScenarioError) as error:
        prepare(Scenario(name="x", amend=wrong), district, into, datetime(2026, 12, 1, tzinfo=UTC))
    assert [fault.partition(":")[0] for fault in error.value.faults] == ["amend[1].set", "amend[2].file"]
