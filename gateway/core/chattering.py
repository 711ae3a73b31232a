"""A chattering device (EEMUA 191, ISA-18.2): beyond a rate its cries are counted at their incident, which rings again once, a little later.

Not one is lost: each stands in the journal, each is counted, and the incident rings after the last of them. What is spared is that the desk loses
the incident it has just taken, and that a station hears its order again, ten times a second. Whether the device is put aside a person decides
(maintenance, gateway.core.maintenance). The first cry, a worse one, one of another kind, of another zone (behind one panel many people may live)
and one after the matter was resolved ring at once.
"""

from datetime import datetime, timedelta

import msgspec

from gateway.core.correlation import zone_of
from gateway.core.incident import Action, Flag, Incident, State, apply, with_flags
from gateway.core.maintenance import PRESSES, key_of
from gateway.core.orders import order_anew, repeat_all
from gateway.core.state import Draft
from gateway.event import Event, Kind, Phase, Severity

WINDOW_S = 60.0  # in which cries are counted
AGAIN = "again"  # the deadline at which the incident of a chattering device rings
AGAIN_AFTER = timedelta(seconds=60)  # as often as an untouched critical incident rings by itself (policy.critical.acknowledge_s)


def chatters(draft: Draft, incident: Incident, event: Event, severity: Severity, now: datetime) -> bool:
    """Has this device cried so often of late that one more cry rings later? Cheap for every incident that has few cries."""
    most = draft.base.desk.chatter_over
    if incident.cries < most or event.device is None or event.phase is not Phase.RAISE or event.late is not None:
        return False
    is_known = event.kind is incident.kind or event.kind in incident.also
    if incident.state is State.RESOLVED or not is_known or severity.rank < incident.severity.rank:
        return False
    if (event.line, event.device, zone_of(event)) != (incident.line, incident.device, incident.zone):
        return False  # the incident names whoever rang last: somebody else would be counted there unseen
    key = (event.line, event.device, event.kind.value)
    lately = sum(1 for one, _ in draft.sent if one == key)  # of this very batch, this one among them
    return lately + draft.base.senders.within(key, now, WINDOW_S) > most


def counted(incident: Incident, now: datetime) -> dict[str, object]:
    """What a cry that is only counted changes beside what any entry does."""
    return {
        "cries": incident.cries + 1,
        "flags": with_flags(incident.flags, add=(Flag.CHATTERING,)),
        "deadlines": {AGAIN: now + AGAIN_AFTER, **incident.deadlines},
    }


def cried_on(draft: Draft, incident: Incident, now: datetime) -> Incident:
    """What was only counted rings: back to raised, whoever had it, its open orders repeated. Not where the device was put aside meanwhile, unless
    somebody presses: that is never put aside (gateway.core.maintenance); nor where another device is in it, which may have cried."""
    is_pressed = not PRESSES.isdisjoint((incident.kind, *incident.also))
    if (
        not is_pressed
        and not incident.mixed
        and incident.device is not None
        and draft.standing(key_of(incident.line, incident.device), now) is not None
    ):
        return msgspec.structs.replace(incident, flags=with_flags(incident.flags, drop=(Flag.CHATTERING,)))
    at = now + timedelta(seconds=draft.policy_of(incident).acknowledge_s)
    waits = {name: due for name, due in incident.deadlines.items() if name != "hold"}
    incident = apply(
        incident,
        Action.SECOND_CRY,
        now,
        flags=with_flags(incident.flags, add=(Flag.SECOND_CRY,), drop=(Flag.CHATTERING, Flag.ENDED, Flag.CANCELLED, Flag.STALLED)),
        deadlines={**waits, "acknowledge": min(at, waits.get("acknowledge", at))},
        owner=None,
        outcome=None,
        held_until=None,
    )
    draft.record(Kind.REMIND, now, incident, reason="cries_on", cries=incident.cries)
    return order_anew(draft, repeat_all(incident, now), now)
