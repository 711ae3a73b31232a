"""What a reader may see: masking as a table, rows small enough, a person's record for the owner alone."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from gateway.config import HotlineConfig
from gateway.console import views
from gateway.console.card_views import card_part
from gateway.console.device_views import EVERYBODY
from gateway.console.reader import Reader
from gateway.core.account import AccountRole
from gateway.core.command import Command
from gateway.core.incident import Action, State
from gateway.core.register import Area, AreaKind, Assessment, Device, Person, Register, Risk
from gateway.core.routing import Candidate, Decision
from gateway.core.state import Call
from gateway.event import Kind, Position, Severity
from tests.console.fake_house import CONFIG, FakeHouse, Line, Row, invented_register
from tests.console.street import street_gateway_dies, supervised_house

NOW = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("王秀兰", "王**"), ("王兰", "王*"), ("欧阳秀兰", "欧**"), ("阿不都·热合曼", "阿**"), ("王", "王*"), ("", ""), ("John Smith", "J**")],
)
def test_a_name_keeps_its_first_character(name: str, shown: str) -> None:
    assert views.mask_name(name) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+8613812341204", "138****1204"),
        ("13812341204", "138****1204"),
        ("+869316212345", "0931***2345"),
        ("09316212345", "0931***2345"),
        ("6212346", "***2346"),
        ("+861012345678", "010****5678"),
        ("12349", "12349"),
        ("8001", "8001"),
        ("anonymous", "anonymous"),
        ("王秀兰", "****"),
        ("+442079460123", "442*****0123"),
        ("", None),
        (None, None),
    ],
)
def test_a_number_keeps_its_head_and_last_four(number: str | None, shown: str | None) -> None:
    assert views.mask_phone(number) == shown


@pytest.mark.parametrize(
    ("address", "town", "shown"),
    [
        ("海石湾镇红古路12号3单元402室", "海石湾镇", "红古路"),
        ("兰州市红古区海石湾镇红古路12号", "海石湾镇", "红古路"),
        ("海石湾镇红古路幸福小区东单元西户", "海石湾镇", "红古路幸福小区"),
        ("平安镇河湾村三社", "平安镇", "河湾村"),
        ("平安镇河湾村三社李家", "平安镇", "河湾村"),
        ("红古路A座", "", "红古路"),
        ("红古路12号", "", "红古路"),  # full-width digits
        ("红古路十二号", "", "红古路"),
        ("村委会后面老王家", "", "村"),
        ("老王家后面", "", ""),
        ("12 Oak Street, flat 4", "", ""),
        ("", "海石湾镇", ""),
    ],
)
def test_a_street_is_shown_without_its_door(address: str, town: str, shown: str) -> None:
    assert views.street_of(address, town) == shown


def test_free_text_loses_its_numbers_but_not_our_hotlines_times_or_ids() -> None:
    text = "请打138 1234 1204或0931-6212346, 转6212345, I100905, 2026-03-14 08:00, 620111194501011234"
    assert views.mask_numbers(text, ("6212345",)) == "请打138****1204或0931***2346, 转6212345, I100905, 2026-03-14 08:00, 620***********1234"


def test_age_is_counted_in_local_years() -> None:
    person = Person(id="p", name="王秀兰", born=1940)
    assert views.age_of(person, datetime(2025, 12, 31, 15, 59, tzinfo=UTC)) == 85
    assert views.age_of(person, datetime(2025, 12, 31, 16, 0, tzinfo=UTC)) == 86
    assert views.age_of(Person(id="p", name="王秀兰"), NOW) is None


async def test_a_row_is_masked_and_small() -> None:
    house = FakeHouse()
    incident = await house.cries(2)
    person = house.register.persons["p002"]
    row = views.incident_row(house.register, incident, house.now())
    text = msgspec.json.encode(row).decode()
    assert row["name"] == person.name[0] + "**"
    assert row["place"] == "海石湾镇 平安路"
    assert row["age"] == house.now().year - (person.born or 0)
    for secret in (person.name, person.address, person.phones[0], person.health_note, "3号"):
        assert secret not in text
    assert len(text.encode()) < 640  # with every field there; about 430 as a rule, and deflated on a socket


@pytest.mark.parametrize(("source", "shown"), [("gnss", "gnss"), ("network", "network"), (None, "home")])
async def test_the_position_that_decided_names_its_source(source: str | None, shown: str) -> None:
    """The journal leaves out what is default, and satellites are."""
    house = FakeHouse()
    position = {"position": Position(lat=36.345, lon=102.86, source=source)} if source else {}
    incident = await house.cries(3, **position)
    decision = (await detail_of(house, incident.id, None))["decision"]
    assert decision["position"]["source"] == shown
    assert decision["rule"] == "nearest"


async def test_a_technical_row_says_which_line_or_device() -> None:
    house = FakeHouse()
    await house.receive([house.event(Kind.LINE_LOST, None, "corridor", detail={"reason": "port_closed", "mandatory": True})])
    await house.receive([house.event(Kind.LOW_BATTERY, "w004")])
    await house.cries(5)
    rows = [views.incident_row(house.register, incident, house.now()) for incident in house.incidents.values()]
    assert [(row["kind"], row.get("line"), row.get("device")) for row in rows] == [
        ("line_lost", "corridor", None),
        ("low_battery", "wearables", "w004"),
        ("sos", None, None),
    ]
    assert max(len(msgspec.json.encode(row)) for row in rows) < 640


async def test_several_persons_on_one_number_are_told_apart_without_names() -> None:
    house = FakeHouse()
    await house.calls_in("+8619900000003", Kind.CALL_ANSWERED, agent="李娜")
    incident = next(iter(house.incidents.values()))
    detail = await detail_of(house, incident.id, "赵敏")
    assert detail["incident"]["candidates"] == 3
    assert detail["incident"]["caller"] == "199****0003"
    assert [one["id"] for one in detail["persons"]] == ["p003", "p006", "p007"]
    assert all(one["name"].endswith("**") and one["place"].startswith(("海石湾镇 ", "平安镇 ")) for one in detail["persons"])
    assert "+8619900000003" not in msgspec.json.encode(detail).decode()
    assert [one["devices"] for one in detail["persons"]] == [["w003"], ["w006"], ["w007"]]


async def test_the_card_has_the_persons_devices_and_the_hotline() -> None:
    house = FakeHouse()
    incident = await house.cries(4)
    detail = await detail_of(house, incident.id, "李娜")
    (device,) = detail["devices"]
    assert (device["device"], device["line"], device["state"]) == ("w004", "wearables", "unsupervised")
    assert device["seen_at"] is not None
    assert (detail["hotline"], detail["areas"], detail["record"]) == (None, [], None)
    await house.calls_in("+8617400000044", Kind.CALL_ANSWERED, agent="8001")
    call = next(one for one in house.incidents.values() if one.call)
    hotlines = (HotlineConfig(number="12349", name="居家养老"),)
    card = card_part(house.working, hotlines, call, EVERYBODY, False, house.now())
    assert card["hotline"] == {"number": "12349", "name": "居家养老", "supplementary": False, "profiles": ("gbt33358", "tsa", "nena")}
    assert [one["name"] for one in card["areas"]] == ["平安镇", "海石湾镇"]  # where somebody unknown may be
    elsewhere = Reader(name="赵敏", role=AccountRole.OPERATOR, areas=frozenset(("pingan",)))
    assert [one["id"] for one in card_part(house.working, hotlines, call, elsewhere, False, house.now())["areas"]] == ["pingan"]


async def test_the_record_of_a_caller_is_masked_for_all_but_who_is_in_charge() -> None:
    house = FakeHouse()
    await house.calls_in("+8617400000044", Kind.CALL_ANSWERED, agent="8001")
    (incident,) = house.incidents.values()
    said = {"name": "周示例", "address": "海石湾镇花牌路9号2单元", "what": "院里摔倒, 女儿电话 17400000055", "area": "haishiwan"}
    for action, facts in ((Action.ACKNOWLEDGE, {}), (Action.RECORD, said)):
        await house.command(Command(action=action, actor="李娜", incident=incident.id, facts=facts))
    mine, theirs = await detail_of(house, incident.id, "李娜"), await detail_of(house, incident.id, "赵敏")
    assert (mine["record"]["name"], mine["record"]["address"], mine["record"]["what"]) == (said["name"], said["address"], said["what"])
    shown = msgspec.json.encode(theirs).decode()
    assert (theirs["record"]["name"], theirs["record"]["address"]) == ("周**", "海石湾镇花牌路")
    assert not any(text in shown for text in ("周示例", "9号", "17400000055"))
    assert (mine["incident"]["name"], mine["incident"]["place"]) == ("周**", "海石湾镇 花牌路")  # a row is masked for everybody


async def detail_of(house: FakeHouse, name: str, reader: str | None) -> dict:
    incident = house.incidents[name]
    rows = await house.timeline(name)
    detail = views.incident_detail(house.register, incident, rows, house.candidates(incident), reader, house.now(), CONFIG.calls.hotlines)
    return detail | card_part(house.working, (), incident, EVERYBODY, views.is_entitled(incident, reader), house.now())


@pytest.mark.parametrize(
    ("reader", "moves", "entitled"),
    [
        (None, (), False),
        ("赵敏", (Action.ACKNOWLEDGE,), False),
        ("李娜", (), False),
        ("李娜", (Action.ACKNOWLEDGE,), True),
        ("李娜", (Action.ACKNOWLEDGE, Action.RESOLVE), True),
        ("李娜", (Action.ACKNOWLEDGE, Action.RESOLVE, Action.CALL_BACK), False),
    ],
    ids=["nobody on duty", "somebody else", "not yet taken", "owner", "owner until the call-back", "closed"],
)
async def test_only_the_owner_of_the_open_incident_sees_the_record(reader: str | None, moves: tuple[Action, ...], entitled: bool) -> None:
    house = FakeHouse()
    incident = await house.cries(4)
    for action in moves:
        facts: dict[str, object] = {"outcome": "helped"} if action is Action.RESOLVE else {}
        await house.command(Command(action=action, actor="李娜", incident=incident.id, facts=facts))
    person = house.register.persons["p004"]
    detail = await detail_of(house, incident.id, reader)
    text = msgspec.json.encode(detail).decode()
    card = detail["person"]
    assert card["masked"] is not entitled
    assert (person.name in text, person.address in text, person.health_note in text) == (entitled,) * 3
    assert card["phones"] == ["199****0004"]
    assert person.phones[0] not in text
    assert [contact["phone"] for contact in card["contacts"]] == ["198****0004", "0931***0000"]
    assert [contact["name"] for contact in card["contacts"]] == (["王小红", "赵邻居"] if entitled else ["王**", "赵**"])
    assert card["address"] == (person.address if entitled else "海石湾镇 河湾村")


async def test_the_exact_place_is_the_owners() -> None:
    house = FakeHouse()
    incident = await house.cries(1, position=Position(lat=36.345678, lon=102.867891, fixed_at=house.now()))
    everybody = await detail_of(house, incident.id, None)
    assert everybody["incident"]["position"] == {
        "lat": 36.35,
        "lon": 102.87,
        "source": "gnss",
        "accuracy_m": None,
        "fixed_at": incident.position.fixed_at,
    }
    said = msgspec.json.encode(everybody).decode()
    assert "36.35" in said
    assert not [digits for digits in ("36.345", "36.346", "102.867", "102.868") if digits in said], "in no part of it, the timeline neither"
    await house.command(Command(action=Action.ACKNOWLEDGE, actor="李娜", incident=incident.id))
    owner = await detail_of(house, incident.id, "李娜")
    assert owner["incident"]["position"]["lat"] == 36.345678


@pytest.mark.parametrize("entitled", [False, True])
def test_a_timeline_entry_hides_what_is_personal(entitled: bool) -> None:
    facts: dict[str, object] = {
        "device": "861234567890123",
        "raw": "…",
        "text": "女儿13812341204会来",
        "detail": {"caller_e164": "+8613812341204", "hotline": "6212345", "call": "a84b4c76e66710", "name": "王秀兰"},
        "position": {"lat": 36.345678, "lon": 102.867891},
        "list": ["13812341204", 7],
        "ts": 1773475200000,
    }
    entry = views.timeline_entry(Row(1, NOW, "sos", "raise", None, facts), entitled, ("6212345",))
    detail = entry["detail"]
    assert isinstance(detail, dict)
    assert ("raw" in detail) is entitled
    assert detail["device"] == "861234567890123"
    assert detail["text"] == "女儿138****1204会来"
    inner = {"caller_e164": "138****1204", "hotline": "6212345", "call": "a84b4c76e66710", "name": "王秀兰" if entitled else "王**"}
    assert detail["detail"] == inner
    assert detail["position"]["lat"] == (36.345678 if entitled else 36.35)
    assert detail["list"] == ["138****1204", 7]
    assert detail["ts"] == 1773475200000


async def test_legs_plan_and_the_reasons_of_the_last_decision_are_shown() -> None:
    house = FakeHouse()
    incident = await house.cries(0)
    await house.deliver()
    await house.command(Command(action=Action.ACKNOWLEDGE, actor="李娜", incident=incident.id))
    await house.command(Command(action=Action.STEP, actor="李娜", incident=incident.id, facts={"step": "call_person"}))
    detail = await detail_of(house, incident.id, "李娜")
    (leg,) = detail["legs"]
    assert (leg["state"], leg["kind"], leg["name"].endswith("驿站"), leg["repeat"]) == ("sent", "station", True, 0)
    assert detail["incident"]["leg"] == "sent"
    assert detail["decision"]["rule"] == "nearest"
    chosen = [one for one in detail["decision"]["candidates"] if one["verdict"] == "chosen"]
    assert [one["responder"] for one in chosen] == [leg["responder"]]
    assert set(chosen[0]) == {"responder", "name", "kind", "kind_name", "km", "travel_min", "verdict", "load", "capacity"}
    assert len(detail["candidates_now"]) >= 3
    assert {step["id"]: step["done"] for step in detail["plan"]} == {"call_person": True, "ask_injury": False, "call_family": False, "dispatch": True}


HELP, FAULT, AT_HOME = (
    ["call_person", "ask_injury", "call_family", "dispatch"],
    ["check_device"],
    ["call_person", "check_device"],
)
TROUBLES = (Kind.OFFLINE, Kind.FAULT, Kind.TAMPER, Kind.LOW_BATTERY, Kind.DEVICE_REMOVED)


@pytest.mark.parametrize(
    ("kind", "risks", "steps"),
    [
        *((kind, (), FAULT) for kind in TROUBLES),
        *((kind, (Risk.LIVING_ALONE,), AT_HOME) for kind in TROUBLES),
        (Kind.POWER_CUT, (), AT_HOME),
        (Kind.SMOKE, (), ["call_119", *HELP]),
        (Kind.WATER_LEAK, (Risk.LIVING_ALONE,), HELP),
    ],
)
async def test_the_plan_of_a_thing_asks_about_no_injuries(kind: Kind, risks: tuple[Risk, ...], steps: list[str]) -> None:
    register = invented_register()
    register = Register(
        persons=[msgspec.structs.replace(one, risks=risks) for one in register.persons.values()],
        devices=register.devices,
        areas=register.areas.values(),
    )
    house = FakeHouse(register)
    await house.receive([house.event(kind, "w004")])
    (incident,) = house.incidents.values()
    assert incident.person == "p004"
    assert [step["id"] for step in (await detail_of(house, incident.id, None))["plan"]] == steps


async def test_what_belongs_to_nobody_is_only_checked() -> None:
    """A device in a public place, a line, and a street gateway with all that are silent behind it."""
    house = supervised_house()
    await house.receive([house.event(Kind.POWER_CUT, "lobby-1", "corridor"), house.event(Kind.LINE_LOST, None, "corridor")])
    await street_gateway_dies(house)
    plans = {one.kind: (await detail_of(house, one.id, None))["plan"] for one in house.incidents.values()}
    assert {kind: [step["id"] for step in plan] for kind, plan in plans.items()} == dict.fromkeys(
        (Kind.POWER_CUT, Kind.LINE_LOST, Kind.OFFLINE), FAULT
    )


def test_a_decision_names_responders_that_the_register_has_lost() -> None:
    decision = Decision(responder="gone", rule="nearest", register="1", at=NOW, candidates=(Candidate("gone", "chosen", 1.0, 5.2, 0, 1),))
    (candidate,) = views.decision_view(Register(), decision)["candidates"]  # type: ignore[misc]
    assert (candidate["name"], candidate["kind"]) == ("gone", None)


def test_a_device_in_a_public_place_and_one_that_nobody_knows() -> None:
    register = Register(
        areas=[Area(id="t", name="海石湾镇", kind=AreaKind.TOWN), Area(id="c", name="一社区", kind=AreaKind.COMMUNITY, parent="t")],
        devices=[Device(id="lobby", area="c", place="幸福小区3号楼大厅")],
    )
    known = FakeIncident(device="lobby")
    assert views.place_of(register, known) == "海石湾镇 幸福小区"  # type: ignore[arg-type]
    assert views.place_of(register, FakeIncident(device="?")) is None  # type: ignore[arg-type]
    assert views.place_of(register, FakeIncident(area="c")) == "海石湾镇"  # type: ignore[arg-type]


class FakeIncident(msgspec.Struct, kw_only=True):
    person: str | None = None
    device: str | None = None
    line: str = "corridor"
    area: str | None = None
    record: None = None


def test_a_tree_of_areas_that_bites_its_tail_ends() -> None:
    areas = [Area(id="a", name="甲", kind=AreaKind.GRID, parent="b"), Area(id="b", name="乙", kind=AreaKind.GRID, parent="a")]
    assert views.town_of(Register(areas=areas), "a") == ""


def test_a_call_shows_the_hotline_and_who_may_be_calling() -> None:
    register = Register(persons=[Person(id="p", name="王秀兰")])
    detail: dict[str, object] = {"hotline": "12349", "caller_e164": "+8613812341204", "agent": "8001"}
    call = Call(key="hotline|1", line="hotline", state=Kind.CALL_RINGING, at=NOW, detail=detail, persons=("p", "lost"))
    assert views.call_item(register, call, {"8001": "李娜"}) == {
        "type": "call",
        "id": "hotline|1",
        "state": "call_ringing",
        "hotline": "12349",
        "caller": "138****1204",
        "persons": ["王**"],
        "agent": "李娜",
        "operator": None,
        "incident": None,
        "since": NOW,
    }


def test_a_line_and_the_counters() -> None:
    item = views.line_item("corridor", Line("espa444", True, "lost", NOW + timedelta(microseconds=7), "port_closed"))
    assert item == {"type": "line", "id": "corridor", "codec": "espa444", "state": "lost", "since": NOW, "mandatory": True, "reason": "port_closed"}
    buckets = [
        (Severity.CRITICAL, State.RAISED),
        (Severity.CRITICAL, State.CLOSED),
        (Severity.MINOR, State.RESOLVED),
        (Severity.WARNING, State.ACKNOWLEDGED),
    ]
    counters = {
        "type": "counter",
        "id": "queue",
        "critical": 1,
        "major": 0,
        "minor": 1,
        "warning": 1,
        "call_back": 1,
        "open": 3,
        "raised": {},
        "shelved": 0,
    }
    assert views.counter_item(Counter(buckets)) == counters


def test_a_device_that_is_known_by_its_telephone_number_is_shown_masked_and_a_serial_number_whole() -> None:
    facts = {"received_at": 1, "device": "+8617400000055", "detail": {}}
    for entitled in (True, False):
        assert views.timeline_entry(Row(1, NOW, "sos", "raise", None, facts), entitled)["detail"]["device"] == "174****0055"  # type: ignore[index]
    assert [views.shown_device(name) for name in ("+8617400000055", "862000000000001", "lobby-1", None)] == [
        "174****0055",
        "862000000000001",
        "lobby-1",
        None,
    ]


def test_of_a_call_whose_caller_hides_the_number_no_raw_word_is_shown() -> None:
    detail = {"call": "c1", "presentation": "restricted", "caller": "+8617400000055"}
    facts = {"received_at": 1, "device": "+8617400000055", "dedup": "17400000055-x:offered", "kind_raw": "INVITE sip:17400000055@x", "detail": detail}
    entry = views.timeline_entry(Row(1, NOW, "call_offered", "state", None, facts), True)
    assert "0055" not in msgspec.json.encode(entry).decode()


@pytest.mark.parametrize(
    ("kind_raw", "shown"), [("ME 0003 0010", "ME 0003 0010"), ("PI 0000", "PI 0000"), ("INVITE 17400000055", "INVITE 174****0055")]
)
def test_the_codes_of_a_home_unit_are_no_telephone_number(kind_raw: str, shown: str) -> None:
    facts = {"received_at": 1, "device": "862000000000001", "kind_raw": kind_raw, "detail": {"text": "0003 0010"}}
    detail = views.timeline_entry(Row(1, NOW, "sos", "raise", None, facts), False)["detail"]
    assert detail["kind_raw"] == shown  # type: ignore[index]
    assert detail["detail"]["text"] == "****0010"  # type: ignore[index]


def test_a_card_says_how_old_it_is() -> None:
    """An operator sees when somebody last checked what the card says, and by what assessment; local days count."""
    now = datetime(2026, 3, 14, 16, 30, tzinfo=UTC)  # 00:30 of the 15th in China
    ended = Assessment(assessor="third-party", on=date(2025, 3, 1), until=date(2026, 3, 14))
    person = Person(id="p", name="Invented", confirmed_on="2026-03-14", confirmed_by="street-1", assessed=ended)
    card = views.person_view(Register(), person, False, now)
    assert card["confirmed"] == {"on": "2026-03-14", "by": "street-1", "days": 1}
    assert card["assessed"] == {"by": "third-party", "on": date(2025, 3, 1), "until": date(2026, 3, 14), "over": True}
    unknown = views.person_view(Register(), Person(id="q", name="Invented"), False, now)
    assert (unknown["confirmed"], unknown["assessed"]) == ({"on": None, "by": None, "days": None}, None)
