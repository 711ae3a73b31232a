"""By which ways a matter reached us: each device that cried, each call, each record of another hotline is one, kept with the incident.

Three numbers and a watch for one fall are four sources of one incident (domain 7, scenario 4). Platforms: gateway.core.platforms.
"""

import msgspec

from gateway.core.incident import Incident, Source
from gateway.event import KINDS, Event, Group

SOURCES = 16  # of one incident, the oldest; whatever else calls stands in its timeline
PLATFORMS, HAND_OVERS = "platforms", "hand_overs"  # books of ours, which no line may have as its name (gateway.config.OUR_BOOKS)


def with_source(incident: Incident, event: Event) -> Incident:
    """The incident with the way by which this event came among its sources."""
    source = source_of(event)
    if source is None or len(incident.sources) >= SOURCES:
        return incident
    for one in incident.sources:
        if (one.way, one.of) == (source.way, source.of) and (one.ref == source.ref or _is_same_caller(incident, event)):
            return incident
    return msgspec.structs.replace(incident, sources=(*incident.sources, source))


def source_of(event: Event) -> Source | None:
    """way: device (of: its line, ref: its address), call (of: the hotline, ref: the call), hand_over (of: the hotline, ref: the tracking id)."""
    detail = event.detail
    if event.line == PLATFORMS:
        return None
    if event.line == HAND_OVERS:
        return Source("hand_over", str(detail.get("from") or ""), str(detail.get("tracking") or ""), event.received_at)
    if KINDS[event.kind].group is Group.TELEPHONE:
        return Source("call", str(detail.get("hotline") or event.line), str(detail.get("call") or ""), event.received_at)
    return Source("device", event.line, event.device or "", event.received_at)


def is_told_by_others(incident: Incident) -> bool:
    """Do we know of it from nobody but other hotlines and platforms? Then it may be what we know of already, once it is clear whose it is."""
    return bool(incident.sources) and all(one.way in ("hand_over", "platform") for one in incident.sources)


def _is_same_caller(incident: Incident, event: Event) -> bool:
    """Does the one ring again who rang before? Redialling is no further source."""
    caller = event.detail.get("caller_e164") or event.detail.get("caller")
    return KINDS[event.kind].group is Group.TELEPHONE and caller is not None and caller in (incident.caller, *incident.voice)
