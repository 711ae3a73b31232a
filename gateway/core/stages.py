"""The closed loop as it was lived: 下单 → 签约 → 服务 → 回访 → 投诉 → 处理. Which key nodes were passed, when, by whom, with what evidence.

What follows from the incident itself (opened, accepted, arrived) is noted when it is put into the draft, whoever changed it; what people say
(called back, complained, handled, waived) by their commands. Domain 6.1.
"""

from datetime import datetime

import msgspec

from gateway.core.incident import COMING, INFORMED, Incident, Leg, LegState, Stage
from gateway.event import KINDS, Group

ORDER, AGREE, SERVE, CALL_BACK, COMPLAIN, HANDLE = "order", "agree", "serve", "call_back", "complain", "handle"
# In place of a call-back; taken by another hotline; taken back from somebody who had it and did nothing.
WAIVE, HAND_OVER, GIVEN_BACK = "waive", "hand_over", "given_back"
KEPT = 60  # stages kept of one incident: ten complaints, each handled; the journal has all
LOOPED = frozenset((Group.PERSON, Group.ENVIRONMENT, Group.TELEPHONE, Group.SERVICE))  # a dying battery is no order of anybody's


def with_stages(before: Incident | None, incident: Incident) -> Incident:
    """The incident with the nodes that it has passed by what it now is. `before`: as it was in the draft."""
    if KINDS[incident.kind].group not in LOOPED:
        return incident
    is_new = not incident.stages
    if is_new:
        opened = Stage(name=ORDER, at=incident.opened_at, actor=incident.agent or "", evidence=incident.call or incident.line)
        incident = msgspec.structs.replace(incident, stages=(opened,))
    elif before is None or before.legs is incident.legs:
        return incident  # read from the store: it was noted when it happened
    was = {leg.delivery: leg.state for leg in before.legs} if before is not None else {}
    for leg in incident.legs:
        if (leg.state in COMING or leg.state is LegState.DONE) and was.get(leg.delivery) is not leg.state:
            incident = _by_leg(before, incident, leg)
    return incident


def passed(incident: Incident, name: str, now: datetime, actor: str = "", due: datetime | None = None, evidence: str = "") -> Incident:
    """The incident, which has passed this node now."""
    stage = Stage(name=name, at=now, actor=actor, due=due, evidence=evidence)
    return msgspec.structs.replace(incident, stages=(*incident.stages, stage)[-KEPT:])


def has_passed(incident: Incident, name: str) -> bool:
    """Has it, since the last complaint, which begins the loop anew?"""
    for stage in reversed(incident.stages):
        if stage.name == name:
            return True
        if stage.name == COMPLAIN:
            return False
    return False


def complained_about(incident: Incident) -> frozenset[str]:
    """Whom its complaints are about: responders' ids and names on duty. One that names nobody takes back no name that was said before."""
    said = (stage.evidence for stage in complaints(incident))
    return frozenset(one.removeprefix("about:") for one in said if one.startswith("about:"))


def complaints(incident: Incident) -> tuple[Stage, ...]:
    """Every complaint about it, oldest first."""
    return tuple(stage for stage in incident.stages if stage.name == COMPLAIN)


def complained_at(incident: Incident) -> datetime | None:
    """When the newest complaint came in; None: there was none."""
    return next((stage.at for stage in reversed(incident.stages) if stage.name == COMPLAIN), None)


def _by_leg(before: Incident | None, incident: Incident, leg: Leg) -> Incident:
    """An order that was accepted: agreed; one whose responder is there, or was: served."""
    if leg.role in INFORMED:  # they agree to nothing
        return incident
    known = {stage.evidence for stage in incident.stages if stage.name in (AGREE, SERVE)}
    actor = leg.by or leg.responder
    at = leg.answered_at or incident.changed_at
    if not has_passed(incident, AGREE) and leg.delivery not in known:
        incident = passed(incident, AGREE, at, actor, leg.reply_by, leg.delivery)
    is_there = leg.arrived_at is not None or leg.state in (LegState.ARRIVED, LegState.DONE)
    if is_there and not has_passed(incident, SERVE) and not any(one.name == SERVE and one.evidence == leg.delivery for one in incident.stages):
        due = before.deadlines.get(f"arrive:{leg.delivery}") if before is not None else None
        incident = passed(incident, SERVE, leg.arrived_at or incident.changed_at, actor, due, leg.delivery)
    return incident
