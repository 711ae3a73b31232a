"""Requests for ordinary services as stories: filed, ordered, agreed, served, called back; unmatched, at night, cancelled; never in an alarm's way."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from gateway.config import PolicyConfig, WatchConfig
from gateway.core import decide
from gateway.core.incident import Flag, Incident, LegState, Outcome, Role, State
from gateway.core.matters import on_ruling
from gateway.core.need import Around, Need
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.requests import request_event
from gateway.core.standing import Ruling
from gateway.core.state import SERVICE_POOL, Draft, WorkingSet
from gateway.core.territory import Provider, ProviderState
from gateway.dispatch.order_words import mail_text, short_text
from gateway.errors import Refused
from gateway.event import Kind
from tests.core.room import AREAS, DEVICES, PERSONS, POLICY, RESPONDERS, Room

# wang lives at 36.3401, 102.8801. At 15 km/h and a detour of 1.3 a minute is 0.192 km of air: 4 minutes 0.8 km, 22 minutes 4.2 km.
KINDS = ResponderKind
PROVIDERS_NEAR = Responder(id="near-worst", name="Near", kind=KINDS.PROVIDER, parent="town", lat=36.3470, lon=102.8801, capacity=2)
PROVIDERS_FAR = Responder(id="far-best", name="Far", kind=KINDS.PROVIDER, parent="town", lat=36.3780, lon=102.8801, capacity=2)
ROWS = (
    Provider(id="near-worst", services=("housekeeping", "meals"), urgent=True, grade=1, scale=5),
    Provider(id="far-best", services=("housekeeping",), urgent=True, grade=5, scale=5),
)


class Street(Room):
    """The room with providers in it."""

    def __init__(self, rows: tuple[Provider, ...] = ROWS, policy: PolicyConfig = POLICY, without: tuple[str, ...] = ()) -> None:
        super().__init__(policy)
        stations = [one for one in RESPONDERS if one.id not in without]
        responders = [*stations, PROVIDERS_NEAR, PROVIDERS_FAR]
        persons = [msgspec.structs.replace(one, watch="alone") if one.id == "li" else one for one in PERSONS]
        register = Register(district="honggu", persons=persons, devices=DEVICES, responders=responders, areas=AREAS, version="test", providers=rows)
        self.working = WorkingSet(register, policy)

    def file(self, person: str = "wang", service: str = "housekeeping", **more: object) -> str:
        event = request_event(person=person, service=service, by="Li Na", now=self.now, **more)  # type: ignore[arg-type]
        draft = Draft(self.working)
        verdict = decide.on_event(draft, event, self.now)
        self._settle(draft)
        return verdict

    def filed(self, person: str = "wang", service: str = "housekeeping", **more: object) -> Incident:
        before = set(self.working.incidents)
        assert self.file(person, service, **more) == "stored"
        (new,) = set(self.working.incidents) - before
        return self.working.incidents[new]

    def rule(self, key: str, value: str, **more: object) -> None:
        draft = Draft(self.working)
        on_ruling(draft, Ruling(key=key, value=value, actor="Li Na", reason="told", **more), self.now)  # type: ignore[arg-type]
        self._settle(draft)

    def now_of(self, incident: Incident) -> Incident:
        return self.working.incidents[incident.id]


def test_the_best_rated_is_asked_and_its_accept_is_the_agreement() -> None:
    room = Street()
    wanted = room.now + timedelta(hours=5)
    request = room.filed(wanted_at=wanted, wish="two rooms, the key is with the neighbour")
    (leg,) = request.legs
    assert (leg.responder, leg.role, request.state, request.service) == ("far-best", Role.SERVICE, State.RAISED, "housekeeping")
    assert (request.key[:8], request.wish, request.wanted_at) == ("request:", "two rooms, the key is with the neighbour", wanted)
    promised = wanted + timedelta(minutes=30)
    room.event(Kind.ACCEPT, "far-best", line="replies", detail={"delivery": leg.delivery, "by": "Ms Zhou", "promised_at": promised.isoformat()})
    agreed = room.now_of(request)
    assert (agreed.state, agreed.owner, agreed.legs[0].promised_at) == (State.ACKNOWLEDGED, "Ms Zhou", promised)
    assert agreed.deadlines[f"arrive:{leg.delivery}"] == promised + timedelta(hours=1)
    room.answer("far-best", "arrived")
    room.answer("far-best", "done")
    served = room.now_of(request)
    assert (served.state, served.outcome, list(served.deadlines)) == (State.RESOLVED, Outcome.HELPED, ["call_back"])
    closed = room.do("call_back", request.id, satisfaction=5)
    assert (closed.state, closed.satisfaction) == (State.CLOSED, 5)


@pytest.mark.parametrize("promised", ["9999-12-31T23:59:00+00:00", "2028-01-01T00:00:00+00:00", "2026-03-15T09:00:00", "soon"])
def test_a_promise_that_cannot_be_meant_is_none_and_the_time_wanted_stands(promised: str) -> None:
    room = Street()
    wanted = room.now + timedelta(hours=5)
    request = room.filed(wanted_at=wanted)
    (leg,) = request.legs
    room.event(Kind.ACCEPT, "far-best", line="replies", detail={"delivery": leg.delivery, "by": "Ms Zhou", "promised_at": promised})
    agreed = room.now_of(request)
    assert (agreed.legs[0].promised_at, agreed.deadlines[f"arrive:{leg.delivery}"]) == (wanted, wanted + timedelta(hours=1))


def test_declined_or_silent_the_next_provider_is_asked_never_the_tree() -> None:
    room = Street()
    request = room.filed()
    room.answer("far-best", "decline")
    assert [leg.responder for leg in room.now_of(request).legs] == ["far-best", "near-worst"]
    room.advance(minutes=121)
    after = room.now_of(request)
    assert [(leg.responder, leg.state) for leg in after.legs] == [("far-best", LegState.DECLINED), ("near-worst", LegState.EXPIRED)]
    assert Flag.UNMATCHED in after.flags
    assert {str(order["to"]) for order in room.orders} == {"far-best", "near-worst"}  # no station, no centre, no desk


def test_who_cannot_is_named_with_the_reason_and_unmatched_demand_is_on_record() -> None:
    rows = (msgspec.structs.replace(ROWS[0], state=ProviderState.SUSPENDED), ROWS[1])
    room = Street(rows)
    room.rule("frozen:far-best", "frozen")
    request = room.filed()
    assert (request.legs, Flag.UNMATCHED in request.flags) == ((), True)
    record = next(record for record in room.records if record.kind is Kind.REMIND)
    facts = msgspec.json.decode(record.facts)
    assert (facts["reason"], facts["service"], facts["area"]) == ("unmatched", "housekeeping", "haishiwan")
    reasons = {one["responder"]: one["verdict"] for one in facts["decision"]["candidates"]}
    assert reasons["near-worst"] == "suspended"
    assert reasons["far-best"] == "frozen"
    room.rule("frozen:far-best", "")
    room.advance(minutes=241)  # looked for again
    matched = room.now_of(request)
    assert [leg.responder for leg in matched.legs] == ["far-best"]
    assert Flag.UNMATCHED not in matched.flags


def test_at_night_nobody_is_asked_and_nothing_is_due() -> None:
    room = Street()
    room.now = datetime(2026, 3, 14, 14, 0, tzinfo=UTC)  # 22:00 in Lanzhou
    request = room.filed()
    morning = datetime(2026, 3, 14, 23, 0, tzinfo=UTC)  # 07:00
    assert request.legs == ()
    assert min(request.deadlines.values()) == morning
    room.now = datetime(2026, 3, 14, 22, 59, tzinfo=UTC)
    room.advance(minutes=1)
    assert [leg.responder for leg in room.now_of(request).legs] == ["far-best"]
    room.now = datetime(2026, 3, 15, 13, 30, tzinfo=UTC)  # 21:30: declined at night, the next one is asked in the morning
    room.answer("far-best", "decline")
    assert len(room.now_of(request).legs) == 1
    assert room.now_of(request).deadlines["order"] == datetime(2026, 3, 15, 23, 0, tzinfo=UTC)


def test_services_have_a_capacity_of_their_own() -> None:
    """A supervisor sees: a provider full of housekeeping is still asked for an alarm, and one busy with alarms still cleans."""
    room = Street(rows=(ROWS[1],))
    requests = [room.filed() for _ in range(3)]
    working = room.working
    assert [len(room.now_of(one).legs) for one in requests] == [1, 1, 0]
    assert (working.load.get(f"far-best|{SERVICE_POOL}"), working.load.get("far-best")) == (2, None)
    room.press("w-wang")
    alarm = next(one for one in working.open_incidents if one.kind is Kind.SOS)
    assert alarm.legs[0].responder == "station-7"
    assert working.load.get("station-7") == 1
    assert working.load.get(f"far-best|{SERVICE_POOL}") == 2


def test_an_alarm_never_joins_a_request_nor_a_request_an_alarm() -> None:
    room = Street()
    first = room.filed()
    room.press("w-wang")
    room.call(Kind.CALL_ANSWERED, "+8613800000001")
    second = room.filed()
    kinds = sorted(one.kind for one in room.working.open_incidents)
    assert kinds == [Kind.SERVICE_REQUEST, Kind.SERVICE_REQUEST, Kind.SOS]
    assert room.now_of(first).entries == room.now_of(second).entries == 1
    alarm = next(one for one in room.working.open_incidents if one.kind is Kind.SOS)
    for incident, into in ((first, alarm), (alarm, first)):
        with pytest.raises(Refused):
            room.do("merge", incident.id, into=into.id)
    with pytest.raises(Refused, match="not_for_requests"):
        room.do("identify", first.id, person="li")


def test_the_same_request_again_files_nothing() -> None:
    room = Street()
    assert room.file(identity="k1") == "stored"
    assert room.file(identity="k1") == "duplicate"
    assert len(room.working.incidents) == 1


def test_what_makes_no_sense_is_refused() -> None:
    room = Street()
    assert room.file(person="stranger") == "unknown_person"
    assert room.file(service="应急救援") == "unknown_service"
    assert room.file(wish="x" * 501) == "wish_too_long"
    assert room.file(wanted_at=room.now + timedelta(days=400)) == "bad_wanted_at"
    assert room.file(wanted_at=room.now - timedelta(days=2)) == "bad_wanted_at"
    assert room.file(service="家政服務") == "stored"
    assert room.only.service == "housekeeping"


def test_cancelled_it_is_closed_without_a_call_back_and_the_provider_is_told() -> None:
    room = Street()
    request = room.filed()
    done = room.do("cancel", request.id, reason="the daughter came")
    assert (done.state, done.outcome, done.deadlines) == (State.CLOSED, Outcome.CANCELLED, {})
    assert room.sent_to("far-best")[-1]["withdrawn"] is True
    room.press("w-wang")
    with pytest.raises(Refused, match="only_requests"):
        room.do("cancel", room.only.id)


def test_a_complaint_opens_it_again_and_a_second_done_does_not_end_it() -> None:
    room = Street()
    request = room.filed()
    room.answer("far-best", "accept")
    room.answer("far-best", "done")
    again = room.do("call_back", request.id, complaint=True, note="the kitchen was left out")
    assert (again.state, Flag.COMPLAINT in again.flags) == (State.ACKNOWLEDGED, True)
    room.answer("far-best", "done")
    assert room.now_of(request).state is State.ACKNOWLEDGED


def test_an_operator_may_choose_among_those_who_may_work() -> None:
    room = Street()
    request = room.filed()
    room.do("dispatch", request.id, responder="near-worst")
    legs = room.now_of(request).legs
    assert [(leg.responder, leg.role) for leg in legs] == [("far-best", Role.SERVICE), ("near-worst", Role.SERVICE)]
    room.answer("near-worst", "accept")
    agreed = room.now_of(request)
    assert (agreed.state, agreed.owner) == (State.ACKNOWLEDGED, "somebody")
    assert [leg.state for leg in agreed.legs] == [LegState.WITHDRAWN, LegState.ACCEPTED]
    room.rule("provider:near-worst", "suspended")
    other = room.filed("li")
    with pytest.raises(Refused) as refused:
        room.do("dispatch", other.id, responder="near-worst")
    assert (refused.value.reason, refused.value.facts["why"]) == ("may_not_work", "suspended")


def test_from_a_platform_it_keeps_their_number() -> None:
    room = Street()
    request = room.filed(platform="portal", external="WO-7", identity="portal:WO-7")
    assert (request.externals, request.sources[0].way, request.sources[0].ref) == (("portal:WO-7",), "platform", "WO-7")
    draft = Draft(room.working)
    found = draft.incident_of_alias("external:portal:WO-7")
    assert found is not None
    assert found.id == request.id


def test_a_meal_not_taken_in_is_a_missed_check_in_of_who_is_watched() -> None:
    """A supervisor sees: the meal stands before the door, and within the minute somebody looks after the person."""
    room = Street(rows=(msgspec.structs.replace(ROWS[1], services=("meals",)),))
    room.working.watch_over([WatchConfig(name="alone")], None, room.now)
    for person, alarms in (("wang", 0), ("li", 1)):  # nobody watches wang: only noted
        request = room.filed(person, "餐")
        delivery = request.legs[0].delivery
        room.answer("far-best", "accept", delivery)
        detail = {"delivery": delivery, "by": "courier", "outcome": "not_taken"}
        room.event(Kind.DONE, "far-best", line="replies", detail=detail)
        assert room.now_of(request).outcome is Outcome.NOT_FOUND
        missed = [one for one in room.working.open_incidents if one.kind is Kind.MISSED_CHECKIN]
        assert len(missed) == alarms
    assert missed[0].person == "li"


def test_last_place_provider() -> None:
    """Scenario 7. A supervisor sees: the alarm went to the one 4 minutes away, though rated worst; the housekeeping to the best, 22 minutes away."""
    room = Street(without=("station-7", "station-8", "night-house"))
    request = room.filed()
    room.press("w-wang")
    alarm = next(one for one in room.working.open_incidents if one.kind is Kind.SOS)
    look = room.working.router.look_at
    need = Need(kind=request.kind, severity=request.severity, at=room.now, role=Role.SERVICE, position=request.position, service=request.service)
    moment = Around(lambda *_: 0, lambda _: None)
    minutes = {one.id: look(one, need, moment).travel_min for one in (PROVIDERS_NEAR, PROVIDERS_FAR)}
    assert minutes == {"near-worst": pytest.approx(4, abs=0.5), "far-best": pytest.approx(22, abs=0.5)}
    assert [leg.responder for leg in request.legs] == ["far-best"]
    assert alarm.legs[0].responder == "near-worst"


def test_entitlement_changes_nothing_of_an_alarm() -> None:
    decided = []
    for entitled in (False, True):
        room = Street()
        persons = [msgspec.structs.replace(one, entitled=entitled) for one in PERSONS]
        room.working = WorkingSet(
            Register(district="honggu", persons=persons, devices=DEVICES, responders=RESPONDERS, areas=AREAS, version="test"), POLICY
        )
        room.press("w-wang")
        decided.append([(leg.responder, leg.state, leg.travel_min) for leg in room.only.legs])
    assert decided[0] == decided[1]


def test_an_order_for_a_service_says_what_and_when_and_nothing_of_health() -> None:
    room = Street()
    room.filed(wanted_at=room.now + timedelta(hours=22), wish="the key is with the neighbour")
    (order,) = room.sent_to("far-best")
    assert order["person"] == {"name": "Invented Wang", "address": ""}
    assert (order["service"], order["wish"], order["role"]) == ("housekeeping", "the key is with the neighbour", "service")
    assert short_text(order).startswith("【12349】家政服务 03-15 09:00 I100001")
    assert mail_text(order, "en")[0] == "12349 order I100001: housekeeping 03-15 09:00"
    assert "the key is with the neighbour" in mail_text(order, "en")[1]
