"""A house of services: providers, agreements of mutual aid, requests, and incidents that went round the closed loop. All invented.

python -m tests.console.service_house --port 12349      serves the console on it
"""

import argparse
import asyncio
import contextlib
from datetime import date, timedelta

import msgspec
from prometheus_client import CollectorRegistry

from gateway.config import PolicyConfig
from gateway.console.http import make_app, serve
from gateway.core.command import Command
from gateway.core.incident import Action, Incident
from gateway.core.provider_matters import MACHINE
from gateway.core.providers import local_day
from gateway.core.register import Area, AreaKind, Register, Responder, ResponderKind
from gateway.core.requests import request_event
from gateway.core.standing import Ruling
from gateway.core.state import WorkingSet
from gateway.core.territory import AidAgreement, Loan, Provider, ProviderState, Shift
from gateway.event import Kind
from tests.console.fake_house import STATIC, FakeHouse, invented_register

NAMES = {"clean-home": "洁万家家政", "good-meal": "幸福食堂", "old-friend": "老朋友助老", "care-plus": "康护到家", "new-hands": "新手家政"}
KIND_NAMES = {"station": {"zh-CN": "邻里驿站", "en": "neighbourhood post"}, "provider": {"zh-CN": "加盟服务商", "en": "member provider"}}


def providers(today: date) -> list[Provider]:
    year = date(today.year, 1, 1)
    return [
        Provider(
            id="clean-home",
            services=("housekeeping", "life_care"),
            since=year,
            until=today + timedelta(days=12),
            graded_on=year,
            grade=4,
            assessor="third-party-1",
        ),
        Provider(
            id="good-meal",
            services=("meals",),
            since=year,
            until=today + timedelta(days=300),
            graded_on=year,
            grade=3,
            scale=3,
            assessor="third-party-1",
        ),
        Provider(id="old-friend", services=("assistance", "comfort"), state=ProviderState.PROBATION, since=year),
        Provider(id="care-plus", services=("nursing", "housekeeping"), since=year, until=today + timedelta(days=300), urgent=True, response_min=20),
        Provider(id="new-hands", services=("housekeeping",), state=ProviderState.APPLIED),
    ]


def service_register(today: date) -> Register:
    """As invented_register, with providers, a neighbouring district, agreements with it, and kinds that have names of their own."""
    plain = invented_register()
    rows = providers(today)
    people = [msgspec.structs.replace(one, entitled=one.id == "p001") for one in plain.persons.values()]
    homes = [
        Responder(id=row.id, name=NAMES[row.id], kind=ResponderKind.PROVIDER, lat=36.345, lon=102.861, capacity=4, areas=("honggu",)) for row in rows
    ]
    stations = [
        msgspec.structs.replace(one, areas=("honggu",)) if one.kind is ResponderKind.STATION and one.id != "station-2" else one
        for one in plain.responders.values()
    ]
    west = Responder(id="west-1", name="西固驿站", kind=ResponderKind.STATION, lat=36.4, lon=102.9, capacity=6, areas=("xigu",), label="联盟驿站")
    ends = today + timedelta(days=200)
    return Register(
        district="honggu",
        name=plain.name,
        persons=people,
        devices=plain.devices,
        areas=[*plain.areas.values(), Area(id="xigu", name="西固区", kind=AreaKind.DISTRICT, lat=36.4, lon=102.9)],
        responders=[*stations, west, *homes],
        providers=rows,
        agreements=[
            AidAgreement(
                id="east-west",
                helper="xigu",
                helped="honggu",
                both=True,
                kinds=("urgent",),
                since=today,
                until=ends,
                duties="夜间互助",
                response_min=30,
            ),
            AidAgreement(
                id="old-pair",
                helper="xigu",
                helped="honggu",
                kinds=("service",),
                since=date(2024, 1, 1),
                until=date(2024, 12, 31),
                duties="助餐",
                response_min=60,
            ),
        ],
        kind_names=KIND_NAMES,
        shifts=[
            Shift(responder="station-1", days="1-5", hours="08:00-18:00", staff=4, people=("staff-01", "staff-02", "staff-03", "staff-04")),
            Shift(responder="station-1", days="1-5", hours="18:00-08:00", staff=1, people=("staff-05",)),
            Shift(responder="station-1", days="6;7", hours="09:00-17:00", staff=2),
        ],
        loans=[Loan(id="loan-1", lender="station-3", borrower="station-1", since=today, until=today + timedelta(days=5), staff=1)],
        version="with-services",
    )


def service_house() -> FakeHouse:
    """Nothing has happened yet."""
    house = FakeHouse()
    house.register = service_register(local_day(house.now()))
    house.working_set = WorkingSet(house.register, PolicyConfig(service_quiet=""))
    return house


async def files(house: FakeHouse, person: str, service: str, hours: float = 20, wish: str = "", by: str = "李娜") -> Incident:
    """A request for an ordinary service; gives it."""
    now = house.now()
    await house.receive([request_event(person=person, service=service, by=by, now=now, wanted_at=now + timedelta(hours=hours), wish=wish)])
    return next(one for one in reversed(house.incidents.values()) if one.service)


async def does(house: FakeHouse, incident: str, action: Action, actor: str = "周敏", **facts: object) -> None:
    await house.command(Command(action=action, actor=actor, incident=incident, facts=facts))


async def goes_round(house: FakeHouse, person: int) -> Incident:
    """A cry that was ordered, accepted, served and resolved; the call-back is due."""
    incident = await house.cries(person, Kind.FALL)
    await does(house, incident.id, Action.ACKNOWLEDGE)
    if not house.incidents[incident.id].legs:
        await does(house, incident.id, Action.DISPATCH)
    await house.deliver()
    delivery = house.incidents[incident.id].legs[0].delivery
    for answer in (Kind.ACCEPT, Kind.EN_ROUTE, Kind.ARRIVED):
        house.offset += timedelta(minutes=2)
        await house.answers(delivery, answer)
    await does(house, incident.id, Action.STEP, step="call_person")
    await does(house, incident.id, Action.RESOLVE, outcome="helped")
    return house.incidents[incident.id]


async def ranks(house: FakeHouse) -> None:
    """The machine has scored, and proposes one for suspension."""
    scores = {"clean-home": [0.41, 38], "good-meal": [0.93, 120], "old-friend": [0.77, 21], "care-plus": [0.88, 64]}
    proposed = {"clean-home": {"score": 0.41, "of": 4}}
    await house.rule(Ruling(key="ranking:day", value="ranked", actor=MACHINE, reason="last_share", detail={"scores": scores, "proposed": proposed}))


async def day(house: FakeHouse) -> None:
    """What stands on the page when it is opened."""
    await ranks(house)
    await house.rule(Ruling(key="frozen:old-friend", value="frozen", actor="赵敏", reason="大额预收", until=house.now() + timedelta(days=9)))
    await house.rule(Ruling(key="saturated:honggu", value="saturated", actor=MACHINE, reason="no_places_left", detail={"places": 15, "taken": 14}))
    await house.rule(Ruling(key="lost:street-haishiwan", value="lost", actor="赵敏", reason="停电, 电话不通"))
    house.offset = timedelta(hours=-3)
    complaint = await goes_round(house, 4)
    await does(house, complaint.id, Action.CALL_BACK, complaint=True, note="来得太晚", about=complaint.legs[0].responder)
    resolved = await goes_round(house, 5)
    house.offset = timedelta()
    await files(house, "p001", "meals", 2, "少盐")
    first = await files(house, "p003", "housekeeping", 20, "两室, 擦玻璃")
    await house.deliver()
    await house.answers(house.incidents[first.id].legs[0].delivery, Kind.ACCEPT)
    await files(house, "p008", "rehabilitation", 48)
    await files(house, "p010", "assistance", 5, "陪诊")
    await house.cries(0)
    await house.cries(1, Kind.FALL)
    await house.deliver()
    assert resolved.is_open


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=12349)
    options = parser.parse_args()
    house = service_house()
    await day(house)
    print(f"http://127.0.0.1:{options.port}/ (invented people)", flush=True)
    await serve(make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry()), "127.0.0.1", options.port)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
