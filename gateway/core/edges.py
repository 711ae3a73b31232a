"""States that are told again and again: which telling of one is news. Decided in the draft, so a failed commit leaves no trace."""

import sys
from datetime import timedelta

import msgspec

from gateway.core.state import Draft, Edge, Seen
from gateway.event import ALARM_KINDS, KINDS, Event, Kind, Phase

# States remembered of one device: the 32 bits of a status word twice, or the zones of a middling panel. Beyond it the oldest that is clear gives
# way, else the oldest: it is then told once too often, never once too rarely.
EDGES_LIMIT = 64
REPLAYED = "replayed"
ONLINE = "online"  # the edge of ONLINE and OFFLINE, and of a last will

# Kinds that say the opposite of another one: that it is not so, as CLEAR of the other kind does; and their own CLEAR says that it is.
OPPOSITES = {
    Kind.POWER_BACK: Kind.POWER_CUT,
    Kind.ONLINE: Kind.OFFLINE,
    Kind.CONTACT_CLOSED: Kind.CONTACT_OPEN,
    Kind.GEOFENCE_ENTER: Kind.GEOFENCE_EXIT,
}


def name_of(event: Event) -> str:
    """What the state is remembered under. Zones of one panel have states of their own."""
    zone = event.detail.get("zone")
    return event.edge or "" if zone is None else f"{event.edge}@{zone}"


def is_edge(event: Event) -> bool:
    """Does it tell a state? A test or a fact that happens to name one does not."""
    is_told = event.phase in (Phase.RAISE, Phase.REPEAT, Phase.CLEAR) or (event.phase is Phase.STATE and event.kind in OPPOSITES)
    return event.edge is not None and event.device is not None and is_told


def news_of(draft: Draft, event: Event) -> Event | None:
    """The event that this telling of a state is, or None: nothing has changed. The draft remembers the state.

    The first CLEAR only seeds. A retained message (late "replayed") seeds too where nothing was known, so that a restart is no change; but
    a danger to people that is true and not known is told, as it may have begun while nobody listened (docs/decisions/0012).
    Other history (queued, backfill) tells how things were, not how they are: it is news where it differs, and changes no state.
    """
    if event.kind in OPPOSITES and event.phase is Phase.CLEAR:
        event = msgspec.structs.replace(event, kind=OPPOSITES[event.kind], phase=Phase.RAISE)
    name, key = name_of(event), f"{event.line}|{event.device}"
    seen = draft.last_seen(key)
    known = edge_of(seen, name)
    is_set = event.phase is not Phase.CLEAR and event.kind not in OPPOSITES
    if event.late is not None and event.late != REPLAYED:
        return None if known is not None and known.is_set is is_set else event
    is_replayed = event.late == REPLAYED
    if known is not None and known.is_set is is_set:
        if not is_set or is_replayed or event.edge_s is None or timedelta() <= event.received_at - known.at < timedelta(seconds=event.edge_s):
            return None  # after a clock that was set back it is told: once too often
        event = msgspec.structs.replace(event, phase=Phase.REPEAT)
    elif known is None and (not is_set or (is_replayed and event.kind not in ALARM_KINDS)):
        remember(draft, key, seen, event, name, is_set)
        return None
    elif event.phase is Phase.REPEAT:
        event = msgspec.structs.replace(event, phase=Phase.RAISE)  # the codec repeats what we hear for the first time
    remember(draft, key, seen, event, name, is_set)
    if KINDS[event.kind].journalled or (event.kind is Kind.TELEMETRY and not is_set):  # a press is over: after a kill the next one must be news
        draft.changed.add(key)
    return msgspec.structs.replace(event, late=None, detail={**event.detail, REPLAYED: True}) if is_replayed else event


def edge_of(seen: Seen | None, name: str) -> Edge | None:
    """What is known of this state."""
    if seen is not None:
        for edge in seen.edges:
            if edge.name == name:
                return edge
    return None


def remember(draft: Draft, key: str, seen: Seen | None, event: Event, name: str, is_set: bool) -> None:
    """The state as it is now. It is written with its event if the key stands in `draft.changed`, else at the next checkpoint."""
    others = [one for one in seen.edges if one.name != name] if seen is not None else []
    if len(others) >= EDGES_LIMIT:
        others.remove(min(others, key=lambda one: (one.is_set, one.at)))
    edges = (*others, Edge(sys.intern(name), is_set, event.received_at))
    draft.see(key, Seen(at=event.received_at, edges=edges) if seen is None else msgspec.structs.replace(seen, edges=edges))
