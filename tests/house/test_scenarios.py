"""The ten ready-made scenarios against a whole gateway on a fast clock: `simulate NAME` judges, and what a supervisor would ask is asked again."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from stage import Played, Stage

Put = Callable[[str], AbstractAsyncContextManager[tuple[Stage, Played]]]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Put a scenario on stage and play it to its end; every expectation of its file held, and the books balance."""

    @asynccontextmanager
    async def play(name: str) -> AsyncIterator[tuple[Stage, Played]]:
        async with Stage(tmp_path, name) as stage:
            played = await stage.play()
            assert not played.failures, "\n".join(played.failures)
            assert played.code == 0
            assert await stage.unbalanced() == {}
            yield stage, played

    return play


async def decided(stage: Stage, rule: str) -> list[str]:
    """The incidents in which somebody was sent by this rule."""
    found = []
    for incident in dict.fromkeys(str(row["incident"]) for row in stage.journal() if row["incident"]):
        decisions = (await stage.json(f"/api/v1/incidents/{incident}/decisions"))["decisions"]
        if any(one["rule"] == rule for one in decisions):
            found.append(incident)
    return found


async def test_gongshu_night(put: Put) -> None:
    """A supervisor sees: at two in the morning closed stations are passed over by name, care centres go in their place, and in the two streets
    without a centre the district's centre is asked next."""
    async with put("gongshu_night") as (stage, played):
        wearables = played.report["sources"]["wearables"]
        assert wearables["sent"] - wearables["alarms"] > 100, "signs of life go on beside the alarms"
        assert await decided(stage, "care_centre")
        rows = [line.split(",") for line in (stage.folder / "districts/gongshu/responders.csv").read_text("utf-8").splitlines()]
        assert not [row[0] for row in rows if row[2] == "street_centre" and row[4] in ("hushu", "kangqiao")]
        asked = played.report["stations"]["per_responder"]
        assert asked["district-centre"] >= 2


async def test_honggu_rural(put: Put) -> None:
    """A supervisor sees: every cry from beyond the fifteen minutes bears that mark, somebody is sent all the same, and a neighbour looks in beside
    them, never instead of them."""
    async with put("honggu_rural") as (stage, _):
        beyond = 0
        for row in stage.journal():
            if row["kind"] != "sos" or not row["incident"]:
                continue
            detail = await stage.json(f"/api/v1/incidents/{row['incident']}")
            legs = [(leg["role"], leg["responder"]) for leg in detail["legs"]]
            assert legs[0][0] == "social", "the station is always ordered first"
            beyond += "beyond_circle" in detail["incident"]["flags"]
        assert beyond >= 8


async def test_beijing_city(put: Put) -> None:
    """A supervisor sees: the lost centre of one district is passed over as lost and its partner's is asked; where the partner is closed, the city."""
    async with put("beijing_city") as (stage, _):
        aid = await stage.json("/api/v1/aid")
        assert {one["subject"] for one in aid["lost"] if one["holds"]} == {"centre-xicheng", "centre-fengtai"}
        assert await decided(stage, "partner")
        assert await decided(stage, "city")


async def test_three_numbers_one_elder(put: Put) -> None:
    """A supervisor sees: one fall, told by the watch, by a neighbour on 12345 and by the elder on 12349, is one incident with three sources."""
    async with put("three_sources_one_elder") as (stage, _):
        (fall,) = {str(row["incident"]) for row in stage.journal() if row["kind"] == "fall"}
        beside = (await stage.json(f"/api/v1/incidents/{fall}"))["beside"]
        assert [(one["way"], one["of"]) for one in beside["sources"]] == [("device", "wearables"), ("call", "12345"), ("call", "12349")]
        others = {str(row["incident"]) for row in stage.journal() if row["incident"]} - {fall}
        for other in others:
            assert (await stage.json(f"/api/v1/incidents/{other}"))["incident"]["merged_into"] == fall


async def test_mutual_aid(put: Put) -> None:
    """A supervisor sees: the machine calls the district full, its partner takes the overflow by the agreement, and from midnight on the agreement
    is named as expired and cannot be called upon."""
    async with put("mutual_aid") as (stage, _):
        (ruled,) = [one for one in stage.facts("ruling") if one["key"] == "saturated:xicheng" and one["value"]]
        assert ruled["reason"] == "no_places_left"
        aid = await stage.json("/api/v1/aid")
        assert [one["in_force"] for one in aid["agreements"] if one["id"] == "aid-1"] == [False]
        assert len(await decided(stage, "partner")) >= 2


async def test_visiting_elder(put: Put) -> None:
    """A supervisor sees: help goes from where the elder lives now, the home district is told each time, and after three months it is still one
    person with one record."""
    async with put("visiting_elder") as (stage, _):
        rows = [row for row in stage.journal() if row["kind"] in ("sos", "fall") and row["incident"]]
        found = [await stage.json(f"/api/v1/incidents/{row['incident']}") for row in rows]
        visits = [one for one in found if one["beside"]["visiting"]]
        assert len(visits) == 2
        assert len({one["person"]["id"] for one in visits}) == 1
        (step,) = [one for one in stage.facts("clock_step") if one["step_s"] > 7_000_000]
        assert step


async def test_last_place_provider(put: Put) -> None:
    """A supervisor sees: the emergency went to the worst provider, four minutes away, the housekeeping to the best, 22 minutes away; frozen, the
    best gets nothing more."""
    async with put("last_place_provider") as (stage, played):
        assert played.report["stations"]["per_responder"] == {"best": 1, "worst": 2}
        requests = (await stage.json("/api/v1/requests"))["requests"]
        assert [one["provider"]["responder"] for one in requests] == ["best", "worst"]
        assert requests[0]["provider"]["travel_min"] == pytest.approx(22, abs=0.5)


async def test_closed_loop_broken(put: Put) -> None:
    """A supervisor sees: who accepted and never came, who was not called back and whose complaint nobody handled, without asking for any of it."""
    async with put("closed_loop_broken") as (stage, _):
        missed = {reason: await stage.metric("gateway_loop_nodes_missed_total", reason=reason) for reason in ("not_arrived", "no_call_back")}
        assert missed["not_arrived"] >= 2
        assert missed["no_call_back"] >= 1
        reasons = [one["reason"] for one in stage.facts("escalate")]
        assert reasons.index("not_arrived") < reasons.index("no_call_back") < reasons.index("complaint_unanswered")


async def test_municipal_down(put: Put) -> None:
    """A supervisor sees: for six hours the city heard nothing and every order left as ever; then it has all of it, once, and both sides count the
    same on both days."""
    async with put("municipal_down") as (stage, played):
        assert played.held("order") == 19
        hours = sum(float(one["step_s"]) for one in stage.facts("clock_step")) / 3600
        assert hours == pytest.approx(6, abs=0.05)
        assert await stage.metric("gateway_upward_failures_total", to="city", reason="unreachable") >= 1
        days = sorted({report["day"] for report in await reports(stage)})
        assert len(days) == 2, "the outage went over midnight"


async def reports(stage: Stage) -> list[dict[str, str]]:
    """What supervision is told, by the event stream."""
    answer = await stage.get("/api/v1/journal-feed", after=0)
    assert answer is not None
    return [msgspec.json.decode(line) for line in answer.text.splitlines() if line]


async def test_bad_register(put: Put) -> None:
    """A supervisor sees: each fault of the register by its name, before anything happens; and then help for all of them."""
    async with put("bad_register") as (stage, _):
        told = stage.run("check", "--all")
        assert told.returncode == 0, told.stdout + told.stderr
        text = told.stdout
        for person in ("p-nowhere", "p-mojibake", "w-twice"):
            assert person in text
        cries = {row["incident"]: row for row in stage.journal() if row["kind"] == "sos" and row["incident"]}
        people = [(await stage.json(f"/api/v1/incidents/{incident}"))["person"] for incident in cries]
        assert sorted(person["id"] if person else "nobody" for person in people) == ["nobody", "p-mojibake", "p-nowhere"]
