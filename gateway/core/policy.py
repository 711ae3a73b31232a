"""Which step of an escalation chain is due when. Pure arithmetic on the moment at which the incident began to ring; nothing is done here.

`Incident.rung_at` is that moment, `Incident.step` counts the times of the chain that were taken, and the deadline `policy:<step>` brings up the next.
Due times are worked out from `rung_at`, never from when the one before was handled, so nothing drifts; all three are stored with the incident,
so that after any crash the next step is the one that would have come (architecture, section 6).
"""

from datetime import datetime, timedelta

import msgspec

from gateway.config import Chain
from gateway.config.policies import StepConfig
from gateway.core.duty import CHINA
from gateway.core.incident import Incident, State
from gateway.core.state import Draft
from gateway.event import KINDS, Group

PREFIX = "policy:"
CATCH_UP = timedelta(seconds=30)  # after downtime steps that are late follow each other no faster
ALARM = (Group.PERSON, Group.ENVIRONMENT)
EARS_LINE = "console"  # books of ours: nobody on duty hears (gateway.ears)
# Then the desk rings in vain: whoever can be reached elsewhere is told, at once and again. A file policies/no_ears.toml goes before it.
NO_EARS = Chain(
    name="no_ears",
    step=(
        StepConfig(after_s=0, to="supervisor", how="ring", times=10, repeat_every_s=60),
        StepConfig(after_s=0, to="own", how="notify"),
        StepConfig(after_s=0, to="district_centre", how="notify", times=5, repeat_every_s=180),
        StepConfig(after_s=120, to="city_centre", how="notify"),
    ),
)


class Time(msgspec.Struct, frozen=True):
    """One time at which a step of a chain is taken. number: of the step in its file, from 1; turn: which of its `times`, from 1."""

    at: datetime
    number: int
    turn: int
    step: StepConfig


def chain_of(draft: Draft, incident: Incident) -> Chain | None:
    """The chain that presses it now; None: nobody but the desk does. A missed check-in has its ladder in place of one."""
    name = NO_EARS.name if is_deaf(incident) else draft.policy_of(incident).steps
    if not name or incident.watch or incident.state is not State.RAISED:
        return None
    return draft.base.chains.get(name) or (NO_EARS if name == NO_EARS.name else None)


def is_deaf(incident: Incident) -> bool:
    """Does it say that nobody at the desk hears (gateway.ears)?"""
    return incident.line.partition(":")[0] == EARS_LINE


def times(chain: Chain, rung_at: datetime, *, is_alarm: bool) -> list[Time]:
    """All its times in the order in which they come. Quiet hours put a step off until they end; 助急 knows none."""
    found = [
        (_loud(rung_at + timedelta(seconds=step.after_s + turn * (step.repeat_every_s or 0.0)), "" if is_alarm else step.quiet), number, turn, step)
        for number, step in enumerate(chain.step, 1)
        for turn in range(step.times)
    ]
    return [Time(at, number, turn + 1, step) for at, number, turn, step in sorted(found, key=lambda one: one[:3])]


def due_time(draft: Draft, incident: Incident) -> Time | None:
    """The time of its chain that comes next; None: the chain has come to its end, which is the desk."""
    chain, rung_at = chain_of(draft, incident), incident.rung_at
    if chain is None or rung_at is None:
        return None
    all_times = times(chain, rung_at, is_alarm=is_alarm(incident))
    return all_times[incident.step] if incident.step < len(all_times) else None


def is_alarm(incident: Incident) -> bool:
    """Is it a cry of a person or a home?"""
    return KINDS[incident.kind].group in ALARM


def due_at(draft: Draft, incident: Incident, now: datetime, handled: datetime | None = None) -> datetime | None:
    """When its next step is due; None: no chain runs. handled: the planned time of the step that has just been taken, now.

    In time it is exactly what the chain says. What is late already follows after min(its delay, 30 s). The end of the chain repeats on its own grid:
    turns of it that passed while we were down are one.
    """
    chain, rung_at = chain_of(draft, incident), incident.rung_at
    if chain is None or rung_at is None:
        return None
    all_times = times(chain, rung_at, is_alarm=is_alarm(incident))
    if incident.step < len(all_times):
        at = all_times[incident.step].at
    else:
        period = timedelta(seconds=draft.policy_of(incident).repeat_s)
        at = all_times[-1].at + period
        if handled is not None and handled >= at:  # it was the end itself that was reached
            return at + period * ((now - at) // period + 1)
    if handled is None or at > now:
        return at
    return now + min(at - handled, CATCH_UP)


def rung(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """The incident with the chain that its state asks for: begun, going on, or over. The deadline of a running one is never moved."""
    if chain_of(draft, incident) is None:
        if incident.rung_at is None and not any(name.startswith(PREFIX) for name in incident.deadlines):
            return incident
        return msgspec.structs.replace(incident, rung_at=None, step=0, deadlines=_without(incident.deadlines))
    if incident.rung_at is None:
        incident = msgspec.structs.replace(incident, rung_at=now, step=0, deadlines=_without(incident.deadlines))
    name = f"{PREFIX}{incident.step}"
    if name in incident.deadlines:
        return incident
    at = due_at(draft, incident, now)
    assert at is not None
    return msgspec.structs.replace(incident, deadlines={**_without(incident.deadlines), name: at})


def taken(draft: Draft, incident: Incident, planned: datetime, now: datetime) -> Incident:
    """The incident after its step was taken, which was planned for then: the next one is due."""
    chain, rung_at = chain_of(draft, incident), incident.rung_at
    if chain is None or rung_at is None:
        return incident
    all_times = times(chain, rung_at, is_alarm=is_alarm(incident))
    if incident.step < len(all_times):
        planned = all_times[incident.step].at  # what is caught up comes later than that
        incident = msgspec.structs.replace(incident, step=incident.step + 1)
    at = due_at(draft, incident, now, planned)
    assert at is not None
    return msgspec.structs.replace(incident, deadlines={**_without(incident.deadlines), f"{PREFIX}{incident.step}": at})


def anew() -> dict[str, object]:
    """What lets the chain begin again: the incident is worse than it was, or another thing."""
    return {"rung_at": None, "step": 0}


def _without(deadlines: dict[str, datetime]) -> dict[str, datetime]:
    return {name: at for name, at in deadlines.items() if not name.startswith(PREFIX)}


def _loud(at: datetime, quiet: str) -> datetime:
    """`at`, or the end of the quiet hours in which it lies. Local time; China has had no summer time since 1991."""
    if not quiet:
        return at
    begins, ends = (int(part[:2]) * 60 + int(part[3:5]) for part in quiet.split("-"))
    local = at.astimezone(CHINA)
    minute = local.hour * 60 + local.minute
    is_quiet = begins <= minute < ends if begins < ends else minute >= begins or minute < ends
    if not is_quiet:
        return at
    end = local.replace(hour=ends // 60, minute=ends % 60, second=0, microsecond=0)
    return (end if end > local else end + timedelta(days=1)).astimezone(at.tzinfo)
