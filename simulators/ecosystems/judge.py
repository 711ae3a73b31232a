"""Compares what people pressed with what stations were told and what the console shows: one incident per person, one entry per press, no more."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from simulators.ecosystems.bridge import Press
from simulators.stations import Order

CRIES = frozenset(
    {"sos", "help", "fall", "medical", "duress", "button", "smoke", "co", "gas", "water_leak", "fire", "general", "inactivity", "bed_exit"}
)
SENT_AT_ONCE = frozenset({"sos", "fall"})  # a station is asked without an operator
LATE = ("replayed", "queued", "backfill")


def judge_orders(presses: Iterable[Press], orders: Iterable[Order]) -> list[str]:
    """What is wrong at the stations, in words; empty: every press that had to be was ordered exactly once (a second one as a repeat)."""
    wanted = Counter(press.device for press in presses if not press.lost and press.kind in SENT_AT_ONCE)
    told: dict[str, set[tuple[str, int]]] = {}
    for order in orders:
        if order.device is not None:
            told.setdefault(order.device, set()).add((order.incident, order.repeat))
    faults = []
    for device in sorted(wanted.keys() | told.keys()):
        found = told.get(device, set())
        if len(found) != wanted[device]:
            faults.append(f"{device}: {wanted[device]} press(es), {len(found)} order(s) at stations")
        if len({incident for incident, _ in found}) > 1:
            faults.append(f"{device}: orders of {len({incident for incident, _ in found})} incidents")
    return faults


def judge_console(presses: Iterable[Press], persons: Mapping[str, str], details: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong at the console, in words. persons: device → whose it is, one device each; details: whole incidents as the API gives them."""
    wanted = Counter((persons[press.device], press.kind) for press in presses if not press.lost)
    found: Counter[tuple[str, str]] = Counter()
    incidents: Counter[str] = Counter()
    for detail in details:
        cries = [(whose(detail), entry["kind"]) for entry in detail["timeline"] if is_cry(entry)]
        found.update(cries)
        if cries and not detail["incident"].get("merged_into"):
            incidents[whose(detail)] += 1
    faults = []
    for key in sorted(wanted.keys() | found.keys()):
        if wanted[key] != found[key]:
            faults.append(f"{key[0]}: {wanted[key]} × {key[1]} pressed, {found[key]} on the console")
    faults += [f"{person}: {count} incidents" for person, count in sorted(incidents.items()) if count > 1]
    return faults


def is_cry(entry: Mapping[str, Any]) -> bool:
    """Is this entry of a timeline a cry that is news: raised or repeated, and not told from the past?"""
    facts = entry.get("detail") or {}
    return entry.get("kind") in CRIES and entry.get("phase") in ("raise", "repeat") and facts.get("late") not in LATE


def whose(detail: Mapping[str, Any]) -> str:
    """The person's id, or the device as shown, or the incident's own."""
    incident = detail["incident"]
    return str((detail.get("person") or {}).get("id") or incident.get("device") or incident["id"])
