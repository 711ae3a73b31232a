"""What must come of what was done: rules over what was seen outside, orders at stations and rows on the console."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from simulators.district import CALLS, FILED, Member
from simulators.operator import Operator
from simulators.rung import RungStations
from simulators.scenario import See
from simulators.seen import differs
from simulators.stations import Order, Stations

CLOCK_SLACK_MS = 2000  # an event without a time of its own bears the gateway's time of arrival
OUTCOME_KINDS = {
    "answered": {"call_answered"},
    "queued": {"call_answered"},
    "abandoned": {"call_abandoned"},
    "busy": {"call_missed", "call_failed"},
    "no_answer": {"call_missed", "call_failed"},
    "declined": {"call_missed", "call_failed"},
    "gave_up": {"call_abandoned"},
    "queue_timeout": {"call_missed"},
    "blind_transfer": {"call_answered"},
    "attended_transfer": {"call_answered"},
}
NEEDS_CONSOLE = frozenset({"incident", "one_incident", "cancelled", "all_offered", "called_back", "told", "out", "back", "ladder", "seen", "refused"})
SAID_KINDS = {"alarm": "sos"}  # what a home unit says → kind, where it has another name
DETAIL_PAUSE_S = 1.0


@dataclass(slots=True)
class Pending:
    """One expectation of one step. `sent` monotonic seconds, `ts` ms since 1970: equal to the order's when `exact`, else not later than it.

    lacks: what the sender itself still waits for, "" when nothing.
    state: waiting, held, failed, not_due (the run ended before its time was over), not_checked (no console was given).
    """

    label: str
    rule: str
    via: str
    what: str
    member: Member
    device: str | None
    ts: int
    exact: bool
    sent: float
    deadline: float
    within: float
    state: str = "waiting"
    reason: str = ""
    latency_ms: float | None = None
    escalation_due: float | None = None
    sent_at: Callable[[], float | None] = field(default=lambda: None)
    lacks: Callable[[], str] = field(default=lambda: "")
    see: See | None = None
    wanted: str = ""  # the reason for which it is to be refused
    incident: str = ""  # what was filed says so itself
    refused: str = ""
    arrived: float | None = None

    @property
    def number(self) -> str:
        """Who rings: they themselves, or their contact."""
        return self.member.contact if self.via == "contact" else self.member.phone


@dataclass(slots=True)
class World:
    """All that the witnesses saw."""

    stations: Stations | None
    operator: Operator | None
    parents: dict[str, str]
    kinds: dict[str, str] = field(default_factory=dict)
    areas: dict[str, str] = field(default_factory=dict)
    rung: RungStations | None = None
    outages: dict[str, str] = field(default_factory=dict)  # street gateway → the incident of its newest outage
    _details: dict[str, tuple[float, dict[str, Any] | None]] = field(default_factory=dict)

    def orders(self) -> list[Order]:
        return list(self.stations.orders) if self.stations is not None else []

    def above(self, responder: str) -> set[str]:
        """Everybody above a responder in the tree: its parent, or whoever stands over a parent that is closed at this hour."""
        found: set[str] = set()
        parent = self.parents.get(responder)
        while parent is not None and parent not in found:
            found.add(parent)
            parent = self.parents.get(parent)
        return found

    async def detail(self, incident: str) -> dict[str, Any] | None:
        """The incident as the console shows it, at most a second old."""
        kept = self._details.get(incident)
        if self.operator is None:
            return None
        if kept is None or time.monotonic() - kept[0] > DETAIL_PAUSE_S:
            kept = (time.monotonic(), await self.operator.detail(incident))
            self._details[incident] = kept
            if len(self._details) > 1000:
                self._details.pop(next(iter(self._details)))
        return kept[1]


def order_of(pending: Pending, world: World) -> list[Order]:
    """Orders that carry this cry, oldest first: its device and its ts; for a call the person, or the incident of the caller's row.

    Of what was filed: those of its incident.
    """
    if pending.via in FILED:
        return [order for order in world.orders() if pending.incident and order.incident == pending.incident]
    if pending.via in CALLS:
        incidents = {str(row["id"]) for row in caller_rows(pending, world)}
        return [
            order
            for order in world.orders()
            if order.arrived >= pending.sent
            and (order.incident in incidents or (pending.member.person is not None and order.person == pending.member.person))
        ]
    if pending.exact:
        return [order for order in world.orders() if order.device == pending.device and order.ts == pending.ts]
    return [order for order in world.orders() if order.device == pending.device and order.ts is not None and order.ts >= pending.ts - CLOCK_SLACK_MS]


def caller_rows(pending: Pending, world: World) -> list[dict[str, Any]]:
    """Rows of the console's list whose (masked) caller ends like this one's number; of an anonymous caller, rows without any."""
    if world.operator is None:
        return []
    tail = pending.number[-4:]
    rows = []
    for incident, row in world.operator.rows.items():
        if world.operator.first_seen.get(incident, 0) < pending.sent and pending.member.person is None:
            continue
        caller = row.get("caller") or ""
        if (tail and str(caller).endswith(tail)) or (not tail and not str(caller)[-4:].isdigit() and row.get("hotline")):
            rows.append(row)
    return rows


async def has_order(pending: Pending, world: World) -> bool:
    """An order at some station that carries the cry, and names the person the register names."""
    orders = order_of(pending, world)
    if not orders:
        return await was_rung(pending, world)
    note_latency(pending, orders[0])
    wanted = pending.member.person
    if wanted is not None and pending.member.sharing < 2 and all(order.person != wanted for order in orders):
        pending.reason = f"the order names {orders[0].person or 'nobody'}, not {wanted}"
        return False
    return True


async def was_rung(pending: Pending, world: World) -> bool:
    """The order by telephone: a station was rung since, pressed the key, and the console shows its answer in this person's incident."""
    rings = [ring for ring in world.rung.rings if ring.at >= pending.sent] if world.rung is not None else []
    if not rings:
        return False
    for incident in await incidents_of_person(pending, world):
        for leg in incident.get("legs", ()):
            ring = next((ring for ring in rings if ring.responder == leg.get("responder")), None)
            if ring is not None and leg.get("channel") == "phone":
                note_arrival(pending, ring.at)
                if leg.get("answered_at"):
                    return True
                pending.reason = f"{ring.responder} was rung, and its answer is not on the console"
    return False


async def incidents_of_person(pending: Pending, world: World) -> list[dict[str, Any]]:
    """The whole incidents of this person that the console shows, those merged away left out."""
    member = pending.member
    if world.operator is None or member.person is None:
        return []
    rows = [row for row in world.operator.rows.values() if str(row.get("name") or "").startswith(member.name[:1]) and not row.get("merged_into")]
    found = [await world.detail(str(row["id"])) for row in rows]
    return [one for one in found if one is not None and (one.get("person") or {}).get("id") == member.person]


async def has_repeat(pending: Pending, world: World) -> bool:
    """A second cry: the open order once more, same delivery id, `repeat` higher."""
    for order in order_of(pending, world):
        if order.repeat and any(
            earlier.delivery == order.delivery and earlier.repeat < order.repeat and earlier.arrived <= order.arrived for earlier in world.orders()
        ):
            note_latency(pending, order)
            return True
    orders = order_of(pending, world)
    pending.reason = f"its order has repeat {orders[0].repeat} and no earlier order has the same delivery id" if orders else ""
    return False


async def has_order_once(pending: Pending, world: World) -> bool:
    """The same message several times is one order: judged when the time is over."""
    orders = order_of(pending, world)
    if orders:
        note_latency(pending, orders[0])
    per_delivery: dict[str, set[int]] = {}
    for order in orders:
        per_delivery.setdefault(order.delivery, set()).add(order.repeat)
    too_many = [delivery for delivery, repeats in per_delivery.items() if len(repeats) > 1]
    if too_many:
        pending.reason = f"delivery {too_many[0]} was repeated for the same message"
    return time.monotonic() >= pending.deadline and bool(orders) and not too_many


async def has_nothing(pending: Pending, world: World) -> bool:
    """No order at all: judged when the time is over."""
    orders = order_of(pending, world)
    if orders:
        pending.reason = f"an order went to {orders[0].responder}"
    return time.monotonic() >= pending.deadline and not orders


async def is_escalated(pending: Pending, world: World) -> bool:
    """The first one asked did not answer in time: whoever stands above is asked about the same incident."""
    orders = order_of(pending, world)
    if not orders:
        return False
    first = orders[0]
    note_latency(pending, first)
    if pending.escalation_due is None:
        left = (first.reply_by - datetime.now(UTC)).total_seconds() if first.reply_by is not None else 60.0
        pending.escalation_due = time.monotonic() + max(0.0, left)
        pending.deadline = pending.escalation_due + pending.within
    above = world.above(first.responder)
    others = {order.responder for order in world.orders() if order.incident == first.incident and order.delivery != first.delivery}
    if others & above:
        return True
    detail = await world.detail(first.incident) if time.monotonic() > pending.escalation_due else None
    if detail is not None and any(leg.get("responder") in above for leg in detail.get("legs", ())):
        return True  # ordered over a channel that no station on the broker sees
    pending.reason = f"{first.responder} did not answer, nobody above was asked" + (f" (but {', '.join(sorted(others))})" if others else "")
    return False


async def has_incident(pending: Pending, world: World) -> bool:
    """The console shows an incident of this kind: by caller for calls, by kind and family name for devices."""
    assert world.operator is not None
    wanted = OUTCOME_KINDS.get(pending.what, {pending.what}) if pending.via in CALLS else {SAID_KINDS.get(pending.what, pending.what)}
    if pending.via in CALLS:
        rows = caller_rows(pending, world)
    else:
        rows = [
            row for row in world.operator.rows.values() if not pending.member.name or str(row.get("name") or "").startswith(pending.member.name[0])
        ]
    for row in rows:
        if world.operator.kinds_seen.get(str(row["id"]), set()) & wanted:
            return True
    for row in rows[:20]:
        detail = await world.detail(str(row["id"]))
        if detail is not None and any(entry.get("kind") in wanted for entry in detail.get("timeline", ())):
            return True
    pending.reason = f"no incident with {' or '.join(sorted(wanted))} on the console"
    return False


async def has_joined(pending: Pending, world: World) -> bool:
    """It became part of the incident of the same person that was open already, and opened none of its own."""
    incident = open_before(pending, world)
    if not incident:
        pending.reason = "this person has no open order to join"
        return False
    if pending.via not in CALLS:
        orders = order_of(pending, world)
        strange = [order for order in orders if order.incident != incident]
        if strange:
            pending.reason = f"opened {strange[0].incident} beside {incident}"
            return False
        if orders:
            note_latency(pending, orders[0])
            return True
    wanted = {"merge"} if pending.via == "contact" else OUTCOME_KINDS.get(pending.what, set()) | {"call_offered"}
    detail = await world.detail(incident)
    if detail is None:
        pending.reason = f"{incident} cannot be seen on the console"
        return False
    if any(entry.get("kind") in wanted for entry in detail.get("timeline", ())):
        return True
    pending.reason = f"the timeline of {incident} has no {' or '.join(sorted(wanted))}"
    return False


def open_before(pending: Pending, world: World) -> str:
    """The incident of the newest order about one of this person's devices that came before this, or ""."""
    member = pending.member
    earlier = [order for order in world.orders() if order.device in member.devices and order.arrived <= pending.sent]
    return earlier[-1].incident if earlier else ""


async def is_one_incident(pending: Pending, world: World) -> bool:
    """The alarm was ordered, the call about it was answered, and both are one incident: this person has no other."""
    orders = order_of(pending, world) if pending.device else []
    incident = orders[0].incident if orders else open_before(pending, world)
    detail = await world.detail(incident) if incident else None
    if detail is None:
        pending.reason = "there is no order about this person"
        return False
    if orders:
        note_latency(pending, orders[0])
    if not any(entry.get("kind") == "call_answered" for entry in detail.get("timeline", ())):
        pending.reason = f"the timeline of {incident} has no call_answered"
        return False
    others = [str(one["incident"]["id"]) for one in await incidents_of_person(pending, world) if one["incident"]["id"] != incident]
    pending.reason = f"beside {incident} there is {others[0]}" if others else ""
    return not others


async def is_called_back(pending: Pending, world: World) -> bool:
    """The operator has rung this caller back, and the list no longer has them."""
    assert world.operator is not None
    rows = caller_rows(pending, world)
    if any(str(row["id"]) in world.operator.called_back and "call_due" not in (row.get("flags") or ()) for row in rows):
        return True
    pending.reason = "nobody has called back" if rows else "the console shows no incident of this caller"
    return False


async def is_cancelled(pending: Pending, world: World) -> bool:
    """The wearer's cancel is on the timeline, and the incident is still there for people to end."""
    own = [order for order in world.orders() if order.device == pending.device]
    for incident in dict.fromkeys(order.incident for order in reversed(own)):
        detail = await world.detail(incident)
        if detail is not None and any(entry.get("kind") == "cancel" or entry.get("phase") == "clear" for entry in detail.get("timeline", ())):
            return True
    pending.reason = "no timeline of its incidents shows the cancel"
    return False


async def are_all_offered(pending: Pending, world: World) -> bool:
    """Several people on one number: the operator is offered all of them, none is picked silently."""
    for row in caller_rows(pending, world):
        if (row.get("candidates") or 0) >= pending.member.sharing:
            return True
        detail = await world.detail(str(row["id"]))
        if detail is not None and len(detail.get("persons") or ()) >= pending.member.sharing:
            return True
    pending.reason = f"no incident of the caller offers {pending.member.sharing} people"
    return False


async def is_told(pending: Pending, world: World) -> bool:
    """The order is at a station, and the device was told that help is coming."""
    if not await has_order(pending, world):
        return False
    for incident in dict.fromkeys(order.incident for order in order_of(pending, world)):
        tellings = (await world.detail(incident) or {}).get("tellings", ())
        if any(one.get("word") == "coming" and one.get("state") == "told" for one in tellings):
            return True
    pending.reason = "the console does not show that the device was told of help"
    return False


async def is_out(pending: Pending, world: World) -> bool:
    """A street gateway and all behind it are one incident with a list."""
    assert world.operator is not None
    for incident, row in list(world.operator.rows.items()):
        if row.get("kind") == "offline" and world.operator.first_seen.get(incident, 0) >= pending.sent:
            affected = (await world.detail(incident) or {}).get("affected") or {}
            if str(affected.get("path")).rpartition("|")[2] == pending.device and affected.get("count", 0) > 1:
                world.outages[str(pending.device)] = incident
                return True
    pending.reason = "no incident with a list of who is silent"
    return False


async def is_back(pending: Pending, world: World) -> bool:
    """The incident of the outage says that the path is back."""
    incident = world.outages.get(str(pending.device))
    detail = await world.detail(incident) if incident is not None else None
    pending.reason = "its outage was never seen" if detail is None else f"{incident} goes on"
    return detail is not None and any(entry.get("kind") == "online" for entry in detail.get("timeline", ()))


async def has_climbed(pending: Pending, world: World) -> bool:
    """Nothing more was heard of this person: the check-in was missed, and every step of the ladder was taken."""
    for detail in await incidents_of_person(pending, world):
        steps = (((detail.get("watch") or {}).get("ladder")) or {}).get("steps", ())
        if steps and all(step.get("state") == "done" for step in steps):
            return True
        pending.reason = "steps: " + ", ".join(f"{step.get('step')} {step.get('state')}" for step in steps)
    return False


async def is_seen(pending: Pending, world: World) -> bool:
    """The console shows all that the scenario says of the incident that came of it."""
    assert world.operator is not None
    assert pending.see is not None
    orders = order_of(pending, world)
    if orders:
        note_latency(pending, orders[0])
    incidents = {pending.incident} if pending.incident else {order.incident for order in orders}
    if not incidents and pending.via in CALLS:
        incidents = {str(row["id"]) for row in caller_rows(pending, world)} | {open_before(pending, world)}
    if not incidents:
        incidents = {
            str(one["incident"]["id"]) for one in await incidents_of_person(pending, world) if one["incident"].get("device") == pending.device
        }
    pending.reason = pending.refused and f"refused: {pending.refused}"
    for incident in sorted(incidents - {""}):
        detail = await world.detail(incident)
        if detail is not None:
            pending.reason = differs(pending.see, detail, await world.operator.decisions(incident), world.kinds, world.areas)
            if not pending.reason:
                return True
            pending.reason = f"{incident}: {pending.reason}"
    return False


async def is_refused(pending: Pending, _: World) -> bool:
    """It was refused, for the reason that the scenario names."""
    pending.reason = f"refused: {pending.refused}" if pending.refused else f"not refused: {pending.incident}" if pending.incident else ""
    return pending.refused == pending.wanted


Rule = Callable[[Pending, World], Awaitable[bool]]
RULES: dict[str, Rule] = {
    "order": has_order,
    "repeat": has_repeat,
    "once": has_order_once,
    "nothing": has_nothing,
    "escalated": is_escalated,
    "incident": has_incident,
    "joined": has_joined,
    "one_incident": is_one_incident,
    "cancelled": is_cancelled,
    "all_offered": are_all_offered,
    "called_back": is_called_back,
    "told": is_told,
    "out": is_out,
    "back": is_back,
    "ladder": has_climbed,
    "seen": is_seen,
    "refused": is_refused,
}


def note_latency(pending: Pending, order: Order) -> None:
    """From the moment the cry left the sender until the order was at the station, ms."""
    note_arrival(pending, order.arrived)


def note_arrival(pending: Pending, arrived: float) -> None:
    """As note_latency, for an order that came by telephone."""
    pending.arrived = pending.arrived or arrived
    if pending.latency_ms is None:
        sent = pending.sent_at() or pending.sent
        pending.latency_ms = max(0.0, (arrived - sent) * 1000)


async def judge(pending: Pending, world: World) -> None:
    """Look once: held as soon as the rule is true, failed when its time is over, not_checked without the console it needs."""
    if pending.rule in NEEDS_CONSOLE and world.operator is None:
        pending.state = "not_checked"
        return
    held = await RULES[pending.rule](pending, world)
    if held and not pending.lacks():
        pending.state, pending.reason = "held", ""
    elif time.monotonic() >= pending.deadline:
        pending.state = "failed"
        pending.reason = (pending.lacks() if held else pending.reason) or f"nothing within {pending.within:g} s"
