"""Houses in memory in which every screen of the console has something to show. Invented people, as everywhere in the tests."""

import random
import struct
from datetime import timedelta
from pathlib import Path

import msgspec

from gateway.config import CallsConfig, PolicyConfig, RecordingsConfig, TelephoneConfig
from gateway.config.map import MapConfig, MapLayerConfig
from gateway.core.command import Command
from gateway.core.incident import Action, Flag, Incident
from gateway.core.provider_matters import MACHINE
from gateway.core.providers import local_day
from gateway.core.standing import Ruling
from gateway.core.state import Draft, WorkingSet
from gateway.event import Kind, Phase
from gateway.telephone import Telephone
from tests.console import fake_house, past, service_house, street
from tests.console.accounts_house import with_accounts
from tests.console.fake_exchange import AGENTS, Pbx
from tests.console.fake_house import FakeHouse

SAMPLES = 8000  # a second


def a_sound(file: Path, seconds: int = 30) -> None:
    """A WAV of silence that a browser plays (RIFF, PCM, 8 bit, mono)."""
    samples = bytes([128]) * (SAMPLES * seconds)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLES, SAMPLES, 1, 8)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    file.write_bytes(struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data)


def access_house() -> FakeHouse:
    """Accounts of every role; one of them must change the first password. Nothing has happened yet."""
    house = with_accounts()
    house.accounts.take([msgspec.structs.replace(house.accounts.known("zhaomin"), must_change=True)])
    return house


def desk_house(folder: Path, tiles: str) -> FakeHouse:
    """A district with services, a telephone, recordings, and a base map from the address `tiles`."""
    a_sound(folder / "20261122-c1.wav")
    layer = MapLayerConfig(name="invented", kind="xyz", url=tiles + "/{z}/{x}/{y}", crs="gcj02")
    house = with_accounts(
        service_house.service_register(local_day(FakeHouse().now())),
        map=MapConfig(attribution="© Invented map", approval="GS(2026)0001号", layer=(layer,)),
        recordings=RecordingsConfig(folder=str(folder), pattern="*-{call}.wav"),
        telephone=TelephoneConfig(line="hotline"),
        calls=CallsConfig(agents=AGENTS),
        path=str(folder / "gateway.toml"),
    )
    house.working_set = WorkingSet(house.register, PolicyConfig(service_quiet=""))
    house.working_set.desk = msgspec.structs.replace(house.working_set.desk, flood_over=90)  # what is grouped has a picture of its own
    exchange = Pbx()
    house.telephone = Telephone(house.config.telephone, "12349", lambda: exchange)
    return house


async def a_day(house: FakeHouse) -> None:
    """Weeks that are over, the services of a day, and an evening on which much happens at once."""
    await past.a_past(house)
    await service_house.day(house)
    house.offset = timedelta(minutes=-30)
    for kind in (Kind.CALL_RINGING, Kind.CALL_ANSWERED, Kind.CALL_ENDED):
        await house.calls_in(house.register.persons["p030"].phones[0], kind, "c1", "8001")
    await fake_house.evening(house, random.Random(1))
    for _ in range(3):
        await house.cries(20, Kind.FALL_SUSPECTED)
    watches = [house.event(Kind.HEARTBEAT, f"w{i:03}", phase=Phase.STATE, firmware="1.4.2" if i % 5 else "1.3.0") for i in range(40)]
    await house.receive(watches)
    stalled = await house.cries(21)
    await house.command(Command(action=Action.ACKNOWLEDGE, actor="赵敏", incident=stalled.id))
    draft = Draft(house.working_set)
    mine = house.incidents[stalled.id]
    draft.put(msgspec.structs.replace(mine, flags=(*mine.flags, Flag.STALLED), version=mine.version + 1))
    house.settle(draft)
    await risks(house)


# rule, subject, measure, figures: one of each rule, and more of those that come often
WARNINGS: tuple[tuple[str, str, float, dict[str, float]], ...] = (
    ("repeat_faller", "p003", 1.5, {"week": 3, "month": 4}),
    ("repeat_faller", "p014", 1.0, {"week": 2, "month": 2}),
    ("near_falls", "p020", 1.2, {"week": 6, "month": 6}),
    ("calls_often", "p008", 2.1, {"week": 21, "usual": 3.3}),
    ("battery_dying", "wearables|w011", 2.5, {"days": 2.8, "percent": 31}),
    ("battery_dying", "wearables|w006", 1.1, {"days": 6.4, "percent": 44}),
    ("batteries_low", "invented-1", 1.6, {"hits": 9, "of": 20}),
    ("refuses", "station-2", 1.9, {"hits": 9, "of": 12}),
    ("arrives_late", "station-4", 1.4, {"hits": 11, "of": 19}),
    ("station_full", "station-1", 1.6, {"orders": 4, "places": 3, "minutes": 48}),
    ("silent_line", "wearables", 3.2, {"messages": 64, "minutes": 37}),
    ("model_flood", "invented-2", 6.0, {"cries": 312, "devices": 14, "usual": 10.4}),
    ("model_false", "invented-2", 1.3, {"hits": 31, "of": 40}),
    ("desk_slow", "desk", 1.2, {"seconds": 71, "usual": 29}),
)


async def risks(house: FakeHouse) -> None:
    """One warning of each rule, as the machine rules them; somebody has seen to one."""
    for rule, subject, value, facts in WARNINGS:
        await house.rule(Ruling(key=f"risk:{rule}:{subject}", value="raised", actor=MACHINE, detail={"value": value, "facts": facts}))
    await house.rule(Ruling(key="risk_seen:repeat_faller:p014", value="seen", actor="孙丽", reason="周一上门探访"))


def of_kind(house: FakeHouse, kind: Kind, **facts: object) -> Incident:
    """The newest open incident of this kind; facts: fields that must be so."""
    fits = (
        one
        for one in house.incidents.values()
        if one.kind is kind and one.is_open and all(getattr(one, name) == fact for name, fact in facts.items())
    )
    return max(fits, key=lambda one: one.id)


async def after_the_night(house: FakeHouse) -> None:
    """The street of tests.console.street after a night of silence."""
    await street.night(house)
