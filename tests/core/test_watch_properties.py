"""Whatever happens, in whatever order: nobody who is watched over is forgotten, nobody is missed too early, nobody is ordered twice."""

import contextlib
from datetime import timedelta

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core.incident import OPEN_LEG, Flag, State
from gateway.core.missed import is_missed
from gateway.core.orders import NEIGHBOURS, told
from gateway.core.state import Draft
from gateway.core.watched import START_GRACE
from gateway.errors import Refused
from gateway.event import Event, Kind, Phase
from tests.core.test_watch import Street

WATCHED = ("wang", "li", "sun")
KINDS = (Kind.MOTION, Kind.BUTTON, Kind.HEARTBEAT, Kind.SOS, Kind.BED_EXIT, Kind.HELP, Kind.INACTIVITY, Kind.CANCEL, Kind.LOW_BATTERY)


class Lives(RuleBasedStateMachine):
    """Three people, their devices, an operator, a neighbour, stations and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Street()
        self.told = 0

    @rule(person=st.sampled_from(WATCHED), kind=st.sampled_from(KINDS), phase=st.sampled_from((Phase.RAISE, Phase.CLEAR, Phase.REPEAT)))
    def a_device_speaks(self, person: str, kind: Kind, phase: Phase) -> None:
        self.room.sign(person, kind, phase=phase)

    @rule(person=st.sampled_from(WATCHED), hours=st.integers(1, 30))
    def history_arrives(self, person: str, hours: int) -> None:
        at = self.room.now - timedelta(hours=hours)
        self.room.sign(person, Kind.MOTION, late="backfill", occurred_at=at, time_source="device")

    @rule(kind=st.sampled_from((Kind.LINE_LOST, Kind.LINE_RESTORED)), line=st.sampled_from(("wearables", "panel")))
    def a_line_comes_or_goes(self, kind: Kind, line: str) -> None:
        self.room.event(kind, line=line, phase=Phase.RAISE if kind is Kind.LINE_LOST else Phase.STATE)

    @rule(minutes=st.sampled_from((1, 5, 15, 60, 300, 800)))
    def time_passes(self, minutes: int) -> None:
        self.room.advance(minutes=minutes)

    @rule(minutes=st.integers(0, 600))
    def the_gateway_is_killed(self, minutes: int) -> None:
        self.room.restart(timedelta(minutes=minutes))

    @rule(person=st.sampled_from(WATCHED), over=st.booleans(), hours=st.none() | st.integers(1, 50))
    def an_absence_is_told(self, person: str, over: bool, hours: int | None) -> None:
        until = self.room.now + timedelta(hours=hours) if hours is not None else None
        if not over or self.room.working.watch.by_person[person].state.absence is not None:
            self.room.wish(person, over=over, until=until)

    @precondition(lambda self: list(self.room.working.open_incidents))
    @rule(data=st.data(), action=st.sampled_from(("acknowledge", "release", "resolve", "call_back", "dispatch")))
    def an_operator_acts(self, data: st.DataObject, action: str) -> None:
        name = data.draw(st.sampled_from(sorted(one.id for one in self.room.working.open_incidents)))
        with contextlib.suppress(Refused):
            self.room.do(action, name, **({"outcome": "helped"} if action == "resolve" else {}))

    @precondition(lambda self: self.room.orders)
    @rule(data=st.data(), word=st.sampled_from(("accept", "decline", "arrived", "done")))
    def a_responder_answers(self, data: st.DataObject, word: str) -> None:
        order = self.room.orders[-1 - data.draw(st.integers(0, min(3, len(self.room.orders) - 1)))]
        self.room.answer(str(order["to"]), word, str(order["delivery"]))

    @rule(reason=st.sampled_from(("", "cannot", "not_connected")))
    def devices_are_told(self, reason: str) -> None:
        for incident in list(self.room.working.open_incidents):
            for telling in incident.tellings:
                draft = Draft(self.room.working)
                told(draft, incident.id, telling.id, reason, self.room.now)
                self.room._settle(draft)

    @invariant()
    def everybody_is_due(self) -> None:
        assert [person for person in WATCHED if f"watch:{person}" not in self.room.working.due] == []

    @invariant()
    def whoever_is_overdue_has_an_incident(self) -> None:
        for person in WATCHED:
            one = self.room.working.watch.by_person[person]
            if one.state.absence is None and one.due(one.state) + START_GRACE < self.room.now:
                mine = [incident for incident in self.room.working.open_incidents if incident.person == person]
                told_of = [i for i in mine if i.state in (State.RAISED, State.ACKNOWLEDGED) and Flag.ENDED not in i.flags]
                assert told_of, (person, one.state)
                assert any(is_missed(incident) for incident in told_of), (person, one.state)  # and the page says so

    @invariant()
    def nobody_is_missed_too_early(self) -> None:
        for record in self.room.records[self.told :]:
            if record.kind is Kind.MISSED_CHECKIN and record.phase is Phase.RAISE:
                event = msgspec.json.decode(record.facts, type=Event)
                if "watch" in event.detail and "last_sign_at" in event.detail:
                    assert float(str(event.detail["silent_s"])) >= 13 * 3600, event
        self.told = len(self.room.records)

    @invariant()
    def the_ladder_sends_one_at_a_time(self) -> None:
        for incident in self.room.working.open_incidents:
            if incident.watch:
                kinds = [self.room.working.router.responder(leg.responder) for leg in incident.legs if leg.exclusive and leg.state in OPEN_LEG]
                assert sum(one is not None and one.kind not in NEIGHBOURS for one in kinds) <= 1
                assert len([name for name in incident.deadlines if name.startswith("ladder:")]) <= 1


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
