"""What devices are told, as stories: taken, coming, over; a new cry, a decline, duress, and what becomes of each telling."""

import pytest

from drivers.downlink import Word
from gateway.core import telling
from gateway.core.incident import Sounded
from gateway.core.orders import told
from gateway.core.state import Draft
from gateway.dispatch.words import TOLD
from gateway.event import Kind, Phase
from tests.core.room import Room


@pytest.fixture
def room() -> Room:
    room = Room()
    room.working.tell_lines = frozenset(("watches",))
    return room


def words(room: Room) -> list[tuple[str, str, str]]:
    """(device, word, state) of everything told, oldest first."""
    return [(one.device, one.word, one.state) for incident in room.working.incidents.values() for one in incident.tellings]


def report(room: Room, reason: str = "") -> None:
    """The lines have delivered whatever is pending."""
    for incident in list(room.working.incidents.values()):
        for one in incident.tellings:
            if one.state == "pending":
                draft = Draft(room.working)
                told(draft, incident.id, one.id, reason, room.now)
                room._settle(draft)


def test_taken_then_coming_then_over(room: Room) -> None:
    room.press("w-wang", line="watches")
    assert words(room) == []
    room.do("acknowledge", room.only.id)
    assert words(room) == [("w-wang", "taken", "pending")]
    report(room)
    room.answer("station-7", "accept")
    report(room)
    room.do("resolve", room.only.id, outcome="helped")
    report(room)
    room.do("call_back", room.only.id)
    assert words(room) == [("w-wang", "taken", "told"), ("w-wang", "coming", "told"), ("w-wang", "over", "told")]
    sent = [record for record in room.records if record.kind is Kind.SENT and b'"told"' in record.facts]
    assert len(sent) == 3


def test_a_responder_that_accepts_before_anybody_looks_is_told_at_once_and_once(room: Room) -> None:
    room.press("w-wang", line="watches")
    room.answer("station-7", "accept")
    room.answer("station-7", "en_route")
    room.do("acknowledge", room.only.id)  # no step back to "taken"
    assert words(room) == [("w-wang", "coming", "pending")]


def test_a_new_cry_is_answered_anew(room: Room) -> None:
    room.press("w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    report(room)
    room.advance(seconds=30)
    room.press("w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    assert [word for _, word, _ in words(room)] == ["taken", "taken"]
    assert len({one.id for one in room.only.tellings}) == 2


def test_every_device_that_cried_is_told(room: Room) -> None:
    room.press("w-wang", line="watches")
    room.press("w-wang-2", line="watches")
    room.do("acknowledge", room.only.id)
    assert words(room) == [("w-wang", "taken", "pending"), ("w-wang-2", "taken", "pending")]


def test_a_line_that_can_tell_nothing_is_left_alone(room: Room) -> None:
    room.press("w-wang", line="wearables")
    room.do("acknowledge", room.only.id)
    assert words(room) == []


@pytest.mark.parametrize("order", [(Kind.DURESS, Kind.SOS), (Kind.SOS, Kind.DURESS)])
def test_under_duress_nothing_lights_up(room: Room, order: tuple[Kind, Kind]) -> None:
    for kind in order:
        room.event(kind, "w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    room.do("resolve", room.only.id, outcome="helped")
    assert words(room) == []


def test_trouble_with_a_device_is_not_told_to_it(room: Room) -> None:
    room.event(Kind.LOW_BATTERY, "w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    assert words(room) == []


def test_what_cannot_be_told_is_on_record_and_what_the_protocol_has_no_word_for_is_not(room: Room) -> None:
    room.press("w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    report(room, "not_connected")
    assert words(room) == [("w-wang", "taken", "failed")]
    assert [record for record in room.records if record.kind is Kind.FAILED]
    room.answer("station-7", "accept")
    before = len(room.records)
    report(room, "cannot")
    assert len(room.records) == before


def test_a_later_word_overtakes_one_that_has_not_left(room: Room) -> None:
    room.press("w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    room.answer("station-7", "accept")
    assert words(room) == [("w-wang", "taken", "overtaken"), ("w-wang", "coming", "pending")]


def test_a_report_that_comes_twice_changes_nothing(room: Room) -> None:
    room.press("w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    (one,) = room.only.tellings
    for reason in ("", "lost"):
        draft = Draft(room.working)
        told(draft, room.only.id, one.id, reason, room.now)
        room._settle(draft)
    assert words(room) == [("w-wang", "taken", "told")]


def test_the_history_of_tellings_is_bounded(room: Room) -> None:
    room.press("w-wang", line="watches")
    for _ in range(telling.KEPT + 5):
        room.do("acknowledge", room.only.id)
        report(room)
        room.advance(seconds=30)
        room.press("w-wang", line="watches", phase=Phase.RAISE)
    assert len(room.only.tellings) == telling.KEPT


def test_a_prompt_is_no_step_of_the_order(room: Room) -> None:
    room.press("w-wang", line="watches")
    asked = telling.prompted(room.only, (Sounded("watches", "w-wang"),), "1", room.now)
    draft = Draft(room.working)
    draft.put(asked)
    room._settle(draft)
    room.do("acknowledge", room.only.id)
    assert [word for _, word, _ in words(room)] == ["prompt", "taken"]


def test_the_words_are_those_of_the_downlink() -> None:
    assert {word.value for word in Word} == set(TOLD) == {*telling._ORDER[1:], telling.PROMPT}


def test_a_cry_under_duress_stops_what_has_not_left_yet(room: Room) -> None:
    room.press("w-wang", line="watches")
    room.do("acknowledge", room.only.id)
    assert words(room) == [("w-wang", "taken", "pending")]
    room.event(Kind.DURESS, "w-wang", line="watches")
    assert words(room) == [("w-wang", "taken", "overtaken")]


def test_what_is_put_into_a_matter_of_duress_stays_dark_too(room: Room) -> None:
    """Also what waits in the incident that goes up in it: family and devices."""
    room.event(Kind.DURESS, "w-wang", line="watches")
    duress = room.only.id
    room.event(Kind.HELP, "w-li", line="watches")
    other = next(one.id for one in room.working.open_incidents if one.id != duress)
    room.do("acknowledge", other)
    assert ("w-li", "taken", "pending") in words(room)
    room.do("merge", other, into=duress, different=True)
    assert [state for _, _, state in words(room)] == ["overtaken"]
