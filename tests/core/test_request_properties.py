"""Properties of requests: whatever is ruled, answered and filed, nobody who may not work is sent, no pool overflows, no request meets an alarm."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.incident import OPEN_LEG, Role, State
from gateway.core.providers import LookUp, may_work
from gateway.core.state import SERVICE_POOL, Draft
from gateway.core.territory import ProviderState, Standing
from gateway.errors import Refused
from gateway.event import Kind
from tests.core.test_requests import PROVIDERS_FAR, PROVIDERS_NEAR, Street

NAMES = st.sampled_from((PROVIDERS_NEAR.id, PROVIDERS_FAR.id))
STEPS = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(("wang", "li", "zhao")), st.sampled_from(("housekeeping", "meals", "nursing"))),
    st.tuples(st.just("press"), st.sampled_from(("w-wang", "w-li", "w-zhao")), st.just("")),
    st.tuples(st.just("rule"), NAMES, st.sampled_from(tuple(ProviderState))),
    st.tuples(st.just("freeze"), NAMES, st.sampled_from(("frozen", ""))),
    st.tuples(st.just("answer"), NAMES, st.sampled_from(("accept", "decline", "en_route", "arrived", "done"))),
    st.tuples(st.just("wait"), st.integers(1, 900), st.just("")),
    st.tuples(st.just("cancel"), st.integers(0, 5), st.just("")),
)


def play(room: Street, step: tuple[str, object, object]) -> None:
    """One step; what is refused changes nothing."""
    what, first, second = step
    try:
        match what:
            case "file":
                room.file(str(first), str(second))
            case "press":
                room.press(str(first))
            case "rule":
                room.rule(f"provider:{first}", str(second))
            case "freeze":
                room.rule(f"frozen:{first}", str(second))
            case "answer" if room.sent_to(str(first)):
                room.answer(str(first), str(second))
            case "wait":
                room.advance(minutes=int(str(first)))
            case "cancel":
                requests = [one.id for one in room.working.open_incidents if one.kind is Kind.SERVICE_REQUEST]
                if requests:
                    room.do("cancel", requests[int(str(first)) % len(requests)])
    except Refused:
        pass


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_nobody_is_ordered_who_may_not_work_and_nothing_meets(steps: list[tuple[str, object, object]]) -> None:
    room = Street()
    ordered: set[str] = set()
    for step in steps:
        known = dict(room.working.standings)
        play(room, step)
        draft = Draft(room.working)
        for request in [one for one in room.working.incidents.values() if one.kind is Kind.SERVICE_REQUEST]:
            assert request.entries == request.cries == 1
            assert request.key.startswith("request:")
            for leg in request.legs:
                assert leg.role is Role.SERVICE
                if leg.delivery in ordered:
                    continue
                ordered.add(leg.delivery)
                responder = room.working.register.responders[leg.responder]
                rules = known if step[0] in ("rule", "freeze") else room.working.standings
                why = may_work(room.working.register, _holding(rules), responder, leg.ordered_at, request.service)
                assert why == ""
            assert sum(leg.state in OPEN_LEG for leg in request.legs) <= 1  # one provider at a time
            assert request.state is not State.RAISED or request.deadlines
        for alarm in [one for one in room.working.incidents.values() if one.kind is Kind.SOS]:
            assert not alarm.service
            assert all(leg.role is not Role.SERVICE for leg in alarm.legs)
        for name in (PROVIDERS_NEAR.id, PROVIDERS_FAR.id):
            assert draft.load(name, SERVICE_POOL) <= 2  # the capacity of either
            carried = sum(
                leg.responder == name and leg.state in OPEN_LEG for one in room.working.incidents.values() if one.service for leg in one.legs
            )
            assert draft.load(name, SERVICE_POOL) == carried


def _holding(rules: dict[str, Standing]) -> LookUp:
    return lambda key: standing if (standing := rules.get(key)) is not None and standing.value else None
