"""Whatever speaks and falls silent, in whatever order: every device is waited for or known to be silent, and the counts are true."""

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core import decide
from gateway.core.incident import Action, Flag
from gateway.core.state import Draft
from gateway.event import Kind, Phase
from tests.core.test_supervision import Street

COUNT, DIRECT = 8, 7
NUMBERS = st.lists(st.integers(0, COUNT + DIRECT - 1), max_size=12, unique=True)


class Silences(RuleBasedStateMachine):
    """A street gateway with eight behind it, seven that speak for themselves."""

    gateway_class = "gateway"

    def __init__(self) -> None:
        super().__init__()
        self.room = Street(count=COUNT, direct=DIRECT, gateway_class=self.gateway_class)

    @rule(numbers=NUMBERS, late=st.sampled_from((None, None, "replayed")))
    def some_speak(self, numbers: list[int], late: str | None) -> None:
        self.room.beat(*numbers, late=late)

    @rule(battery=st.floats(0, 100), number=st.integers(0, COUNT + DIRECT - 1))
    def one_tells_its_charge(self, battery: float, number: int) -> None:
        self.room.beat(number, battery_pct=battery)

    @rule()
    def all_speak(self) -> None:
        self.room.beat(*range(COUNT + DIRECT))
        self.room.event(Kind.HEARTBEAT, "gw", phase=Phase.STATE)

    @rule(first=st.integers(1, 4))
    def they_speak_in_turns_and_then_no_more(self, first: int) -> None:
        """So that the first is overdue before the others are late: is it the path, or is it alone?"""
        self.room.beat(*range(COUNT))
        self.room.advance(minutes=9)
        self.room.beat(*range(first, COUNT))
        self.room.advance(minutes=7)

    @rule(minutes=st.sampled_from([1, 4, 10, 16, 40, 2000]))
    def time_passes(self, minutes: int) -> None:
        self.room.advance(minutes=minutes)

    @rule(seconds=st.integers(1, 900), kept=NUMBERS)
    def a_batch_that_fails_leaves_no_trace(self, seconds: int, kept: list[int]) -> None:
        self.room.advance(seconds=seconds)
        draft = Draft(self.room.working)
        decide.on_due(draft, [name for number, name in enumerate(self.room.working.supervision.by_name) if number not in kept], self.room.now)

    @rule(kind=st.sampled_from((Kind.OFFLINE, Kind.ONLINE)), device=st.sampled_from(("gw", "w0", "w9")), late=st.sampled_from((None, "replayed")))
    def a_last_will(self, kind: Kind, device: str, late: str | None) -> None:
        self.room.event(kind, device, edge="online", late=late)

    @rule(kind=st.sampled_from((Kind.LINE_LOST, Kind.LINE_RESTORED)))
    def the_line(self, kind: Kind) -> None:
        self.room.event(kind, None, phase=Phase.RAISE if kind is Kind.LINE_LOST else Phase.STATE)

    @precondition(lambda self: any(self.room.working.open_incidents))
    @rule(data=st.data())
    def an_operator_closes_one(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([one.id for one in self.room.working.open_incidents]))
        steps = ((Action.ACKNOWLEDGE, {}), (Action.RESOLVE, {"outcome": "helped"}), (Action.CALL_BACK, {}))
        for action, facts in steps[["raised", "acknowledged", "resolved"].index(self.room.working.incidents[name].state.value) :]:
            self.room.do(action, name, **facts)

    @rule()
    def the_house_starts_again(self) -> None:
        self.room.restart()

    @invariant()
    def everybody_is_waited_for_or_known_to_be_silent(self) -> None:
        working = self.room.working
        for name in working.supervision.by_name:
            silence = working.silent.get(name)
            waited_for = name in working.due or name.replace("device:", "held:", 1) in working.due
            assert waited_for or (silence is not None and silence.state != "grace"), name
            if silence is not None and silence.state != "grace":
                incident = working.incidents[silence.incident]
                assert not incident.is_open or Flag.ENDED not in incident.flags, "nobody stays silent by what is over"

    @invariant()
    def counts_are_true(self) -> None:
        working = self.room.working
        behind = Counter(
            one.path.key
            for name, silence in working.silent.items()
            if silence.counts and (one := working.supervision.by_name[name]).path is not None and one.at is not None
        )
        assert {key: count for key, count in working.silent_behind.items() if count} == dict(behind)
        for path in working.supervision.paths.values():
            assert path.heard == sum(one.at is not None for one in path.members.values())

    @invariant()
    def incidents_balance_and_never_two_tell_of_one_device(self) -> None:
        working = self.room.working
        assert working.opened == len(list(working.open_incidents)) + working.closed
        own = [one.device for one in working.open_incidents if one.kind is Kind.OFFLINE and one.device and Flag.ENDED not in one.flags]
        assert len(own) == len(set(own))
        for incident in working.open_incidents:
            assert incident.affected_count >= len(incident.affected)
            assert len({(item.line, item.device) for item in incident.affected}) == len(incident.affected)


class SilencesBehindAnythingDumb(Silences):
    """The gateway itself never speaks."""

    gateway_class = ""


for machine in (Silences, SilencesBehindAnythingDumb):
    machine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestSilences = Silences.TestCase
TestSilencesBehindAnythingDumb = SilencesBehindAnythingDumb.TestCase
