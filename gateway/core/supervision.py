"""Silence: an overdue device is a technical incident, many behind one gateway are one, and what stays silent after an outage is one list.

Pure: decided in the draft. Nothing here touches the watch of a person: a path that is out explains a silent device, never a silent person.
"""

import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from gateway.core.correlation import Subject, joinable, position_of, subject_of
from gateway.core.edges import ONLINE, edge_of, remember
from gateway.core.faults import fact, fault
from gateway.core.incident import Action, Affected, Flag, Incident, Outcome, State, apply
from gateway.core.joining import is_mergeable
from gateway.core.register import Device
from gateway.core.state import Draft
from gateway.core.supervised import Path, Silence, Supervised
from gateway.event import Event, Kind, Phase, Severity

LISTED = 500  # devices named on one incident, 50 KB of its row; the rest is counted. A street gateway has some hundreds
LIKELY_BACK = 0.5  # so much of the list gone, and the counted rest moves up
BATTERY = "battery_pct"  # the edge of a battery that we judge
BATTERY_BACK = 5.0  # percent points above the limit: a cell that recovers in the warmth of noon is not a new one

DEVICE, HELD = "device", "held"  # first words of names that fall due


# --- signs of life ---------------------------------------------------------------------------------------------------


def on_sign(draft: Draft, event: Event, device: Device | None, now: datetime) -> None:
    """A device spoke: it is due later. One that was silent is back, and perhaps its path is."""
    one = draft.supervision.of(device)
    if one is None:
        return
    draft.alive[one.name] = (one, event.received_at, event.line)
    silence = draft.silent.get(one.name)
    if silence is not None:
        _returned(draft, one, silence, event, now)


def battery_event(draft: Draft, event: Event, device: Device | None) -> Event | None:
    """What its charge means, as a state of its own: low at the limit of its class, good again some points above. None: neither."""
    one = draft.supervision.of(device)
    if one is None or event.battery_pct is None:
        return None
    low = one.rules.battery_low_pct
    if event.battery_pct > low:
        known = edge_of(draft.last_seen(f"{event.line}|{event.device}"), BATTERY)
        if known is None or not known.is_set or event.battery_pct < low + BATTERY_BACK:
            return None
    phase = Phase.RAISE if event.battery_pct <= low else Phase.CLEAR
    return Event(
        kind=Kind.LOW_BATTERY,
        phase=phase,
        line=event.line,
        device=event.device,
        received_at=event.received_at,
        occurred_at=event.received_at,
        battery_pct=event.battery_pct,
        edge=BATTERY,
        detail={"by": "gateway", "battery_pct": event.battery_pct, "limit_pct": low},
    )


def offline(draft: Draft, event: Event, subject: Subject, incident: Incident | None, now: datetime) -> None:
    """A device is gone: its last will says so, or its hub, or its silence. If it is a gateway, all that speak through it are cut off,
    unless it is only itself silent: something was heard through it since it should have spoken."""
    one, path = draft.supervision.of(subject.device), draft.supervision.led_by(subject.device)
    is_out = path is not None and path.heard > 0 and (event.detail.get("by") != "gateway" or (one is not None and _is_unheard(draft, path, one)))
    incident = fault(draft, event, subject, incident, now, Severity.MAJOR if is_out else None)
    if one is not None:
        _be_silent(draft, one, Silence("own", incident.id))
    if path is not None and is_out:
        _absorb(draft, path, incident, [member for member in path.members.values() if member.at is not None], now)


def restored(draft: Draft, incident: Incident | None, now: datetime) -> None:
    """A fact of the field has ended an outage, if it has: who was silent by it has one window to say so."""
    ended = draft.incidents.get(incident.id) if incident is not None else None
    if ended is None or not ended.path or Flag.ENDED not in ended.flags:
        return
    for path in draft.supervision.paths.values():
        if path.key == ended.key or (ended.kind is Kind.LINE_LOST and path.line == ended.line):
            _release(draft, path, ended, now)


# --- silence ---------------------------------------------------------------------------------------------------------


def on_silence(draft: Draft, names: Sequence[str], now: datetime) -> None:
    """These were due: "device:LINE|ADDRESS", or "held:…" for those whose path was to be looked at once more."""
    lapsed: dict[int, list[Supervised]] = {}
    held: set[str] = set()
    for name in names:
        word, _, rest = name.partition(":")
        name = f"{DEVICE}:{rest}"
        one = draft.supervision.by_name.get(name)
        if one is None:
            continue
        at = draft.alive[name][1] if name in draft.alive else one.at
        if at is not None and at + one.window > now:  # it spoke while this was on its way
            if word == DEVICE:
                draft.due[name] = at + one.window
            continue
        silence = draft.silent.get(name)
        if silence is not None and silence.state != "grace":
            continue
        if word == HELD:
            held.add(name)
        lapsed.setdefault(id(one.path), []).append(one)
    for several in lapsed.values():
        _lapse(draft, several[0].path, several, held, now)


def _lapse(draft: Draft, path: Path | None, several: list[Supervised], held: set[str], now: datetime) -> None:
    """Devices of one path are overdue: is it the path? Else each has its own incident, or a place on the list after an outage."""
    if path is None:  # never heard, and registered for any line
        for one in several:
            _alone(draft, one, now)
        return
    led = [one for one in several if draft.supervision.led_by(one.device) is not None]
    for one in led:  # the gateway itself: its incident is that of its path
        _alone(draft, one, now)
    several = [one for one in several if one not in led] if led else several
    heard = [one for one in several if one.at is not None]
    never = [one for one in several if one.at is None]
    if heard:
        incident = _outage(draft, path)
        after = {one for one in heard if (silence := draft.silent.get(one.name)) is not None and silence.state == "grace"}
        left_out = {one for one in after if not _is_unheard(draft, path, one)}  # the path is back, they are not: no new outage, however many
        others = [one for one in heard if one not in left_out]
        if incident is None and others and _is_out(draft, path, others, now):
            incident = _open_path(draft, path, now)
        if incident is not None:
            _absorb(draft, path, incident, heard, now)
        else:
            waiting = {one for one in others if one.name not in held and _is_undecided(draft, path, one)}
            for one in others:
                if one in waiting:
                    draft.due[f"{HELD}:{one.name.partition(':')[2]}"] = now + timedelta(seconds=one.rules.grace_s)
                elif one not in after:
                    _alone(draft, one, now)
            _on_list(draft, path, "after", [one for one in heard if one in after and one not in waiting], now)
    _on_list(draft, path, "never", never, now)


def _is_out(draft: Draft, path: Path, several: list[Supervised], now: datetime) -> bool:
    """Is it the path that is silent? The gateway says or seems so; or enough of its devices are; or nobody was heard since several were due."""
    if _is_leader_silent(draft, path) and all(_is_unheard(draft, path, one) for one in several):
        return True
    rules = draft.base.supervision_rules
    count = (draft.silent_behind.get(path.key) or 0) + len(several)
    if count >= rules.path_least and count >= rules.path_share * path.heard:
        return True
    if path.heard < rules.path_least or not all(_is_undecided(draft, path, one) for one in several):
        return False
    late = 0
    for one in path.members.values():  # half of the grace is for those that are never quite in time
        late += one.at is not None and one.at + timedelta(seconds=one.rules.interval_s + one.rules.grace_s / 2) <= now and one.name not in draft.alive
        if late >= rules.path_least:
            return True
    return False


def _is_undecided(draft: Draft, path: Path, one: Supervised) -> bool:
    """May it be the path that is silent? With few behind it, silence of one says nothing of the others."""
    return path.heard >= draft.base.supervision_rules.path_least and _is_unheard(draft, path, one)


def _is_unheard(draft: Draft, path: Path, one: Supervised) -> bool:
    """Was nobody heard through this path since the device was expected?"""
    started_at = draft.base.started_at
    expected_at = one.at + timedelta(seconds=one.rules.interval_s) if one.at is not None else started_at
    if expected_at is not None and started_at is not None:
        expected_at = max(expected_at, started_at)
    return path.heard_at is None or expected_at is None or path.heard_at <= expected_at


def _is_leader_silent(draft: Draft, path: Path) -> bool:
    leader = path.leader
    if leader is None:
        return False
    one = draft.supervision.of(leader)
    if one is not None and (silence := draft.silent.get(one.name)) is not None and silence.state != "grace":
        return True
    line = path.line or ""
    edge = edge_of(draft.last_seen(f"{line}|{leader.id}"), ONLINE)
    return edge is not None and edge.is_set


def _outage(draft: Draft, path: Path) -> Incident | None:
    """The incident that explains the silence already: its own, or that of the line."""
    for key in (path.key, f"line:{path.line}"):
        incident = draft.incident_of_key(key)
        if incident is None or incident.state is State.RESOLVED or Flag.ENDED in incident.flags:
            continue
        if incident.kind is Kind.LINE_LOST or (incident.kind is Kind.OFFLINE and incident.affected_count):
            return incident
    return None


def _open_path(draft: Draft, path: Path, now: datetime) -> Incident:
    """One incident for all behind it. As bad as a lost line: the cries of many people would not come."""
    leader = path.leader
    event = _event(Kind.OFFLINE, path.line or "", leader.id if leader else None, now, reason="path_silent", path=path.key)
    subject = Subject(path.key, None, (), leader, leader.area if leader else None)
    incident = fault(draft, event, subject, joinable(draft, subject, event), now, Severity.MAJOR)
    incident = msgspec.structs.replace(incident, path=path.key, position=position_of(draft, subject, None, now) if leader else None)
    draft.put(incident)
    return incident


def _absorb(draft: Draft, path: Path, incident: Incident, several: Iterable[Supervised], now: datetime) -> None:
    """These, and those of the path that had an incident of their own already, are silent because of this."""
    incident = draft.incidents.get(incident.id) or incident
    before = [one for one in path.members.values() if (silence := draft.silent.get(one.name)) is not None and silence.state == "own"]
    for one in before:
        silence = draft.silent.get(one.name)
        own = draft.incidents.get(silence.incident) if silence is not None else None
        if own is not None and own.id != incident.id and own.kind is Kind.OFFLINE and not own.mixed and is_mergeable(own):
            draft.record(Kind.MERGE, now, own, into=incident.id)
            draft.record(Kind.MERGE, now, incident, merged=own.id)
            draft.put(apply(own, Action.MERGE, now, outcome=Outcome.MERGED, merged_into=incident.id, closed_at=now, deadlines={}, flags=()))
    for one in (*before, *several):
        if draft.supervision.led_by(one.device) is not path:
            _be_silent(draft, one, Silence("path", incident.id))
    _list(draft, path, incident, incident.path or path.key)


def _alone(draft: Draft, one: Supervised, now: datetime) -> None:
    """A device by itself is silent."""
    line, address = one.address
    silent_s = round((now - one.at).total_seconds()) if one.at is not None else None
    event = _event(Kind.OFFLINE, line, address, now, reason="overdue", device_class=one.rules.name, silent_s=silent_s)
    subject = subject_of(draft, event)
    if subject.person is not None:
        event = msgspec.structs.replace(event, person=subject.person.id)
    offline(draft, event, subject, joinable(draft, subject, event), now)


def _on_list(draft: Draft, path: Path, word: str, several: list[Supervised], now: datetime) -> None:
    """Silent after an outage, or never heard at all: one list of them. A single one is an incident of its own."""
    if not several:
        return
    key = f"{word}:{path.key}"
    incident = draft.incident_of_key(key)
    if incident is not None and (Flag.ENDED in incident.flags or incident.state is State.RESOLVED):
        incident = None
    if incident is None and len(several) == 1:
        _alone(draft, several[0], now)
        return
    if incident is None:
        event = _event(Kind.OFFLINE, path.line or "", None, now, reason=f"{word}_heard" if word == "never" else "silent_after_outage", path=path.key)
        incident = fault(draft, event, Subject(key), None, now)
    for one in several:
        _be_silent(draft, one, Silence("listed", incident.id))
    _list(draft, path, incident, path.key)


# --- the return ------------------------------------------------------------------------------------------------------


def _returned(draft: Draft, one: Supervised, silence: Silence, event: Event, now: datetime) -> None:
    """It speaks again. A path is back with the first that is heard through it, one that was out in part when few are left."""
    _be_heard(draft, one)
    _belie_last_will(draft, f"{event.line}|{event.device}", event)
    incident = draft.incidents.get(silence.incident)
    if silence.state == "grace" or incident is None or not incident.is_open:
        return
    path = draft.supervision.led_by(one.device) or one.path
    is_path = path is not None and incident.key == path.key
    has_moved = silence.state == "path" and not is_path and incident.key.startswith("path:")  # it speaks through another gateway now
    if silence.state == "listed" or has_moved:
        left = tuple(item for item in incident.affected if (item.line, item.device) != one.address)
        silent_s = round((now - one.at).total_seconds()) if one.at is not None else None
        back = _event(Kind.ONLINE, *one.address, now, phase=Phase.STATE, reason="heard_again", silent_s=silent_s)
        fact(draft, back, incident, now)
        incident = draft.incidents.get(incident.id) or incident
        incident = msgspec.structs.replace(incident, affected=left, affected_count=max(0, incident.affected_count - 1))
        draft.put(incident)
        if not incident.affected_count:
            fact(draft, _event(Kind.ONLINE, incident.line, incident.device, now, phase=Phase.STATE, reason="all_heard_again"), incident, now)
        elif one.path is not None and not has_moved and len(left) < min(incident.affected_count, LISTED * LIKELY_BACK):
            _list(draft, one.path, incident, one.path.key)
        return
    if is_path and path is not None:
        rules = draft.base.supervision_rules
        left_count = draft.silent_behind.get(path.key) or 0
        is_first = path.heard_at is None or path.heard_at <= incident.opened_at or draft.supervision.led_by(one.device) is not None
        if is_first or left_count < max(rules.path_least, rules.path_share * path.heard):
            _path_back(draft, path, incident, event, now)
    elif silence.state == "own" and event.kind is not Kind.ONLINE:  # that event ends it itself
        sign = {"sign": event.kind.value} | ({"sign_phase": event.phase.value} if event.phase is Phase.CLEAR else {})  # that it is over is a sign too
        back = _event(Kind.ONLINE, incident.line, incident.device, now, phase=Phase.STATE, reason="heard_again", **sign)
        fact(draft, back, incident, now)


def _path_back(draft: Draft, path: Path, incident: Incident, event: Event, now: datetime) -> None:
    """One entry for all; whoever is still silent gets one window."""
    if path.leader is not None:
        _belie_last_will(draft, f"{path.line or ''}|{path.leader.id}", event)
    if Flag.ENDED not in incident.flags and not (event.kind is Kind.ONLINE and event.device == incident.device):
        silent_s = round((now - incident.opened_at).total_seconds())
        back = _event(
            Kind.ONLINE,
            incident.line,
            incident.device,
            now,
            phase=Phase.STATE,
            reason="path_back" if incident.affected_count else "heard_again",
            path=path.key,
            affected=incident.affected_count,
            silent_s=silent_s,
        )
        fact(draft, back, incident, now)
    _release(draft, path, incident, now)


def _belie_last_will(draft: Draft, key: str, event: Event) -> None:
    """Who speaks is not gone, whatever its broker has kept: the next last will is news again."""
    seen = draft.last_seen(key)
    edge = edge_of(seen, ONLINE)
    if edge is not None and edge.is_set:
        remember(draft, key, seen, event, ONLINE, is_set=False)
        draft.changed.add(key)


def _release(draft: Draft, path: Path, incident: Incident, now: datetime) -> None:
    """Who is silent by this incident has one window from now on to give a sign."""
    leader = draft.supervision.of(path.leader)
    for one in (*path.members.values(), *([leader] if leader is not None else ())):
        silence = draft.silent.get(one.name)
        if silence is not None and silence.incident == incident.id and silence.state in ("path", "own"):
            _be_silent(draft, one, Silence("grace", incident.id))
            draft.due[one.name] = now + one.window


def _be_silent(draft: Draft, one: Supervised, silence: Silence) -> None:
    before = draft.silent.get(one.name)
    draft.silent[one.name] = silence
    _count(draft, one, before, silence)


def _be_heard(draft: Draft, one: Supervised) -> None:
    before = draft.silent.get(one.name)
    del draft.silent[one.name]
    _count(draft, one, before, None)


def _count(draft: Draft, one: Supervised, before: Silence | None, after: Silence | None) -> None:
    """How many of a path's devices are silent now (Silence.counts), without those never heard."""
    if one.path is None or one.at is None:
        return
    change = (after is not None and after.counts) - (before is not None and before.counts)
    if change:
        draft.silent_behind[one.path.key] = max(0, (draft.silent_behind.get(one.path.key) or 0) + change)


def _list(draft: Draft, path: Path, incident: Incident, name: str) -> None:
    """The list of an incident anew: who is silent by it, worst first."""
    incident = draft.incidents.get(incident.id) or incident
    mine = []
    for one in path.members.values():
        silence = draft.silent.get(one.name)
        if silence is not None and silence.incident == incident.id and silence.state in ("path", "listed"):
            mine.append(one)
    others = [item for item in incident.affected if item.path != path.key]  # a lost line takes several paths with it
    worst = heapq.nsmallest(LISTED, mine, key=lambda one: (one.order, one.device.id))
    items = [Affected(*one.address, one.device.person, one.at, one.order, path.key) for one in worst]
    listed = sorted([*others, *items], key=lambda item: item.order)[:LISTED]
    count = len(mine) if incident.kind is not Kind.LINE_LOST else max(incident.affected_count, len(listed), len(mine))
    draft.put(msgspec.structs.replace(incident, path=name, affected=tuple(listed), affected_count=max(count, len(listed))))


def _event(kind: Kind, line: str, device: str | None, now: datetime, phase: Phase = Phase.RAISE, **detail: object) -> Event:
    """A fact that the gateway itself decided."""
    known = {name: value for name, value in detail.items() if value is not None}
    return Event(kind=kind, phase=phase, line=line, device=device, received_at=now, occurred_at=now, detail={"by": "gateway", **known})


def still_silent(draft: Draft, incidents: Iterable[Incident]) -> None:
    """After a start: who is silent by an open incident stays so; everybody else has a full window."""
    for incident in incidents:
        if incident.kind not in (Kind.OFFLINE, Kind.LINE_LOST):
            continue
        is_over = Flag.ENDED in incident.flags
        for item in incident.affected:
            one = draft.supervision.of(draft.register.device(item.line, item.device))
            if one is not None:
                state = "grace" if is_over else "path" if incident.key.startswith(("path:", "line:")) else "listed"
                _be_silent(draft, one, Silence(state, incident.id))
        one = draft.supervision.of(draft.register.device(incident.line, incident.device))
        if one is not None and incident.kind is Kind.OFFLINE and not is_over:
            _be_silent(draft, one, Silence("own", incident.id))
