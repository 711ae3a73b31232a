"""Action plans over HTTP: a plan of the place in both languages, required steps refused with their names, who may set them aside."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from gateway.config.plans import PlanConfig, PlanStep
from gateway.console.http import make_app
from gateway.core.incident import State
from tests.console.accounts_house import log_in, with_accounts
from tests.console.fake_house import CONFIG, STATIC, FakeHouse

BASE = "http://127.0.0.1:12349"
OWN = PlanConfig(
    name="sos-here",
    kinds=("sos",),
    step=(PlanStep(word="open_the_door", zh="请物业开门", en="Have the door opened", required=True), PlanStep(word="dispatch")),
)


def house_with(*plans: PlanConfig) -> FakeHouse:
    house = with_accounts(plan=plans)
    house.working_set.plans = plans
    return house


@contextlib.asynccontextmanager
async def client_of(house: FakeHouse, login: str) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        await log_in(client, login)
        yield client


async def post(client: httpx.AsyncClient, incident: str, action: str, **body: object) -> tuple[int, dict[str, Any]]:
    reply = await client.post(f"/api/v1/incidents/{incident}/{action}", json=body)
    return reply.status_code, reply.json()


async def test_a_plan_of_the_place_is_shown_in_both_languages_and_ticked() -> None:
    house = house_with(OWN)
    incident = (await house.cries(4)).id
    async with client_of(house, "lina") as client:
        plan = (await client.get(f"/api/v1/incidents/{incident}")).json()["plan"]
        text = {"zh-CN": "请物业开门", "en": "Have the door opened"}
        assert plan[0] == {"id": "open_the_door", "required": True, "done": False, "by_itself": False, "text": text}
        assert plan[1] == {"id": "dispatch", "required": False, "done": True, "by_itself": True}  # the machine has ordered
        assert (await post(client, incident, "step", step="sing"))[0] == 400
        assert (await post(client, incident, "step", step="open_the_door"))[0] == 200
        assert (await client.get(f"/api/v1/incidents/{incident}")).json()["plan"][0]["done"] is True


async def test_a_new_configuration_brings_new_plans() -> None:
    house = house_with()
    incident = (await house.cries(4)).id
    async with client_of(house, "lina") as client:
        assert (await client.get(f"/api/v1/incidents/{incident}")).json()["plan"][0]["id"] == "call_person"
        house.config, house.working_set.plans = msgspec.structs.replace(CONFIG, plan=(OWN,)), (OWN,)  # as the gateway does at a reload
        assert (await client.get(f"/api/v1/incidents/{incident}")).json()["plan"][0]["id"] == "open_the_door"


async def test_an_operator_is_told_what_is_missing_and_cannot_set_it_aside() -> None:
    house = house_with(OWN)
    incident = (await house.cries(4)).id
    async with client_of(house, "lina") as client:
        await post(client, incident, "acknowledge")
        status, said = await post(client, incident, "resolve", outcome="helped")
        assert (status, said["reason"], said["steps"], said["incident"]["state"]) == (409, "steps_missing", ["open_the_door"], "acknowledged")
        assert await post(client, incident, "resolve", outcome="helped", override="老人已在医院，有家属陪同") == (403, {"reason": "no_right"})
        assert house.incidents[incident].state is State.ACKNOWLEDGED


async def test_a_supervisor_sets_it_aside_for_a_reason_and_waives_the_call_back() -> None:
    house = house_with(OWN)
    incident = (await house.cries(4)).id
    async with client_of(house, "sunli") as client:
        await post(client, incident, "acknowledge")
        assert (await post(client, incident, "resolve", outcome="helped", override="ok"))[0] == 400
        assert (await post(client, incident, "resolve", outcome="helped", override="老人已在医院，有家属陪同"))[0] == 200
        (said,) = [row for name, row in house.journal if row.kind == "resolve"]
        assert (said.actor, said.facts["override"]) == ("孙丽", "老人已在医院，有家属陪同")
    async with client_of(house, "lina") as client:
        assert await post(client, incident, "waive", reason="老人已住院无法联系") == (403, {"reason": "no_right"})
    async with client_of(house, "sunli") as client:
        assert (await post(client, incident, "waive", reason="老人已住院无法联系"))[0] == 200
        assert house.incidents[incident].state is State.CLOSED


async def test_whoever_has_seen_another_state_is_told() -> None:
    house = house_with()
    incident = (await house.cries(4)).id
    async with client_of(house, "lina") as client:
        await post(client, incident, "acknowledge")
        await house.cries(4)  # raised again meanwhile
        status, said = await post(client, incident, "resolve", outcome="helped", state="acknowledged")
        assert (status, said["reason"], said["state"]) == (409, "state_changed", "raised")
