"""Notices leave beside the orders: a whole gateway, a real web server for the family, and channels that are dead, slow or refuse."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from waiting import wait_until

from gateway.app import House
from gateway.clock import utc_now
from gateway.config import read_config
from gateway.core.command import Command
from gateway.core.incident import Action, Incident, LegState, Notice, State
from gateway.core.register import Contact, Register
from gateway.dispatch import notices
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.notices import AT_ONCE, Notices
from gateway.dispatch.words import NOTICES, notice_in_words
from gateway.event import Event, Kind, Severity
from gateway.metrics import Metrics
from gateway.register_files import read_register
from tests.core.room import PERSONS
from tests.dispatch.test_webhook import Receiver

DAUGHTER = Contact(name="Invented", relation="daughter", tell=("alarm", "over"), channel="slow", address="there", consent_on="2026-01-01")
SAID = {language: NOTICES["family", "alarm"][language].split("{at}")[0].format(name="王秀兰") for language in ("zh-CN", "en")}


@pytest.fixture
def family() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def station() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class Place:
    """A gateway's folder: one elder, a station reached by web hook, a daughter reached by web hook."""

    def __init__(self, folder: Path, station: str, family: str, *, channel: str = "webhook", language: str = "zh-CN") -> None:
        district = folder / "districts" / "small"
        district.mkdir(parents=True)
        files = {
            "district.toml": 'name = "small"\narea_code = "0931"\nlat = 36.34\nlon = 102.86\n',
            "areas.csv": "id,name,kind,parent,lat,lon\nsmall,小区,district,,36.34,102.86\n",
            "persons.csv": "id,name,born,area,home,address,lat,lon,phones,health_note\n"
            "p1,王秀兰,1940,small,h1,红古路12号,36.34,102.86,17400000003,高血压\n",
            "contacts.csv": "person,name,relation,phone,tell,channel,address,consent_on\n"
            f"p1,王小明,女儿,17400000004,alarm;coming;over,{channel},{family},2026-01-05\n",
            "devices.csv": "id,line,person,home,area,place\nA00001:1,,p1,,,\n",
            "responders.csv": "id,name,kind,parent,lat,lon,capacity,channel,address,phone\ndesk,坐席,desk,,,,1000,console,,\n"
            f"station,驿站,station,desk,36.34,102.86,9,webhook,{station},\n",
        }
        for name, text in files.items():
            (district / name).write_text(text, encoding="utf-8")
        (folder / "webhook.secret").write_text("0123456789abcdef-secret\n")
        (folder / "var").mkdir()
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'[gateway]\ndistrict = "small"\ndata = "var"\nlanguage = "{language}"\n[console]\nenabled = false\n'
            '[dispatch.webhook]\nsecret_file = "webhook.secret"\ntimeout_s = 2\n'
        )

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator[House]:
        config = read_config(self.config)
        house = House(config, read_register(config.district_folder, config.channels))
        stop = asyncio.Event()
        running = asyncio.create_task(house.run(stop))
        try:
            yield house
        finally:
            stop.set()
            await running


async def cries(house: House) -> Incident:
    now = house.now()
    await house.receive([Event(kind=Kind.SOS, line="buttons", device="A00001:1", received_at=now, occurred_at=now)])
    return only(house)


def only(house: House) -> Incident:
    (incident,) = house.incidents.values()
    return incident


def told(incident: Incident) -> list[str]:
    return [f"{one.moment} {one.state}" for one in incident.notices]


def bodies(receiver: Receiver) -> list[dict[str, object]]:
    return [json.loads(body) for _, _, body in receiver.requests]


# --- a whole gateway -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh-CN", "en"])
async def test_the_daughter_reads_that_somebody_cares_and_nothing_else(tmp_path: Path, station: Receiver, family: Receiver, language: str) -> None:
    async with Place(tmp_path, station.url, family.url, language=language).runs() as house:
        incident = await cries(house)
        await wait_until(lambda: told(only(house)) == ["alarm sent"], "told")
        (body,) = bodies(family)
        assert str(body["text"]).startswith(SAID[language])
        assert body["incident"] == incident.id
        for secret in ("高血压", "红古路", "17400000003", "王小明", "36.34", "sos"):
            assert secret not in json.dumps(body, ensure_ascii=False)
        await house.command(Command(action=Action.ACKNOWLEDGE, actor="Li Na", incident=incident.id))
        await house.command(
            Command(
                action=Action.RESOLVE,
                actor="Li Na",
                incident=incident.id,
                facts={"outcome": "helped", "override": "no step of its plan is meant here"},
            )
        )
        await wait_until(lambda: told(only(house)) == ["alarm sent", "over sent"], "over")
        entries = [entry for entry in await house.timeline(incident.id) if entry.kind == "informed"]
        assert [(one.facts["moment"], one.facts["to"], one.facts["state"]) for one in entries] == [
            ("alarm", "contact:p1:0", "sent"),
            ("over", "contact:p1:0", "sent"),
        ]


async def test_a_family_that_cannot_be_reached_delays_no_order(tmp_path: Path, station: Receiver, family: Receiver) -> None:
    """Both go by the same channel; the family's server hangs for ever."""
    family.may_answer.clear()
    async with Place(tmp_path, station.url, family.url).runs() as house:
        await cries(house)
        await wait_until(lambda: only(house).legs[0].state is LegState.SENT, "the order left")
        assert told(only(house)) == ["alarm pending"]
        assert len(station.requests) == 1
        family.may_answer.set()
        await wait_until(lambda: told(only(house)) == ["alarm sent"], "told when it answers again")


async def test_who_refuses_the_notice_is_on_record_and_asked_no_more(tmp_path: Path, station: Receiver, family: Receiver) -> None:
    family.answers = [(410, b"")]
    async with Place(tmp_path, station.url, family.url).runs() as house:
        await cries(house)
        await wait_until(lambda: told(only(house)) == ["alarm failed"], "failed")
        assert only(house).notices[0].reason == "http_410"
        assert only(house).state is State.RAISED
        assert len(family.requests) == 1


async def test_a_channel_that_is_not_configured_is_named(tmp_path: Path, station: Receiver) -> None:
    async with Place(tmp_path, station.url, "", channel="sms").runs() as house:
        await cries(house)
        await wait_until(lambda: told(only(house)) == ["alarm failed"], "failed")
        assert only(house).notices[0].reason == "no_channel_sms"


async def test_a_notice_that_had_not_left_leaves_after_a_restart_once(tmp_path: Path, station: Receiver, family: Receiver) -> None:
    place = Place(tmp_path, station.url, family.url)
    family.answers = [(503, b""), (503, b""), (200, b"")]
    async with place.runs() as house:
        await cries(house)
        await wait_until(lambda: family.requests, "tried once")
    family.answers = [(200, b"")]
    async with place.runs() as house:
        await wait_until(lambda: house.incidents and told(only(house)) == ["alarm sent"], "told after the restart")
    assert len({body["notice"] for body in bodies(family)}) == 1, "the same notice"
    before = len(family.requests)
    async with place.runs() as house:
        await wait_until(lambda: house.incidents, "restored")
        assert told(only(house)) == ["alarm sent"]
    assert len(family.requests) == before, "and not again"


# --- the deliverer by itself -----------------------------------------------------------------------------------------------------


class Slow:
    """A channel that holds whatever it is given until it may go on, and then does as it is told."""

    name = "slow"

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.at_work = self.most = 0
        self.may_go_on = asyncio.Event()
        self.faults: list[Exception] = []

    async def run(self) -> None:
        """Nothing to keep open."""

    async def deliver(self, order: Order) -> None:
        self.orders.append(order)
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await self.may_go_on.wait()
            if self.faults:
                raise self.faults.pop(0)
        finally:
            self.at_work -= 1


class Book:
    """The pipeline's side: what is still pending, and what was reported."""

    def __init__(self) -> None:
        self.pending: dict[str, tuple[Incident, Notice]] = {}
        self.reports: list[tuple[str, str]] = []

    def informed(self, incident: str, notice: str, reason: str) -> None:
        del incident
        self.reports.append((notice, reason))
        self.pending.pop(notice, None)

    def still_informing(self, incident: str, notice: str) -> tuple[Incident, Notice] | None:
        del incident
        return self.pending.get(notice)


class Desk:
    """Notices with one slow channel and a register with one daughter."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notices, "FIRST_RETRY_S", 0.01)
        self.now = utc_now()
        monkeypatch.setattr(notices, "utc_now", lambda: self.now)
        self.slow, self.other, self.book = Slow(), Slow(), Book()
        self.register = Register(persons=[msgspec.structs.replace(PERSONS[0], contacts=(DAUGHTER,))])
        channels = {"slow": self.slow, "other": self.other}
        self.notices = Notices(channels, self.book, lambda: self.register, Metrics(), lambda: "en")

    def offer(self, number: int = 1, channel: str = "slow", at: datetime | None = None) -> None:
        made = tuple(Notice(id=f"n{index}", to="contact:wang:0", moment="alarm", channel=channel, at=at or self.now) for index in range(number))
        incident = incident_with(made, self.now)
        self.book.pending |= {one.id: (incident, one) for one in made}
        self.notices.offer(incident)
        self.notices.offer(incident)  # each change of the incident offers them again


def incident_with(made: tuple[Notice, ...], at: datetime) -> Incident:
    return Incident(
        id="I100001", key="person:wang", person="wang", kind=Kind.SOS, severity=Severity.CRITICAL, state=State.RAISED,
        opened_at=at, changed_at=at, last_event_at=at, ts=1, notices=made,
    )  # fmt: skip


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    made = Desk(monkeypatch)
    yield made
    await made.notices.close()


async def test_so_few_at_a_time_that_an_order_finds_room_beside_them(desk: Desk) -> None:
    desk.offer(20)
    await wait_until(lambda: desk.slow.at_work == AT_ONCE)
    desk.slow.may_go_on.set()
    await wait_until(lambda: len(desk.book.reports) == 20, "all of them")
    assert desk.slow.most == AT_ONCE
    assert len(desk.slow.orders) == 20, "each once"


async def test_what_may_pass_is_tried_again_and_a_bug_stops_nothing(desk: Desk) -> None:
    desk.slow.faults = [DeliveryError("timeout"), RuntimeError("a bug"), DeliveryError("http_503")]
    desk.slow.may_go_on.set()
    desk.offer()
    await wait_until(lambda: desk.book.reports == [("n0", "")], "sent at last")
    assert len(desk.slow.orders) == 4
    assert {order.delivery for order in desk.slow.orders} == {"n0"}


async def test_after_an_hour_it_is_given_up(desk: Desk) -> None:
    desk.slow.faults = [DeliveryError("timeout") for _ in range(100)]
    desk.slow.may_go_on.set()
    desk.offer(at=desk.now - timedelta(minutes=59))
    await wait_until(lambda: len(desk.slow.orders) > 2)
    assert desk.book.reports == []
    desk.now += timedelta(minutes=2)
    await wait_until(lambda: desk.book.reports == [("n0", "timeout")], "given up")


async def test_what_is_overtaken_while_it_waits_is_not_sent(desk: Desk) -> None:
    desk.offer(AT_ONCE + 1)
    await wait_until(lambda: desk.slow.at_work == AT_ONCE)
    del desk.book.pending["n2"]  # the incident changed: something newer is to be told
    desk.slow.may_go_on.set()
    await wait_until(lambda: len(desk.book.reports) == AT_ONCE and desk.slow.at_work == 0)
    assert "n2" not in {order.delivery for order in desk.slow.orders}


async def test_consent_withdrawn_meanwhile_is_respected(desk: Desk) -> None:
    desk.register = Register(persons=[PERSONS[0]])
    desk.offer()
    await wait_until(lambda: desk.book.reports == [("n0", "nobody_there")])
    assert desk.slow.orders == []


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("what", NOTICES, ids="-".join)
def test_every_sentence_in_both_languages(what: tuple[str, str], language: str) -> None:
    said = notice_in_words(*what, language, name="N", at="11:00", place="P")
    assert "{" not in said
    assert said != notice_in_words(*what, "en" if language == "zh-CN" else "zh-CN", name="N", at="11:00", place="P")
    assert len(said.encode()) <= 200, "one or two short messages"
