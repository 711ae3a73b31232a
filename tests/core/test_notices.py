"""The family is told at the moments it agreed to, the home district when somebody is elsewhere; never under duress, never at anybody's cost."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.core.incident import Action, Incident, Notice
from gateway.core.notices import LIMIT, contact_of
from gateway.core.orders import informed
from gateway.core.register import Contact, Register
from gateway.core.state import Draft
from gateway.event import Kind
from tests.core.room import AREAS, DEVICES, PERSONS, RESPONDERS, Room

DAUGHTER = Contact(name="Invented Daughter", relation="daughter", phone="+8617400000041", tell=("alarm", "coming", "over"), consent_on="2026-01-05")
SON = Contact(name="Invented Son", relation="son", tell=("over",), channel="email", address="son@example.org", consent_on="2026-01-05")
NEVER_ASKED = msgspec.structs.replace(DAUGHTER, name="Invented Niece", consent_on="")
NOT_YET = msgspec.structs.replace(DAUGHTER, name="Invented Nephew", consent_on="2026-12-01")
SILENT = msgspec.structs.replace(DAUGHTER, name="Invented Cousin", tell=())


def room_with(*contacts: Contact) -> Room:
    person = msgspec.structs.replace(PERSONS[0], contacts=contacts)
    register = Register(district="honggu", persons=[person, *PERSONS[1:]], devices=DEVICES, responders=RESPONDERS, areas=AREAS, version="family")
    return Room(register=register)


@pytest.fixture
def room() -> Room:
    return room_with(DAUGHTER, SON)


def told(incident: Incident, to: str = "contact:wang:0") -> list[str]:
    return [f"{one.moment} {one.state}" for one in incident.notices if one.to == to]


def report(room: Room, notice: Notice, reason: str = "") -> None:
    draft = Draft(room.working)
    informed(draft, room.only.id, notice.id, reason, room.now)
    room._settle(draft)


def sent(room: Room) -> None:
    """Everything that waits has left."""
    for notice in room.only.notices:
        if notice.state == "pending":
            report(room, notice)


def test_told_at_the_alarm_when_help_comes_and_when_it_is_over(room: Room) -> None:
    room.press("w-wang")
    assert told(room.only) == ["alarm pending"]
    sent(room)
    room.answer("station-7", "accept")
    sent(room)
    room.answer("station-7", "en_route")
    room.answer("station-7", "arrived")
    assert told(room.only) == ["alarm sent", "coming sent"], "once each"
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name)
    room.do(Action.RESOLVE, name, outcome="helped")
    assert told(room.only) == ["alarm sent", "coming sent", "over pending"]
    assert told(room.only, "contact:wang:1") == ["over pending"], "the son wants to know the end alone"


@pytest.mark.parametrize("contact", [NEVER_ASKED, NOT_YET, SILENT], ids=["no consent", "consent to come", "wants nothing"])
def test_without_consent_and_wish_nobody_is_told(contact: Contact) -> None:
    room = room_with(contact)
    room.press("w-wang")
    room.answer("station-7", "accept")
    assert room.only.notices == ()


def test_who_is_only_informed_is_nobody_on_the_way(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.DISPATCH, room.only.id, responder="health-1", role="doctor")
    room.answer("health-1", "accept")
    assert told(room.only) == ["alarm pending"]


def test_what_was_not_sent_yet_gives_way_to_what_is_true_now(room: Room) -> None:
    room.press("w-wang")
    room.answer("station-7", "accept")
    assert told(room.only) == ["alarm overtaken", "coming pending"]


def test_under_duress_nobody_is_told(room: Room) -> None:
    room.event(Kind.DURESS, "w-wang")
    room.answer("station-7", "accept")
    assert room.only.notices == ()


def test_a_cry_under_duress_silences_what_has_not_left_yet(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.DURESS, "w-wang")
    room.answer("station-7", "accept")
    assert told(room.only) == ["alarm overtaken"]


@pytest.mark.parametrize("kind", [Kind.HELP, Kind.OFFLINE, Kind.LOW_BATTERY])
def test_a_wish_or_a_weak_battery_frightens_nobody(room: Room, kind: Kind) -> None:
    room.event(kind, "w-wang")
    assert all(not incident.notices for incident in room.working.open_incidents)


def test_a_new_cry_after_it_was_over_is_told_anew_and_others_are_not(room: Room) -> None:
    room.press("w-wang")
    room.press("w-wang")
    assert len(room.only.notices) == 1
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="false_alarm")
    sent(room)
    room.press("w-wang")
    assert told(room.only) == ["alarm overtaken", "over sent", "alarm pending"]
    assert len({one.id for one in room.only.notices}) == len(room.only.notices)


def test_known_late_whose_it_is_the_family_is_told_then(room: Room) -> None:
    room.press("stranger")
    assert room.only.notices == ()
    room.do(Action.IDENTIFY, room.only.id, person="wang")
    assert told(room.only) == ["alarm pending"]


def test_a_merged_incident_is_not_over(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, "+8617400000099")
    call = room.only.id
    room.press("w-wang")
    room.do(Action.IDENTIFY, call, person="wang")
    assert [one.moment for one in room.working.incidents[call].notices] == []
    assert told(room.only) == ["alarm pending"]


def test_the_journal_says_who_was_told_what_and_why_not(room: Room) -> None:
    room.press("w-wang")
    report(room, room.only.notices[0], "http_410")
    facts = [msgspec.json.decode(record.facts) for record in room.records if record.kind is Kind.INFORMED]
    assert facts == [{"to": "contact:wang:0", "moment": "alarm", "channel": "sms", "state": "failed", "reason": "http_410"}]
    assert "41" not in str(facts).replace("http_410", ""), "no number"
    report(room, room.only.notices[0])
    assert told(room.only) == ["alarm failed"], "what is settled stays so"


def test_an_incident_tells_no_more_than_its_limit() -> None:
    crowd = [msgspec.structs.replace(DAUGHTER, phone=f"+86174000001{number:02}") for number in range(LIMIT)]
    room = room_with(*crowd)
    room.press("w-wang")
    room.answer("station-7", "accept")
    assert len(room.only.notices) == LIMIT


def test_nothing_that_is_told_changes_who_is_ordered_or_when(room: Room) -> None:
    other = room_with()
    for one in (room, other):
        one.press("w-wang")
        one.advance(seconds=61)
    assert [(o["to"], o["repeat"]) for o in room.orders] == [(o["to"], o["repeat"]) for o in other.orders]
    assert {word.partition(":")[0] for word in room.only.deadlines} == {word.partition(":")[0] for word in other.only.deadlines}


@pytest.mark.parametrize(
    "now",
    [
        pytest.param({"consent_on": ""}, id="consent withdrawn"),
        pytest.param({"tell": ("over",)}, id="moment taken back"),
        pytest.param({"channel": "email"}, id="somebody else in that place"),
    ],
)
def test_a_notice_reaches_nobody_whom_the_register_no_longer_means(room: Room, now: dict[str, Any]) -> None:
    room.press("w-wang")
    (notice,) = room.only.notices
    assert contact_of(room.working.register, notice) == DAUGHTER
    later = room_with(msgspec.structs.replace(DAUGHTER, **now)).working.register
    assert contact_of(later, notice) is None


def test_a_restart_tells_nothing_twice(room: Room) -> None:
    room.press("w-wang")
    sent(room)
    before = room.only
    draft = Draft(room.working)
    draft.put(before)
    assert draft.incidents.get(before.id) == before


def test_what_a_chain_tells_responders_takes_no_place_of_the_family(room: Room) -> None:
    room.press("w-wang")
    draft = Draft(room.working)
    told_others = tuple(
        Notice(id=f"n{number}", to="responder:town", moment="alarm", channel="mqtt", at=room.now, state="sent") for number in range(LIMIT)
    )
    draft.put(msgspec.structs.replace(room.only, notices=(*room.only.notices, *told_others)))
    draft.settle()
    room.answer("station-7", "accept")
    assert told(room.only) == ["alarm overtaken", "coming pending"]


def test_consent_given_today_holds_from_midnight_of_the_district() -> None:
    """It is 02:00 in Lanzhou on the day of the consent; in Greenwich it is still the day before."""
    room = room_with(msgspec.structs.replace(DAUGHTER, consent_on="2026-03-15"))
    room.now = datetime(2026, 3, 14, 18, 0, tzinfo=UTC)
    room.press("w-wang")
    assert told(room.only) == ["alarm pending"]
    assert contact_of(room.working.register, room.only.notices[0]) is not None
