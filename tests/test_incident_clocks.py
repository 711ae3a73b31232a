"""Service levels of alarms: each clock of each alarm counts once, where it belongs, and a start gives back what was counted."""

from datetime import timedelta

import pytest

from gateway.config import AnswerTarget, ProfileConfig
from gateway.core.incident import Action, Incident
from gateway.event import Kind, Phase
from gateway.incident_clocks import ARRIVE, CALL_BACK, CLOCKS, INFORM, TAKE, IncidentClocks, stopped, waiting
from tests.core.room import START, Room


class Watched(Room):
    """A room of which every change is shown to the clocks."""

    def __init__(self, *profiles: ProfileConfig) -> None:
        super().__init__()
        self.clocks = IncidentClocks(profiles)

    def look(self) -> None:
        for incident in self.working.incidents.values():
            self.clocks.see(incident, self.working.register, self.now)

    def level(self, profile: str, hotline: str = "", area: str = "") -> tuple[int, float | None, bool | None]:
        """(counted, share within the first bound, met)."""
        found = [one for one in self.clocks.levels(self.now, hotline, area) if one.profile.name == profile]
        if not found:
            return 0, None, None
        (one,) = found
        return one.tally.counted, one.tally.share_within(one.profile.target[0].within_s), one.tally.meets(one.profile)

    def the(self, person: str) -> Incident:
        return next(one for one in self.working.incidents.values() if one.person == person)

    def seconds(self, person: str) -> dict[str, float | None]:
        return dict(stopped(self.the(person)))


def helped(room: Watched, person: str, device: str, *, take_s: float, arrive_s: float) -> None:
    """Pressed; the station accepts and is there; over and rung back an hour later."""
    room.press(device)
    room.look()
    room.advance(seconds=take_s)
    delivery = str(room.the(person).legs[0].delivery)
    responder = room.the(person).legs[0].responder
    room.answer(responder, "accept", delivery)
    room.look()
    room.advance(seconds=arrive_s - take_s)
    room.answer(responder, "arrived", delivery)
    room.look()
    room.do(Action.ACKNOWLEDGE, room.the(person).id)
    room.do(Action.RESOLVE, room.the(person).id, outcome="helped")
    room.look()
    room.advance(minutes=60)
    room.do(Action.CALL_BACK, room.the(person).id, satisfaction=5)
    room.look()


def test_each_clock_runs_from_where_to_where() -> None:
    room = Watched()
    helped(room, "wang", "w-wang", take_s=30, arrive_s=600)
    assert room.seconds("wang") == {TAKE: 30.0, INFORM: 0.0, ARRIVE: 600.0, CALL_BACK: 3600.0}
    assert [room.level(name) for name in ("tsa_alarm", "nfpa2016", "circle15", "day_call_back")] == [(1, 1.0, True)] * 4


def test_looked_at_again_nothing_counts_twice() -> None:
    room = Watched()
    helped(room, "wang", "w-wang", take_s=30, arrive_s=600)
    for _ in range(3):
        room.look()
    assert [room.level(name)[0] for name in ("tsa_alarm", "nfpa2016", "circle15", "day_call_back")] == [1, 1, 1, 1]


def test_a_bound_includes_itself_and_beyond_it_is_missed() -> None:
    room = Watched()
    helped(room, "wang", "w-wang", take_s=60, arrive_s=900)
    helped(room, "li", "w-li", take_s=61, arrive_s=901)
    assert room.level("tsa_alarm") == (2, 0.5, False)
    assert room.level("circle15") == (2, 0.5, False)


def test_accepted_and_never_there_is_missed() -> None:
    room = Watched()
    room.press("w-wang")
    leg = room.the("wang").legs[0]
    room.answer(leg.responder, "accept", leg.delivery)
    room.do(Action.ACKNOWLEDGE, room.the("wang").id)
    room.do(Action.RESOLVE, room.the("wang").id, outcome="false_alarm")
    room.look()
    assert room.level("circle15") == (1, 0.0, False)


def test_who_never_accepted_is_not_awaited() -> None:
    room = Watched()
    room.press("w-wang")
    leg = room.the("wang").legs[0]
    room.answer(leg.responder, "decline", leg.delivery)
    room.do(Action.ACKNOWLEDGE, room.the("wang").id)
    room.do(Action.RESOLVE, room.the("wang").id, outcome="false_alarm")
    room.look()
    assert room.level("circle15") == (0, None, None)


@pytest.mark.parametrize("fields", [{"phase": Phase.TEST}, {"late": "backfill"}])
def test_tests_and_history_count_nowhere(fields: dict[str, object]) -> None:
    room = Watched()
    room.event(Kind.SOS, "w-wang", **fields)
    room.advance(minutes=30)
    room.look()
    assert list(room.clocks.levels(room.now)) == []


def test_a_test_is_known_by_its_outcome() -> None:
    room = Watched()
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.the("wang").id)
    room.do(Action.RESOLVE, room.the("wang").id, outcome="test")
    room.look()
    assert list(room.clocks.levels(room.now)) == []


def test_per_area_and_hotline() -> None:
    room = Watched()
    helped(room, "wang", "w-wang", take_s=30, arrive_s=600)
    assert room.level("circle15", area="haishiwan") == (1, 1.0, True)
    assert room.level("circle15", area="elsewhere") == (0, None, None)
    assert {(one.hotline, one.area) for one in room.clocks.levels(room.now)} == {("", ""), ("", "haishiwan")}


def test_the_window_slides() -> None:
    room = Watched(ProfileConfig(name="week", clock="arrive", target=(AnswerTarget(within_s=900, share=0.9),), window_s=7 * 86_400))
    helped(room, "wang", "w-wang", take_s=30, arrive_s=600)
    room.advance(minutes=25 * 60)
    assert room.level("circle15") == (0, None, None)
    assert room.level("week") == (1, 1.0, True)


def test_after_a_start_what_was_counted_is_counted() -> None:
    room = Watched()
    helped(room, "wang", "w-wang", take_s=30, arrive_s=600)
    helped(room, "li", "w-li", take_s=100, arrive_s=1200)
    again = IncidentClocks()
    for incident in room.working.incidents.values():
        again.see(incident, room.working.register, room.now)

    def figures(clocks: IncidentClocks) -> list[object]:
        return [(one.hotline, one.area, one.profile.name, one.tally.counted, dict(one.tally.within)) for one in clocks.levels(room.now)]

    assert figures(again) == figures(room.clocks)


def test_what_runs_now() -> None:
    room = Watched()
    room.press("w-wang")
    room.advance(seconds=45)
    assert waiting(room.working.open_incidents, room.now) == {TAKE: (1, 45.0), INFORM: (0, 0.0), ARRIVE: (1, 45.0)}
    room.do(Action.ACKNOWLEDGE, room.the("wang").id)
    assert waiting(room.working.open_incidents, room.now)[TAKE] == (0, 0.0)
    assert room.now - START == timedelta(seconds=45)


def test_every_built_in_profile_names_a_clock() -> None:
    assert {one.clock for one in IncidentClocks().profiles} == set(CLOCKS)
