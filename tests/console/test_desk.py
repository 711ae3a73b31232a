"""The desk over HTTP: supervisor, shifts, notices, maintenance, figures; each list of one's own areas alone."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from gateway.config import WatchConfig
from gateway.console.http import make_app
from gateway.console.live import Feed, Scope
from gateway.core.command import Command
from gateway.core.incident import Action, Incident
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.territory import Provider, Standing
from gateway.event import Kind, Phase
from tests.console.accounts_house import log_in, with_accounts
from tests.console.fake_house import STATIC, Clock, FakeHouse

Come = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def house() -> FakeHouse:
    return with_accounts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(house: FakeHouse, clock: Clock) -> Starlette:
    return make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry(), clock=clock)


@pytest.fixture
async def come(app: Starlette) -> AsyncIterator[Come]:
    """come(login): a browser of theirs, logged in and on duty."""
    async with AsyncExitStack() as stack:

        async def one(login: str, *, duty: bool = True) -> httpx.AsyncClient:
            client = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:12349"))
            await log_in(client, login, duty=duty)
            return client

        yield one


async def got(client: httpx.AsyncClient, path: str, **query: str) -> dict:
    reply = await client.get(path, params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def done(client: httpx.AsyncClient, path: str, status: int = 200, **body: object) -> dict:
    reply = await client.post(path, json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


async def items(client: httpx.AsyncClient, word: str) -> list[dict]:
    return [one for one in (await got(client, "/api/v1/changes"))["items"] if one["type"] == word]


async def owns(house: FakeHouse, person: int, name: str, kind: Kind = Kind.SOS) -> Incident:
    incident = await house.cries(person, kind)
    await house.command(Command(action=Action.ACKNOWLEDGE, actor=name, incident=incident.id))
    return house.incidents[incident.id]


def in_hours(house: FakeHouse, hours: float) -> str:
    return (house.now() + timedelta(hours=hours)).isoformat()


HAI, PING = 0, 1  # persons with even numbers live in haishiwan, odd ones in pingan


# --- presence --------------------------------------------------------------------------------------------------------


async def test_who_is_here_with_what_in_their_hands(house: FakeHouse, app: Starlette, come: Come, clock: Clock) -> None:
    lina = await come("lina")
    incident = await owns(house, HAI, "李娜")
    console = app.state.console
    session = next(one for one in console.sessions.present() if one.name == "李娜")
    console.presence.say(session, {"view": incident.id, "mode": "edit"})
    console.presence.say(session, {"ears": True})
    (row,) = await items(lina, "operator")
    assert (row["view"], row["mode"], row["sound"], row["role"]) == (incident.id, "edit", True, "operator")
    assert row["load"] == 1
    assert datetime.fromisoformat(row["oldest"]) <= house.incidents[incident.id].changed_at
    console.presence.say(session, {"view": "x" * 99})
    (row,) = await items(lina, "operator")
    assert row["view"] is None, "what is no incident is nothing looked at"
    console.presence.say(session, {"view": incident.id})
    clock.now += 46
    (row,) = await items(lina, "operator")
    assert (row["view"], row["sound"]) == (None, False), "what was said 46 s ago is over"
    assert console.presence.listening()[0].sound is False


async def test_operators_of_other_areas_are_not_shown(come: Come) -> None:
    lina, zhaomin, wangqiang = await come("lina"), await come("zhaomin"), await come("wangqiang")
    names = {"all": await items(lina, "operator"), "hai": await items(zhaomin, "operator"), "ping": await items(wangqiang, "operator")}
    assert {key: {row["name"] for row in rows} for key, rows in names.items()} == {
        "all": {"李娜", "赵敏", "王强"},
        "hai": {"李娜", "赵敏"},
        "ping": {"李娜", "王强"},
    }


async def test_what_is_on_the_shelf_is_shown_counted_and_does_not_ring(house: FakeHouse, come: Come) -> None:
    lina = await come("lina")
    incident = await house.cries(HAI, Kind.LOW_BATTERY)
    until = in_hours(house, 2)
    await done(lina, f"/api/v1/incidents/{incident.id}/shelve", until=until, reason="battery ordered")
    (row,) = await items(lina, "incident")
    assert (row["shelf"]["by"], row["shelf"]["reason"], row["due"]["name"]) == ("李娜", "battery ordered", "shelf")
    (queue,) = [one for one in await items(lina, "counter") if one["id"] == "queue"]
    assert (queue["shelved"], queue["raised"], queue["open"], queue["warning"]) == (1, {}, 0, 0), "as the page counts"
    assert [row["open"] for row in (await got(await come("sunli"), "/api/v1/desk"))["queues"]] == [0]
    assert (await got(lina, "/api/v1/shift"))["open"]["warning"] == 0
    await done(lina, f"/api/v1/incidents/{incident.id}/unshelve")
    (queue,) = [one for one in await items(lina, "counter") if one["id"] == "queue"]
    assert queue["shelved"] == 0
    assert queue["raised"]["warning"]["count"] == 1


async def test_a_sender_that_runs_away_is_one_row_with_a_counter_and_maintenance_is_offered(house: FakeHouse, come: Come) -> None:
    lina, sunli = await come("lina"), await come("sunli")
    for second in range(4):
        house.offset = timedelta(seconds=second)
        incident = await house.cries(HAI, Kind.FALL_SUSPECTED)
    assert "runaway" not in (await items(lina, "incident"))[0]
    for second in range(4, 31):
        house.offset = timedelta(seconds=second)
        await house.cries(HAI, Kind.FALL_SUSPECTED)
    (row,) = await items(lina, "incident")
    assert (row["runaway"], row["offer_maintenance"]) == (31, True)
    await done(lina, "/api/v1/maintenance", 403, incident=incident.id, value="maintenance", until=in_hours(house, 4), reason="strap")
    told = await done(sunli, "/api/v1/maintenance", incident=incident.id, value="maintenance", until=in_hours(house, 4), reason="strap")
    assert (told["maintenance"]["device"], told["maintenance"]["by"]) == ("w000", "孙丽")
    house.offset = timedelta(minutes=12)
    (row,) = await items(lina, "incident")
    assert "runaway" not in row, "ten minutes of peace"


async def test_maintenance_is_listed_and_lifted_and_what_the_device_sends_is_put_aside(house: FakeHouse, come: Come) -> None:
    hefan, sunli = await come("hefan", duty=False), await come("sunli")
    body = {"line": "wearables", "ref": "w004", "value": "test", "until": in_hours(house, 20), "reason": "weekly test"}
    row = (await done(hefan, "/api/v1/maintenance", **body))["maintenance"]
    assert (row["value"], row["ref"]) == ("test", "w004")
    assert "号" not in str(row["place"]), "no door number, and no person for ops"
    assert [one["ref"] for one in (await got(sunli, "/api/v1/maintenance"))["maintenance"]] == ["w004"]
    incident = await house.cries(4, Kind.FALL)
    assert incident.shelf is not None
    assert incident.flags == ("maintenance",)
    assert [one["id"] for one in (await got(sunli, "/api/v1/desk"))["shelved"]] == [incident.id]
    assert (await house.cries(4, Kind.SOS)).shelf is None
    await done(sunli, "/api/v1/maintenance", line="wearables", ref="w004", value="", reason="done")
    assert (await got(sunli, "/api/v1/maintenance"))["maintenance"] == []
    assert (await done(sunli, "/api/v1/maintenance", 409, line="wearables", ref="w004", value="", reason="again"))["reason"] == "does_not_stand"
    assert (await done(sunli, "/api/v1/maintenance", 400, **{**body, "until": in_hours(house, 25)}))["reason"] == "bad_until"
    assert (await done(sunli, "/api/v1/maintenance", 404, **{**body, "ref": "w999"}))["reason"] == "unknown_device"


async def test_maintenance_is_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhoujie, sunli = await come("zhoujie"), await come("sunli")
    body = {"line": "wearables", "value": "test", "until": in_hours(house, 1), "reason": "weekly test"}
    assert (await done(zhoujie, "/api/v1/maintenance", 403, ref="w000", **body))["reason"] == "foreign_area"
    await done(zhoujie, "/api/v1/maintenance", ref="w001", **body)
    await done(sunli, "/api/v1/maintenance", ref="w000", **body)
    assert [one["ref"] for one in (await got(zhoujie, "/api/v1/maintenance"))["maintenance"]] == ["w001"]


# --- flood -----------------------------------------------------------------------------------------------------------


async def test_a_flood_begins_above_ten_an_operator_and_is_over_below_five(house: FakeHouse, come: Come) -> None:
    lina = await come("lina")
    for person in range(10):
        await house.cries(person)
    assert not house.flood.look(house.now(), anew=True).on
    await house.cries(10)
    house.offset += timedelta(seconds=6)
    await house.flood.tell(house.now())
    (state,) = [one for one in await items(lina, "state") if one["id"] == "flood"]
    assert (state["on"], state["by"], state["new_10min"], state["operators"], state["switch"]) == (True, "", 11, 1, "auto")
    assert house.notes[-1][2]["flood"] == "begins"
    house.offset += timedelta(minutes=9)
    for person in range(11, 16):
        await house.cries(person)
    house.offset += timedelta(minutes=2)
    await house.flood.tell(house.now())
    assert house.flood.state.on, "five in ten minutes: not below"
    house.offset += timedelta(minutes=9)
    await house.flood.tell(house.now())
    assert not house.flood.state.on
    assert house.notes[-1][2]["flood"] == "over"


async def test_a_supervisor_switches_flood_mode_by_hand(house: FakeHouse, come: Come) -> None:
    lina, sunli = await come("lina"), await come("sunli")
    await done(lina, "/api/v1/flood", 403, switch="on", reason="storm")
    assert (await done(sunli, "/api/v1/flood", 400, switch="maybe", reason="storm"))["reason"] == "bad_switch"
    assert (await done(sunli, "/api/v1/flood", 400, switch="on"))["reason"] == "missing_reason"
    state = (await done(sunli, "/api/v1/flood", switch="on", reason="storm"))["flood"]
    assert (state["on"], state["by"], state["switch"], state["operators"]) == (True, "孙丽", "on", 2)
    (shown,) = [one for one in await items(lina, "state") if one["id"] == "flood"]
    assert shown["by"] == "孙丽"
    house.offset += timedelta(hours=8, seconds=1)
    assert not house.flood.look(house.now(), anew=True).on, "a switch that is forgotten does not outlive the shift"
    house.offset = timedelta()
    assert (await done(sunli, "/api/v1/flood", switch="auto", reason="over"))["flood"]["switch"] == "auto"


# --- bulk ------------------------------------------------------------------------------------------------------------


async def test_one_command_for_several_has_a_result_for_each(house: FakeHouse, come: Come) -> None:
    zhaomin = await come("zhaomin")
    mine, other, taken = await house.cries(HAI), await house.cries(PING), await owns(house, 2, "李娜")
    body = {"ids": [mine.id, other.id, taken.id, "I999999", mine.id], "action": "acknowledge"}
    told = await done(zhaomin, "/api/v1/incidents/bulk", **body)
    assert [(one["id"], one["status"], one.get("reason")) for one in told["results"]] == [
        (mine.id, 200, None),
        (other.id, 403, "foreign_area"),
        (taken.id, 409, "already_acknowledged"),
        ("I999999", 404, "unknown_incident"),
    ]
    assert (told["done"], told["of"]) == (1, 4)
    assert house.incidents[mine.id].owner == "赵敏"
    assert house.incidents[other.id].owner is None
    give = {"ids": [mine.id], "action": "assign", "facts": {"to": "李娜"}}
    told = await done(zhaomin, "/api/v1/incidents/bulk", **give)
    assert told["results"] == [{"id": mine.id, "status": 409, "reason": "assignee_left", "to": "李娜"}], "who is not here takes nothing"
    await come("lina")
    told = await done(zhaomin, "/api/v1/incidents/bulk", **give)
    assert told["results"][0]["incident"]["owner"] == "李娜"
    await come("wangqiang")
    told = await done(zhaomin, "/api/v1/incidents/bulk", ids=[mine.id], action="assign", facts={"to": "王强"})
    assert told["results"][0]["reason"] == "assignee_elsewhere", "it would be in nobody's list"
    refused = await zhaomin.post(f"/api/v1/incidents/{mine.id}/assign", json={"to": "周敏"})
    assert (refused.status_code, refused.json()["reason"]) == (409, "assignee_left")
    assert house.incidents[mine.id].owner == "李娜"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"ids": [], "action": "acknowledge"}, "bad_ids"),
        ({"ids": ["I1"] * 101, "action": "acknowledge"}, "bad_ids"),
        ({"ids": ["I1"], "action": "explode"}, "unknown_action"),
        ({"ids": ["I1"], "action": "join"}, "unknown_action"),
        ({"ids": ["I1"], "action": "assign"}, "missing_to"),
        ({"ids": ["I1"], "action": "note", "facts": []}, "bad_facts"),
        ({"ids": ["I1"], "action": "note", "facts": {"text": "x"}, "more": 1}, "unknown_field"),
    ],
)
async def test_what_cannot_be_meant_is_refused_as_a_whole(come: Come, body: dict[str, object], why: str) -> None:
    facts = body.get("facts")
    lina = await come("lina")
    reply = await lina.post("/api/v1/incidents/bulk", json={**body, **({"facts": "x"} if facts == [] else {})})
    assert (reply.status_code, reply.json()["reason"]) == (400, why)


async def test_only_a_supervisor_waives_several(house: FakeHouse, come: Come) -> None:
    incident = await owns(house, HAI, "李娜")
    lina = await come("lina")
    body = {"ids": [incident.id], "action": "waive", "facts": {"reason": "in hospital for weeks"}}
    assert (await done(lina, "/api/v1/incidents/bulk", 403, **body))["reason"] == "no_right"


# --- supervisor ------------------------------------------------------------------------------------------------------


async def test_the_supervisors_view(house: FakeHouse, come: Come) -> None:
    sunli, lina = await come("sunli"), await come("lina")
    mine, waits = await owns(house, HAI, "李娜"), await house.cries(PING, Kind.BED_EXIT)
    await done(lina, f"/api/v1/incidents/{mine.id}/reveal", reason="call_back")
    desk = await got(sunli, "/api/v1/desk")
    rows = {row["name"]: row for row in desk["operators"]}
    assert rows["李娜"]["load"] == 1
    assert rows["孙丽"]["load"] == 0
    queues = {row["area"]: row for row in desk["queues"]}
    assert queues["haishiwan"]["levels"]["critical"] == {"open": 1, "raised": 0, "oldest": None}
    assert queues["pingan"]["levels"]["major"]["raised"] == 1
    assert queues["pingan"]["name"] == "平安镇"
    assert queues["pingan"]["oldest"] is not None
    assert desk["flood"]["on"] is False
    assert desk["rulings"] == {"frozen": [], "lost": [], "saturated": []}
    assert {one["id"] for one in (await items(sunli, "incident"))} == {mine.id, waits.id}


async def test_the_supervisors_view_is_of_their_areas(house: FakeHouse, come: Come) -> None:
    zhoujie, _, wangqiang = await come("zhoujie"), await come("zhaomin"), await come("wangqiang")
    foreign, mine = await house.cries(HAI, Kind.LOW_BATTERY), await house.cries(PING, Kind.LOW_BATTERY)
    for one in (foreign, mine):
        await house.command(Command(action=Action.SHELVE, actor="李娜", incident=one.id, facts={"until": in_hours(house, 1), "reason": "ordered"}))
    desk = await got(zhoujie, "/api/v1/desk")
    assert {row["name"] for row in desk["operators"]} == {"周洁", "王强"}
    assert [row["area"] for row in desk["queues"]] == ["pingan"]
    assert [row["id"] for row in desk["shelved"]] == [mine.id]
    assert (await wangqiang.get("/api/v1/desk")).status_code == 403


async def test_rulings_stand_together(house: FakeHouse, come: Come) -> None:
    sunli = await come("sunli")
    await done(sunli, "/api/v1/aid/lost/station-1", value="lost", reason="power cut")
    await done(sunli, "/api/v1/aid/saturated/honggu", value="saturated", reason="flood of calls")
    rulings = (await got(sunli, "/api/v1/desk"))["rulings"]
    assert [(one["subject"], one["name"], one["reason"]) for one in rulings["lost"]] == [("station-1", "海石湾驿站", "power cut")]
    assert [one["subject"] for one in rulings["saturated"]] == ["honggu"]


# --- notices ---------------------------------------------------------------------------------------------------------


async def test_a_notice_reaches_everybody_on_duty_and_each_says_that_it_was_read(house: FakeHouse, come: Come) -> None:
    sunli, lina = await come("sunli"), await come("lina")
    await done(lina, "/api/v1/notices", 403, text="hello")
    assert (await done(sunli, "/api/v1/notices", 400, text=" "))["reason"] == "missing_text"
    assert (await done(sunli, "/api/v1/notices", 400, text="x" * 501))["reason"] == "text_too_long"
    assert (await done(sunli, "/api/v1/notices", 400, text="x", until=in_hours(house, 25)))["reason"] == "bad_until"
    notice = (await done(sunli, "/api/v1/notices", text="暴雪, 注意老人取暖"))["notice"]
    assert (notice["by"], notice["acknowledged"], notice["stations"]) == ("孙丽", [], None)
    (shown,) = await items(lina, "notice")
    assert (shown["id"], shown["text"]) == (notice["id"], "暴雪, 注意老人取暖")
    for _ in range(2):
        told = await done(lina, f"/api/v1/notices/{notice['id']}/acknowledge")
        assert told["notice"]["acknowledged"] == ["李娜"]
    (shown,) = await items(lina, "notice")
    assert shown["acknowledged"] == ["李娜"]
    assert [one["id"] for one in (await got(sunli, "/api/v1/notices"))["notices"]] == [notice["id"]]
    kinds = [(row.kind, row.actor, row.facts["what"]) for _, row in house.journal if row.kind == Kind.BROADCAST]
    assert kinds == [("broadcast", "孙丽", "said"), ("broadcast", "李娜", "acknowledged")]
    assert house.told == []
    house.offset = timedelta(hours=9)
    assert await items(lina, "notice") == []
    assert (await done(lina, f"/api/v1/notices/{notice['id']}/acknowledge", 404))["reason"] == "unknown_notice"


async def test_a_notice_to_stations_says_how_many_were_told(house: FakeHouse, come: Come) -> None:
    sunli = await come("sunli")
    notice = (await done(sunli, "/api/v1/notices", text="道路结冰", to="stations"))["notice"]
    ((_, text, stations),) = house.told
    assert text == "道路结冰"
    assert set(stations) == {*(f"station-{number}" for number in range(1, 7)), "street-haishiwan", "district"}
    assert notice["stations"] == {"told": 8, "failed": 0, "silent": 0}
    assert await items(sunli, "notice") == [], "it was not said to operators"


async def test_a_notice_is_said_in_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhoujie, zhaomin, wangqiang = await come("zhoujie"), await come("zhaomin"), await come("wangqiang")
    assert (await done(zhoujie, "/api/v1/notices", 403, text="x", areas=["haishiwan"]))["reason"] == "foreign_area"
    assert (await done(zhoujie, "/api/v1/notices", 400, text="x", areas=["nowhere"]))["reason"] == "unknown_area"
    notice = (await done(zhoujie, "/api/v1/notices", text="平安镇停电"))["notice"]
    assert notice["areas"] == ["pingan"]
    assert len(await items(wangqiang, "notice")) == 1
    assert await items(zhaomin, "notice") == []
    assert (await got(zhaomin, "/api/v1/notices"))["notices"] == []
    await done(zhaomin, f"/api/v1/notices/{notice['id']}/acknowledge", 404)


# --- shifts ----------------------------------------------------------------------------------------------------------


async def test_a_shift_is_handed_over_only_when_every_urgent_incident_is_ticked(house: FakeHouse, come: Come) -> None:
    lina, zhang = await come("lina"), await come("sunli")
    urgent, waits, small = await owns(house, HAI, "李娜"), await house.cries(PING), await owns(house, 2, "李娜", Kind.HELP)
    others = await owns(house, 3, "王强")
    look = await got(lina, "/api/v1/shift")
    assert [one["id"] for one in look["must_tick"]] == [urgent.id, waits.id]
    assert (look["open"], look["mine"]) == ({"critical": 3, "major": 0, "minor": 1, "warning": 0}, 2)
    shift = (await done(lina, "/api/v1/shift", text="雪大路滑", notes={urgent.id: "女儿 15:00 到"}))["shift"]
    assert [(one["id"], one["note"]) for one in shift["must_tick"]] == [(urgent.id, "女儿 15:00 到"), (waits.id, "")]
    (pending,) = (await got(zhang, "/api/v1/shift"))["pending"]
    assert (pending["by"], pending["to"], pending["text"], pending["is_mine"]) == ("李娜", "", "雪大路滑", False)
    path = f"/api/v1/shift/{shift['id']}/confirm"
    assert (await done(lina, path, 409, ticked=[urgent.id, waits.id]))["reason"] == "own_shift"
    assert (await done(zhang, path, 409, ticked=[urgent.id])) == {"reason": "not_ticked", "missing": [waits.id]}
    told = await done(zhang, path, ticked=[urgent.id, waits.id])
    assert set(told["assigned"]) == {urgent.id, small.id}
    assert [house.incidents[one.id].owner for one in (urgent, waits, small, others)] == ["孙丽", None, "孙丽", "王强"]
    assert (await done(zhang, path, 409, ticked=[urgent.id, waits.id]))["reason"] == "not_pending"
    both = [
        (row.actor, row.facts["outgoing"], row.facts["incoming"])
        for _, row in house.journal
        if row.kind == Kind.SHIFT and row.facts["what"] == "confirmed"
    ]
    assert both == [("孙丽", "李娜", "孙丽")]
    last = (await got(lina, "/api/v1/shift"))["last"]
    assert (last["by"], last["confirmed_by"], last["text"]) == ("李娜", "孙丽", "雪大路滑")


async def test_what_cries_meanwhile_must_be_ticked_too(house: FakeHouse, come: Come) -> None:
    lina, sunli = await come("lina"), await come("sunli")
    shift = (await done(lina, "/api/v1/shift"))["shift"]
    late = await house.cries(HAI)
    assert (await done(sunli, f"/api/v1/shift/{shift['id']}/confirm", 409, ticked=[]))["missing"] == [late.id]


async def test_a_shift_for_somebody_is_theirs_and_can_be_taken_back(house: FakeHouse, come: Come) -> None:
    lina, zhaomin, wangqiang = await come("lina"), await come("zhaomin"), await come("wangqiang")
    assert (await done(lina, "/api/v1/shift", 400, to="李娜"))["reason"] == "own_shift"
    first = (await done(lina, "/api/v1/shift", to="赵敏"))["shift"]
    assert (await done(wangqiang, f"/api/v1/shift/{first['id']}/confirm", 409, ticked=[])) == {"reason": "for_somebody_else", "to": "赵敏"}
    assert (await done(zhaomin, f"/api/v1/shift/{first['id']}/cancel", 403))["reason"] == "not_yours"
    second = (await done(lina, "/api/v1/shift", to="王强"))["shift"]
    assert [one["id"] for one in (await got(lina, "/api/v1/shift"))["pending"]] == [second["id"]], "one of one's own"
    await done(lina, f"/api/v1/shift/{second['id']}/cancel", reason="I stay")
    assert (await got(lina, "/api/v1/shift"))["pending"] == []
    assert (await done(wangqiang, "/api/v1/shift/77/confirm", 404, ticked=[]))["reason"] == "unknown_shift"


async def test_a_pending_shift_outlives_a_restart(house: FakeHouse, come: Come) -> None:
    lina = await come("lina")
    await done(lina, "/api/v1/shift", text="雪大路滑")
    written = msgspec.json.encode(list(house.standings.values()))
    house.working_set.standings.clear()
    house.working_set.restore((), (), (), (), msgspec.json.decode(written, type=list[Standing]))
    (pending,) = (await got(lina, "/api/v1/shift"))["pending"]
    assert pending["text"] == "雪大路滑"


async def test_a_shift_is_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhaomin, wangqiang = await come("zhaomin"), await come("wangqiang")
    mine, foreign = await house.cries(HAI), await house.cries(PING)
    look = await got(zhaomin, "/api/v1/shift")
    assert [one["id"] for one in look["must_tick"]] == [mine.id]
    assert look["open"]["critical"] == 1
    assert look["devices"]["unsupervised"] == 20 + 1, "of twenty people of the town, and one of its district"
    assert (await done(zhaomin, "/api/v1/shift", 404, notes={foreign.id: "x"}))["reason"] == "unknown_incident"
    await done(zhaomin, "/api/v1/shift")
    assert (await got(wangqiang, "/api/v1/shift"))["pending"] == []


# --- figures ---------------------------------------------------------------------------------------------------------


async def test_alarm_management_of_a_shift(house: FakeHouse, come: Come) -> None:
    sunli, lina = await come("sunli"), await come("lina", duty=True)
    house.offset = timedelta(minutes=-30)
    first = await owns(house, HAI, "李娜")
    for _ in range(3):
        await house.cries(HAI)
    await house.cries(PING, Kind.LOW_BATTERY)
    house.offset = timedelta()
    figures = await got(sunli, "/api/v1/kpi")
    assert (figures["incidents"], figures["levels"]["critical"]["count"], figures["levels"]["warning"]["count"]) == (2, 1, 1)
    assert figures["levels"]["warning"]["share"] == 0.5
    assert figures["worst"][0] == {"line": "wearables", "device": "w000", "ref": "w000", "kind": "sos", "count": 4}
    assert figures["repeats"] == {"incidents": 1, "entries": 3}
    assert figures["operators"] == 1
    assert figures["busiest_10min"]["count"] == 2
    assert figures["cut"] is False
    assert first.id
    assert (await got(sunli, "/api/v1/kpi", area="pingan"))["incidents"] == 1
    assert (await lina.get("/api/v1/kpi")).status_code == 403
    for query, why in (
        ({"since": "yesterday"}, "bad_since"),
        ({"area": "nowhere"}, "unknown_area"),
        ({"since": "2020-01-01T00:00:00Z"}, "bad_since"),
    ):
        reply = await sunli.get("/api/v1/kpi", params=query)
        assert (reply.status_code, reply.json()["reason"]) == (400, why)


async def test_figures_are_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhoujie = await come("zhoujie")
    await house.cries(HAI)
    await house.cries(PING)
    house.offset = timedelta(seconds=1)
    assert (await got(zhoujie, "/api/v1/kpi"))["incidents"] == 1
    reply = await zhoujie.get("/api/v1/kpi", params={"area": "haishiwan"})
    assert (reply.status_code, reply.json()["reason"]) == (403, "foreign_area")


async def closed(house: FakeHouse, person: int, outcome: str, satisfaction: int = 5) -> None:
    incident = await owns(house, person, "李娜", Kind.FALL_SUSPECTED)
    for action, facts in (
        (Action.STEP, {"step": "call_person"}),
        (Action.RESOLVE, {"outcome": outcome}),
        (Action.CALL_BACK, {"satisfaction": satisfaction}),
    ):
        await house.command(Command(action=action, actor="李娜", incident=incident.id, facts=facts))


async def test_outcomes_name_nobody_and_small_numbers_are_withheld(house: FakeHouse, come: Come) -> None:
    citizen = await come("citizen", duty=False)
    for person in range(0, 12, 2):
        await closed(house, person, "helped")
    await closed(house, 12, "refused", 1)
    await closed(house, PING, "helped")
    house.offset = timedelta(seconds=1)
    told = await got(citizen, "/api/v1/outcomes")
    rows = {row["area"]: row for row in told["rows"]}
    assert told["least"] == 5
    assert rows["haishiwan"]["incidents"] == 7
    assert rows["haishiwan"]["outcomes"] == {"helped": None, "refused": None}, "one hidden number alone could be worked out"
    assert rows["haishiwan"]["rated"] == 7
    assert rows["pingan"]["incidents"] is None
    assert rows["pingan"]["satisfaction"] is None
    assert "p000" not in str(told)
    assert "w000" not in str(told)
    assert "李娜" not in str(told)
    assert told["areas"]["pingan"] == "平安镇"
    assert (await citizen.get("/api/v1/outcomes", params={"since": "2020-01"})).json()["reason"] == "bad_since"
    assert (await citizen.get("/api/v1/outcomes", params={"since": "now"})).json()["reason"] == "bad_month"


async def test_the_publics_supervisor_complains_and_the_desk_answers(house: FakeHouse, come: Come) -> None:
    citizen, sunli, zhoujie = await come("citizen", duty=False), await come("sunli"), await come("zhoujie")
    for body, why in (
        ({"area": "haishiwan"}, "missing_note"),
        ({"note": "slow"}, "missing_area"),
        ({"area": "nowhere", "note": "slow"}, "unknown_area"),
        ({"about": "nobody", "note": "slow"}, "unknown_responder"),
        ({"area": "haishiwan", "note": "ring 13800000001"}, "no_numbers"),
    ):
        assert (await done(citizen, "/api/v1/complaints", 400, **body))["reason"] == why
    one = (await done(citizen, "/api/v1/complaints", area="haishiwan", about="station-1", note="驿站周末关门"))["complaint"]
    (shown,) = (await got(sunli, "/api/v1/desk"))["complaints"]
    assert (shown["note"], shown["about_name"], shown["area_name"], shown["by"]) == ("驿站周末关门", "海石湾驿站", "海石湾镇", "社会监督员")
    assert (await got(zhoujie, "/api/v1/desk"))["complaints"] == []
    assert (await done(zhoujie, f"/api/v1/complaints/{one['id']}/handle", 403, note="x"))["reason"] == "foreign_area"
    await done(sunli, f"/api/v1/complaints/{one['id']}/handle", note="周末已安排值班")
    assert (await got(sunli, "/api/v1/desk"))["complaints"] == []
    assert (await done(sunli, f"/api/v1/complaints/{one['id']}/handle", 409, note="again"))["reason"] == "not_open"
    kinds = [(row.kind, row.actor) for _, row in house.journal if row.kind in (Kind.COMPLAIN, Kind.HANDLE)]
    assert kinds == [("complain", "社会监督员"), ("handle", "孙丽")]


async def test_how_the_machinery_does_without_anybodys_name(house: FakeHouse, come: Come) -> None:
    hefan = await come("hefan", duty=False)
    await come("lina")
    for second in range(6):
        house.offset = timedelta(seconds=second)
        await house.cries(HAI, Kind.FALL)
    detail = {"from": "2026-01-01T00:00:00+00:00", "to": "2026-01-01T00:01:00+00:00", "reason": "gateway_down"}
    await house.receive([house.event(Kind.GAP, None, "hotline", phase=Phase.STATE, detail=detail)])
    told = await got(hefan, "/api/v1/ops")
    assert [line["id"] for line in told["lines"]] == ["hotline", "corridor", "wearables"]
    assert (told["senders"][0]["ref"], told["senders"][0]["count"]) == ("w000", 6)
    assert told["gaps"][0] | {"at": ""} == {"at": "", "line": "hotline", **detail}
    assert told["devices"]["unsupervised"] == 41
    assert told["ears"] == {"": 0, "haishiwan": 0, "pingan": 0}
    assert told["rejected"][0]["count"] == 3
    assert (told["firmware"], told["upward"], told["after_outage"]) == ([], [], [])
    assert told["self_test"]["state"] == "waiting"
    assert [(one["name"], one["how"]) for one in told["self_test"]["points"]][-2:] == [("wearables", "path"), ("lobby", "press")]
    text = str(told)
    assert not any(person.name in text or person.name[0] + "*" in text or person.address in text for person in house.register.persons.values())


# --- every list is of one's own areas --------------------------------------------------------------------------------


async def test_the_list_of_who_is_to_be_rung_is_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhaomin, lina = await come("zhaomin"), await come("lina")
    for person in (HAI, PING):
        await house.calls_in(house.register.persons[f"p{person:03}"].phones[0], Kind.CALL_OFFERED, f"c{person}")
        await house.calls_in(house.register.persons[f"p{person:03}"].phones[0], Kind.CALL_ABANDONED, f"c{person}")
    assert len((await got(lina, "/api/v1/call-backs"))["call_backs"]) == 2
    (row,) = (await got(zhaomin, "/api/v1/call-backs"))["call_backs"]
    assert house.incidents[row["id"]].person == "p000"


async def test_persons_are_found_in_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhaomin, lina = await come("zhaomin"), await come("lina")
    for wanted in ("p001", house.register.persons["p001"].phones[0]):
        assert len((await done(lina, "/api/v1/persons", wanted=wanted))["persons"]) == 1
        assert (await done(zhaomin, "/api/v1/persons", wanted=wanted)) == {"persons": [], "more": False}
    assert len((await done(zhaomin, "/api/v1/persons", wanted="p002"))["persons"]) == 1


async def test_requests_are_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhaomin, lina = await come("zhaomin"), await come("lina")
    for person in ("p000", "p001"):
        await done(lina, "/api/v1/requests", person=person, service="meals")
    told = await got(zhaomin, "/api/v1/requests")
    assert [row["person"]["id"] for row in told["requests"]] == ["p000"]
    assert told["counts"]["raised"] + told["counts"]["acknowledged"] == 1
    assert (await done(zhaomin, "/api/v1/requests", 403, person="p001", service="meals"))["reason"] == "foreign_area"


async def test_devices_are_of_ones_own_areas_and_nobodys_for_ops(house: FakeHouse, come: Come) -> None:
    zhaomin, hefan = await come("zhaomin"), await come("hefan", duty=False)
    rows = (await got(zhaomin, "/api/v1/devices"))["devices"]
    assert {row["person"]["id"] for row in rows if row["person"]} == {f"p{number:03}" for number in range(0, 40, 2)}
    (counts,) = (await got(zhaomin, "/api/v1/devices"))["counts"]
    assert counts["unsupervised"] == 21
    assert (await zhaomin.get("/api/v1/devices/wearables/w001")).status_code == 403
    rows = (await got(hefan, "/api/v1/devices"))["devices"]
    assert len(rows) == 41
    assert all(row["person"] is None for row in rows)
    detail = await got(hefan, "/api/v1/devices/wearables/w001")
    person = house.register.persons["p001"]
    assert not any(word in str(detail) for word in (person.id, person.name[0] + "*", "号", "路"))


async def test_service_levels_are_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhaomin, lina = await come("zhaomin"), await come("lina")
    for person in (HAI, PING):
        await owns(house, person, "李娜")
    assert {row["area"] for row in (await got(lina, "/api/v1/service-levels"))["levels"]} == {"", "haishiwan", "pingan"}
    assert {row["area"] for row in (await got(zhaomin, "/api/v1/service-levels"))["levels"]} == {"haishiwan"}
    assert (await got(zhaomin, "/api/v1/service-levels", area="pingan"))["levels"] == []
    await house.cries(3)
    assert (await got(lina, "/api/v1/service-levels"))["running"]["take"]["count"] == 1
    assert (await got(zhaomin, "/api/v1/service-levels"))["running"]["take"]["count"] == 0


async def test_rulings_about_aid_are_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    zhoujie, sunli = await come("zhoujie"), await come("sunli")
    assert (await done(zhoujie, "/api/v1/aid/lost/street-haishiwan", 403, value="lost", reason="no power"))["reason"] == "foreign_area"
    assert (await done(zhoujie, "/api/v1/aid/saturated/haishiwan", 403, value="saturated", reason="full"))["reason"] == "foreign_area"
    await done(zhoujie, "/api/v1/aid/saturated/pingan", value="saturated", reason="full")
    await done(sunli, "/api/v1/aid/lost/street-haishiwan", value="lost", reason="no power")
    told = await got(zhoujie, "/api/v1/aid")
    assert [row["subject"] for row in told["saturated"]] == ["pingan"]
    assert told["lost"] == []


async def test_providers_are_of_ones_own_areas(come: Come, house: FakeHouse) -> None:
    register = house.register
    extra = [
        Responder(id=f"clean-{area}", name=area, kind=ResponderKind.PROVIDER, areas=(area,), lat=36.3, lon=102.9, capacity=2)
        for area in ("haishiwan", "pingan", "honggu")
    ]
    parts = {name: list(getattr(register, name).values()) for name in ("persons", "responders", "areas")}
    parts["responders"] += extra
    providers = [Provider(id=one.id, services=("housekeeping",)) for one in extra]
    house.register = Register(district="honggu", name="红古区", devices=list(register.devices), providers=providers, **parts)
    house.working_set.use(house.register, house.now())
    zhoujie = await come("zhoujie")
    told = await got(zhoujie, "/api/v1/providers")
    assert [row["id"] for row in told["providers"]] == ["clean-honggu", "clean-pingan"], "the district's serves the town too"
    assert told["counts"]["admitted"] == 2
    assert (await zhoujie.get("/api/v1/providers/clean-haishiwan")).status_code == 403
    assert (await done(zhoujie, "/api/v1/providers/clean-haishiwan/freeze", 403, reason="late"))["reason"] == "foreign_area"


async def test_the_watch_is_of_ones_own_areas(house: FakeHouse, come: Come) -> None:
    register = house.register
    persons = [msgspec.structs.replace(one, watch="alone") for one in register.persons.values()]
    parts = {name: list(getattr(register, name).values()) for name in ("responders", "areas")}
    house.register = Register(district="honggu", name="红古区", devices=list(register.devices), persons=persons, **parts)
    house.working_set.use(house.register, house.now())
    house.working_set.watch_over((WatchConfig(name="alone"),), None, house.now())
    zhaomin, lina = await come("zhaomin"), await come("lina")
    assert len((await got(lina, "/api/v1/watch"))["watched"]) == 40
    told = await got(zhaomin, "/api/v1/watch")
    assert {row["person"]["id"] for row in told["watched"]} == {f"p{number:03}" for number in range(0, 40, 2)}
    assert told["counts"] == {"watched": 20, "absent": 0, "missed": 0}
    for what in ("absence", "absence_over", "family_link"):
        assert (await done(zhaomin, f"/api/v1/watch/p001/{what}", 403))["reason"] == "foreign_area"
    await done(zhaomin, "/api/v1/watch/p000/absence")


async def test_a_counter_of_an_area_follows_what_comes_to_belong_elsewhere(house: FakeHouse) -> None:
    """The counters of all areas together stay as they were, and those of one of them do not: a locked screen there must fall silent."""
    feed = Feed(house)
    everybodys = await house.cries(HAI)
    house.working_set.incidents[everybodys.id] = msgspec.structs.replace(everybodys, person=None, device=None, area=None)
    haishiwan, pingan = (Scope(frozenset({area}), counts_only=True) for area in ("haishiwan", "pingan"))

    def waiting(scope: Scope, since: int) -> list[int]:
        feed.refresh()
        told = json.loads(feed.frame(since, feed.epoch, scope))["items"]
        return [one["raised"].get("critical", {}).get("count", 0) for one in told if one["id"] == "queue"]

    assert (waiting(haishiwan, 0), waiting(pingan, 0)) == ([1], [1]), "nobody knows where: everybody hears it"
    since = feed.rev
    await house.command(Command(action=Action.IDENTIFY, actor="李娜", incident=everybodys.id, facts={"person": f"p{PING:03}"}))
    assert waiting(haishiwan, since) == [0]
    assert waiting(pingan, since) == [1]
