"""Action plans (预案): which steps an incident asks for, which of them are done, and what must be done before it is resolved."""

from collections.abc import Sequence

import msgspec

from gateway.config.plans import GROUPS, PlanConfig, PlanStep
from gateway.core.incident import Flag, Incident
from gateway.core.register import Person, Register
from gateway.event import Kind

SPOKE = "spoke:"  # begins a mark among the steps of an incident: whom somebody of ours has spoken to
PERSON, FAMILY = f"{SPOKE}person", f"{SPOKE}family"


def _step(word: str, *, required: bool = False) -> PlanStep:
    return PlanStep(word=word, required=required)


# What we ship; a [[plan]] of one's own that fits stands before all of them. The last fits everything.
BUILT_IN = (
    PlanConfig(name="call_back", when=("call_due",), step=(_step("call_person", required=True), _step("dispatch"))),
    PlanConfig(name="request", kinds=("service",), step=(_step("dispatch"),)),
    # A thing is in trouble, but it may be its person who is: the power is cut at home, or nobody else is there to see.
    PlanConfig(
        name="power_cut_at_home",
        kinds=(Kind.POWER_CUT.value,),
        when=("person",),
        step=(_step("call_person", required=True), _step("check_device", required=True)),
    ),
    PlanConfig(
        name="fault_of_one_alone",
        kinds=("device",),
        needs=("living_alone",),
        step=(_step("call_person", required=True), _step("check_device", required=True)),
    ),
    PlanConfig(name="fault", kinds=("device", "line"), step=(_step("check_device", required=True),)),
    PlanConfig(name="call_for_help", step=(_step("call_person", required=True), _step("ask_injury"), _step("call_family"), _step("dispatch"))),
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an incident's plan. by_itself: what it waits for ticked it, nobody did; zh, en: its text where the console has none."""

    id: str
    required: bool
    done: bool
    by_itself: bool = False
    zh: str = ""
    en: str = ""


def plan_for(plans: Sequence[PlanConfig], incident: Incident, register: Register) -> PlanConfig:
    """The first plan that fits: `plans` are the district's own."""
    person = register.persons.get(incident.person or "")
    return next(plan for plan in (*plans, *BUILT_IN) if _fits(plan, incident, person))


def _fits(plan: PlanConfig, incident: Incident, person: Person | None) -> bool:
    if plan.kinds and not any(incident.kind == word or incident.kind in GROUPS.get(word, ()) for word in plan.kinds):
        return False
    if plan.severities and incident.severity not in plan.severities:
        return False
    if plan.hotlines and incident.hotline not in plan.hotlines:
        return False
    if plan.needs and (person is None or not {*person.risks, *person.categories, person.ability}.intersection(plan.needs)):
        return False
    return not ("call_due" in plan.when and Flag.CALL_DUE not in incident.flags) and not ("person" in plan.when and person is None)


def steps_of(plans: Sequence[PlanConfig], incident: Incident, register: Register) -> list[Step]:
    """The steps of this incident: first what must be done because of what it is (`tasks`), then those of its plan."""
    tasks = tuple(_step(task, required=True) for task in incident.tasks if not task.startswith("no_"))
    own = {task.word for task in tasks}
    found = (*tasks, *(step for step in plan_for(plans, incident, register).step if step.word not in own))
    return [_as_it_stands(step, incident, register) for step in found]


def missing(plans: Sequence[PlanConfig], incident: Incident, register: Register) -> list[str]:
    """Required steps that are not done."""
    return [step.id for step in steps_of(plans, incident, register) if step.required and not step.done]


def _as_it_stands(step: PlanStep, incident: Incident, register: Register) -> Step:
    is_ticked = step.word in incident.steps
    by_itself = not is_ticked and _ticks_itself(step.ticks, incident, register)
    return Step(id=step.word, required=step.required, done=is_ticked or by_itself, by_itself=by_itself, zh=step.zh, en=step.en)


def _ticks_itself(ticks: str, incident: Incident, register: Register) -> bool:
    match ticks:
        case "dispatch":
            return bool(incident.legs)
        case "arrived":
            return any(leg.arrived_at is not None for leg in incident.legs)
        case "call_person":
            return PERSON in incident.steps or _is_speaking(incident, register)
        case "call_family":
            return FAMILY in incident.steps
        case "identify":
            return incident.person is not None
        case "record":
            return incident.record is not None
    return False


def _is_speaking(incident: Incident, register: Register) -> bool:
    """Did its newest call come from the person (or, of a call that somebody nobody knows made, from whoever calls), and was it answered?"""
    if incident.agent is None or Flag.CALL_DUE in incident.flags:
        return False
    person = register.persons.get(incident.person or "")
    if person is None:
        return incident.kind is Kind.CALL_ANSWERED
    device = register.device(incident.line, incident.device)  # others whose numbers may call about it are not the person
    return incident.caller is not None and incident.caller in (*person.phones, *([device.phone] if device is not None else []))


def spoken_to(incident: Incident, ref: str) -> tuple[str, ...]:
    """The steps of an incident after somebody was reached by telephone. ref: whom, as operators dial (gateway.console.dialling)."""
    what = ref.partition(":")[0]
    mark = PERSON if what in ("person", "caller", "device") else FAMILY if what == "contact" else ""
    return incident.steps if not mark or mark in incident.steps else (*incident.steps, mark)
