"""Whatever the OpenAPI document allows, and what it does not, is answered: no request makes a route fail (500). Requests by schemathesis."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import httpx
import pytest
import schemathesis
from house import House
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.generation import GenerationMode
from servers import until

EACH = 5
EACH_LONG = 400  # of the campaign
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
NOT_NOW = 503  # said on purpose: a store that is down, a pool that is full


class Caller:
    """Somebody on duty, who sends what schemathesis makes up to incidents that are there."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = httpx.Client(base_url=address, trust_env=False)
        self.csrf = ""
        self.answers: Counter[tuple[str, int]] = Counter()
        self.broken: dict[str, str] = {}

    def goes_on_duty(self) -> None:
        self.csrf = self.client.get("/api/v1/session").json()["csrf"]
        answer = self.client.post("/api/v1/duty", json={"name": "李娜"}, headers={"X-CSRF": self.csrf})
        assert answer.status_code == 200, answer.text

    def incidents(self) -> list[str]:
        return [item["id"] for item in self.client.get("/api/v1/changes").json()["items"] if item["type"] == "incident"]

    def sends(self, case: Case, places: dict[str, str]) -> None:
        for name, place in places.items():
            if name in (case.path_parameters or {}):
                case.path_parameters[name] = place
        answer = case.call(base_url=self.address, headers={"X-CSRF": self.csrf, "Cookie": f"session={self.client.cookies['session']}"})
        self.answers[case.operation.label, answer.status_code] += 1
        if answer.status_code >= 500 and answer.status_code != NOT_NOW:
            self.broken[case.operation.label] = case.as_curl_command()


@asynccontextmanager
async def asked(folder: Path) -> AsyncIterator[Caller]:
    """Somebody on duty at a whole gateway, with an incident of a person to ask about."""
    async with House(folder) as house:
        house.start()
        await house.ready()
        await house.lines_live("wearables")
        caller = Caller(house.console)
        async with aiomqtt.Client(house.address.host, house.address.port) as device:
            await device.publish(f"wearables/{house.district.wearable(1)}/event", json.dumps({"kind": "sos", "ts": 1_700_000_000_000}), qos=1)
        await asyncio.to_thread(caller.goes_on_duty)
        await until(caller.incidents, "there is an incident")
        try:
            yield caller
        finally:
            caller.client.close()
        assert await house.stop() == 0


def every_operation(caller: Caller, each: int) -> None:
    for mode in MODES:
        schema = schemathesis.openapi.from_url(f"{caller.address}/api/v1/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()
            known = caller.incidents()
            try:
                strategy = operation.as_strategy(generation_mode=mode)
                tried(caller, strategy, each, {"id": known[0], "person": "pw-1"} if known else {})
            except (schemathesis.errors.SchemathesisError, Unsatisfiable):  # nothing of this operation can be got wrong
                assert mode is GenerationMode.NEGATIVE, operation.label
            if operation.path == "/api/v1/duty":
                caller.goes_on_duty()


def tried(caller: Caller, strategy: object, each: int, places: dict[str, str]) -> None:
    @settings(
        max_examples=each,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        derandomize="CI" in os.environ,
    )
    @given(strategy)  # type: ignore[arg-type]
    def sends(case: Case) -> None:
        caller.sends(case, places)

    sends()


async def test_no_request_makes_a_route_fail(tmp_path: Path) -> None:
    async with asked(tmp_path) as caller:
        await asyncio.to_thread(every_operation, caller, EACH)
        assert caller.broken == {}
        assert {status for _, status in caller.answers} > {200, 400, 404}


@pytest.mark.campaign
async def test_no_request_of_many_makes_a_route_fail(tmp_path: Path) -> None:
    async with asked(tmp_path) as caller:
        await asyncio.to_thread(every_operation, caller, EACH_LONG)
        assert caller.broken == {}
