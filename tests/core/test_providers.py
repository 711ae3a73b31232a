"""Providers: the life cycle move by move, why one may not work, grades and their scales, what nobody else could serve, proposals."""

from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.core.matters import on_ruling
from gateway.core.providers import MOVES, REASONS, bare_without, covers, expiring, grade_of, may_work, score_of, state_of
from gateway.core.register import Area, AreaKind, Register, Responder, ResponderKind
from gateway.core.standing import Ruling
from gateway.core.state import Draft, WorkingSet
from gateway.core.territory import Provider, ProviderState, Standing
from gateway.errors import Refused

NOW = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
AREAS = [
    Area(id="honggu", name="Honggu", kind=AreaKind.DISTRICT),
    Area(id="haishiwan", name="Haishiwan", kind=AreaKind.TOWN, parent="honggu"),
    Area(id="pingan", name="Pingan", kind=AreaKind.TOWN, parent="honggu"),
]
KINDS = ResponderKind
RESPONDERS = [
    Responder(id="clean-home", name="Clean Home", kind=KINDS.PROVIDER, areas=("haishiwan",)),
    Responder(id="good-care", name="Good Care", kind=KINDS.PROVIDER, areas=("honggu",)),
    Responder(id="rescue", name="Rescue", kind=KINDS.PROVIDER, areas=("pingan",), skills=("lift",)),
    Responder(id="nobody", name="Without agreement", kind=KINDS.PROVIDER),
    Responder(id="station-7", name="Seven", kind=KINDS.STATION, areas=("haishiwan",)),
    Responder(id="station-8", name="Eight", kind=KINDS.STATION),
    Responder(id="neighbour", name="Neighbour", kind=KINDS.NEIGHBOUR),
]
PROVIDERS = [
    Provider(id="clean-home", services=("housekeeping", "meals"), grade=4, scale=5, until=date(2026, 4, 1)),
    Provider(id="good-care", services=("housekeeping",), grade=2, scale=3, grade_until=date(2026, 3, 14)),
    Provider(id="rescue", urgent=True),
    Provider(id="station-7", state=ProviderState.APPLIED),
]


class Office:
    """A district office: rules at a time of its own, in a working set without a wire."""

    def __init__(self, *providers: Provider) -> None:
        self.now = NOW
        register = Register(district="honggu", areas=AREAS, responders=RESPONDERS, providers=providers or PROVIDERS)
        self.working = WorkingSet(register)
        self.records = 0

    def rule(self, key: str, value: str, reason: str = "told so by the contract", actor: str = "Li Na", **more: object) -> Standing:
        draft = Draft(self.working)
        standing = on_ruling(draft, Ruling(key=key, value=value, actor=actor, reason=reason, **more), self.now)  # type: ignore[arg-type]
        self.records += len(draft.records)
        draft.settle()
        return standing

    def refuses(self, key: str, value: str, **more: object) -> str:
        with pytest.raises(Refused) as refused:
            self.rule(key, value, **more)  # type: ignore[arg-type]
        return refused.value.reason

    def standing(self, key: str) -> Standing | None:
        return Draft(self.working).standing(key, self.now)

    def may(self, name: str, service: str = "") -> str:
        return may_work(self.working.register, self.standing, self.working.register.responders[name], self.now, service)

    def state(self, name: str) -> ProviderState | None:
        return state_of(self.working.register, self.standing, name)


@pytest.mark.parametrize("before", ProviderState)
@pytest.mark.parametrize("after", ProviderState)
def test_the_table_of_moves_is_the_whole_life(before: ProviderState, after: ProviderState) -> None:
    office = Office(Provider(id="clean-home", state=before, services=("meals",)))
    if after in MOVES[before]:
        standing = office.rule("provider:clean-home", after)
        assert (office.state("clean-home"), standing.actor, standing.detail["previous"], office.records) == (after, "Li Na", before, 1)
    else:
        assert office.refuses("provider:clean-home", after) == f"not_from_{before}"
        assert office.state("clean-home") is before


def test_only_admitted_and_probation_work_and_the_state_is_the_reason() -> None:
    for state in ProviderState:
        office = Office(Provider(id="clean-home", state=state, services=("meals",)))
        works = state in (ProviderState.ADMITTED, ProviderState.PROBATION)
        assert office.may("clean-home", "meals") == ("" if works else state.value)
        assert works or state.value in REASONS


def test_each_change_has_a_reason_and_an_actor() -> None:
    office = Office()
    assert office.refuses("provider:clean-home", "suspended", reason="  ") == "missing_reason"
    assert office.refuses("provider:clean-home", "gone") == "bad_state"
    assert office.refuses("provider:stranger", "suspended") == "unknown_provider"
    assert office.refuses("provider:clean-home", "suspended", until=NOW + timedelta(days=1)) == "no_until"
    assert office.refuses("prvoider:clean-home", "suspended") == "unknown_matter"
    assert office.records == 0


def test_what_is_agreed_decides_who_may_work() -> None:
    office = Office()
    assert office.may("clean-home", "housekeeping") == ""
    assert office.may("clean-home", "nursing") == "service_not_agreed"
    assert office.may("clean-home") == "not_for_urgent"
    assert office.may("rescue") == ""
    assert office.may("nobody") == "no_agreement"
    assert office.may("station-8") == ""  # a station without an agreement goes to alarms …
    assert office.may("station-8", "meals") == "no_agreement"  # … and sells no services
    assert office.may("station-7") == "applied"  # one with an agreement is bound by it


def test_an_agreement_ends_with_its_last_day_in_china() -> None:
    office = Office(Provider(id="clean-home", services=("meals",), since=date(2026, 3, 15), until=date(2026, 4, 1)))
    office.now = datetime(2026, 3, 14, 15, 59, tzinfo=UTC)  # 23:59 in Lanzhou
    assert office.may("clean-home", "meals") == "agreement_not_begun"
    office.now = datetime(2026, 3, 14, 16, 0, tzinfo=UTC)
    assert office.may("clean-home", "meals") == ""
    office.now = datetime(2026, 4, 1, 15, 59, tzinfo=UTC)
    assert office.may("clean-home", "meals") == ""
    office.now = datetime(2026, 4, 1, 16, 0, tzinfo=UTC)
    assert office.may("clean-home", "meals") == "agreement_expired"


def test_an_end_is_told_thirty_days_before() -> None:
    office = Office()
    register = office.working.register
    told = [(row.id, days) for row, days in expiring(register, office.standing, NOW, 30)]
    assert told == [("clean-home", 18)]
    office.rule("provider:clean-home", "suspended")
    assert list(expiring(register, office.standing, NOW, 30)) == []


def test_frozen_until_then_and_blocked_from_outside() -> None:
    office = Office()
    office.rule("frozen:clean-home", "frozen", until=NOW + timedelta(days=3))
    assert office.may("clean-home", "meals") == "frozen"
    office.now += timedelta(days=3)
    assert office.may("clean-home", "meals") == ""
    assert office.refuses("frozen:clean-home", "") == "does_not_stand"
    office.rule("frozen:station-8", "frozen")
    assert office.may("station-8") == "frozen"  # the district may freeze anybody (domain 2.8)
    office.rule("frozen:station-8", "")
    assert office.may("station-8") == ""
    office.rule("blocked:clean-home", "prepaid_funds")
    assert office.may("clean-home", "meals") == "blocked"
    assert office.refuses("blocked:clean-home", "No Word") == "bad_value"


def test_bad_credit_blocks_admission() -> None:
    office = Office(Provider(id="clean-home", state=ProviderState.APPLIED, blocked="credit"))
    assert office.refuses("provider:clean-home", "admitted") == "blocked"
    office.rule("provider:clean-home", "probation")
    assert office.may("clean-home") == "blocked"


def test_stars_count_by_their_scale_and_while_they_are_valid() -> None:
    office = Office()
    register = office.working.register
    assert grade_of(register, office.standing, "clean-home", NOW.date()) == 0.8
    assert grade_of(register, office.standing, "good-care", date(2026, 3, 14)) == pytest.approx(2 / 3)
    assert grade_of(register, office.standing, "good-care", date(2026, 3, 15)) is None
    detail: dict[str, object] = {"scale": 3, "assessor": "third-party-1", "on": "2026-03-01"}
    office.rule("grade:good-care", "3", detail=detail, until=NOW + timedelta(days=365))
    assert grade_of(register, office.standing, "good-care", NOW.date()) == 1.0
    office.now += timedelta(days=365)
    assert grade_of(register, office.standing, "good-care", NOW.date()) == pytest.approx(2 / 3)
    for wrong, reason in (
        ({"scale": 0}, "bad_scale"),
        ({"scale": 2}, "bad_grade"),
        ({"assessor": ""}, "missing_assessor"),
        ({"on": "March"}, "bad_on"),
    ):
        assert office.refuses("grade:good-care", "3", detail=detail | wrong) == reason
    assert office.refuses("grade:good-care", "many", detail=detail) == "bad_grade"


def test_who_serves_an_area_serves_what_lies_in_it() -> None:
    register = Office().working.register
    assert covers(register, register.responders["good-care"], "haishiwan")
    assert covers(register, register.responders["station-8"], "anywhere")
    assert not covers(register, register.responders["clean-home"], "pingan")


def test_nobody_is_taken_away_who_alone_serves_an_area_or_can_do_something() -> None:
    office = Office()
    register = office.working.register

    def bare(name: str, gone: frozenset[str] = frozenset()) -> tuple[str, str] | None:
        return bare_without(register, office.standing, name, office.now, gone)

    assert bare("clean-home") == ("haishiwan", "meals")
    assert bare("good-care") == ("honggu", "housekeeping")  # clean-home serves a part of it only
    assert bare("rescue") == ("pingan", "lift")  # a station goes there too, but cannot lift
    office.rule("provider:clean-home", "suspended")
    assert bare("clean-home") is None  # who does not work leaves nothing bare
    two = [Provider(id="clean-home", services=("meals",)), Provider(id="good-care", services=("meals",))]
    office = Office(*two)
    register = office.working.register
    assert bare("clean-home") is None
    assert bare("clean-home", frozenset(("good-care",))) == ("haishiwan", "meals")


def propose(office: Office, *names: str) -> None:
    scores = {name: [0.2, 40] for name in names}
    detail: dict[str, object] = {"scores": scores, "proposed": {name: {"place": 10, "of": 10} for name in names}}
    office.rule("ranking:1", "ranked", actor="gateway", reason="", detail=detail)


def test_the_machine_proposes_and_a_person_decides() -> None:
    office = Office(*(Provider(id=name, services=("meals",)) for name in ("clean-home", "good-care")))
    propose(office, "clean-home", "stranger")
    assert office.may("clean-home", "meals") == ""  # nothing happens by itself
    assert score_of(office.standing, "clean-home") == 0.2
    assert score_of(office.standing, "good-care") is None
    assert office.standing("proposal:stranger") is None
    assert office.refuses("proposal:clean-home", "confirmed", actor="gateway") == "not_a_person"
    assert office.refuses("proposal:clean-home", "confirmed", reason="") == "missing_reason"
    office.rule("proposal:clean-home", "confirmed", reason="three complaints, none answered")
    assert office.may("clean-home", "meals") == "suspended"
    assert office.records == 3  # the ranking, the suspension, the decision
    assert office.refuses("proposal:clean-home", "confirmed") == "no_proposal"


def test_a_proposal_may_be_rejected_and_comes_back_with_the_next_ranking() -> None:
    office = Office()
    propose(office, "clean-home")
    office.rule("proposal:clean-home", "rejected", reason="the road was closed for a month")
    assert office.may("clean-home", "meals") == ""
    propose(office, "clean-home")
    standing = office.standing("proposal:clean-home")
    assert standing is not None
    assert standing.value == "proposed"


def test_nobody_confirms_what_would_leave_an_area_bare() -> None:
    office = Office()
    propose(office, "clean-home")
    with pytest.raises(Refused) as refused:
        office.rule("proposal:clean-home", "confirmed")
    assert (refused.value.reason, refused.value.facts) == ("leaves_bare", {"area": "haishiwan", "what": "meals"})
    assert office.may("clean-home", "meals") == ""
    office.rule("provider:clean-home", "suspended", reason="food poisoning")  # a person may, for a reason of their own
    standing = office.standing("proposal:clean-home")
    assert standing is not None
    assert standing.value == "overtaken"


def test_only_the_machine_scores() -> None:
    office = Office()
    assert office.refuses("ranking:1", "ranked") == "not_the_machine"
    assert office.refuses("score:clean-home", "1.0") == "unknown_matter"
    many = {str(number): [0.5, 1] for number in range(501)}
    assert office.refuses("ranking:1", "scored", actor="gateway", detail={"scores": many}) == "bad_scores"
