"""Tells step by step what a profile makes of one message, and why: for `gateway mapping try`. The events themselves come from the codec."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from drivers.mqtt.profile import Profile
from drivers.mqtt.profile_rules import EventPlan, Message, Rule, search
from drivers.mqtt.value import Value
from drivers.recent import RecentKeys


class Step(NamedTuple):
    """One thing that was looked at. what: a word of gateway.mapping_words; facts go into its sentence; depth: how far it is indented."""

    depth: int
    what: str
    facts: Mapping[str, object]


MAX_ITEMS_TOLD = 20  # of a list: the rest is like them


def explain(profile: Profile, topic: str, payload: bytes, retain: bool, at: datetime) -> Iterator[Step]:
    """Every rule of the profile in order."""
    message = Message(topic, payload, retain, False, at, RecentKeys())
    yield Step(0, "message", {"topic": topic, "bytes": len(payload), "json": message.is_json, "retain": retain})
    if not payload:
        yield Step(0, "deleted", {})
        return
    for pattern in profile.ignore:
        if pattern.match(topic) is not None:
            yield Step(0, "ignored", {"pattern": pattern.text})
            return
    for rule in profile.rules:
        before = len(message.found)
        captures = rule.pattern.match(topic)
        if captures is None:
            yield Step(0, "other_topic", {"rule": rule.name, "pattern": rule.pattern.text})
            continue
        excluded = next((one.text for one in rule.not_topic if one.match(topic) is not None), None)
        if excluded is not None:
            yield Step(0, "not_topic", {"rule": rule.name, "pattern": excluded})
            continue
        yield Step(0, "topic_fits", {"rule": rule.name, "pattern": rule.pattern.text, "names": captures})
        if rule.is_otherwise and message.found:
            yield Step(1, "otherwise", {})
            continue
        yield from _rule(rule, message, captures, profile.parameters)
        fits = rule.apply(message, captures, profile.parameters) == ""
        if fits and len(message.found) == before:
            yield Step(1, "nothing", {})
        if fits and rule.is_last:
            yield Step(1, "last", {})
            return


def _rule(rule: Rule, message: Message, captures: Mapping[str, str], parameters: Mapping[str, str]) -> Iterator[Step]:
    if rule.payload == "json" and not message.is_json:
        yield Step(1, "bad_json", {})
        return
    faults: list[str] = []
    context = dict(message.context(captures, parameters, rule.payload))
    if rule.decoding is not None and not rule.decoding.is_of_item:
        context["decoded"] = rule.decoding.decode(context, faults)
        yield Step(1, "decoded", {"path": rule.decoding.path.text, "value": context["decoded"]})
    if rule.when is not None:
        result = search(rule.when, context, faults)
        yield Step(1, "when_met" if result is True else "when_not_met", {"when": rule.when.text, "result": result})
        if result is not True:
            yield from _faults(faults)
            return
    items: list[Any] = [None]
    if rule.each is not None:
        found = search(rule.each, context, faults)
        items = found if isinstance(found, list) else []
        yield Step(1, "each" if isinstance(found, list) else "each_none", {"path": rule.each.text, "count": len(items)})
    yield from _faults(faults)
    for number, item in enumerate(items[:MAX_ITEMS_TOLD], 1):
        faults = []
        if rule.each is not None:
            context["item"] = item
            yield Step(1, "item", {"number": number, "item": item})
            if rule.decoding is not None and rule.decoding.is_of_item:
                context["decoded"] = rule.decoding.decode(context, faults)
                yield Step(1, "decoded", {"path": rule.decoding.path.text, "value": context["decoded"]})
        device, fault = rule.device(context, faults)
        paths = ", ".join(one.text for one in rule.devices)
        yield Step(1, "device_fault" if fault else "device" if device else "no_device", {"paths": paths, "device": device, "fault": fault})
        yield from _faults(faults)
        if not fault:
            for event in rule.events:
                yield from _event(event, context, message, rule.retained)


def _faults(faults: list[str]) -> Iterator[Step]:
    yield from (Step(2, "fault", {"fault": fault}) for fault in faults)


def _event(event: EventPlan, context: dict[str, Any], message: Message, retained: str | None) -> Iterator[Step]:
    faults: list[str] = []
    kind = "…" if isinstance(event.kind, Value) else str(event.kind)
    yield Step(1, "event", {"number": event.number + 1, "kind": kind})
    if event.when is not None:
        result = search(event.when, context, faults)
        yield Step(2, "when_met" if result is True else "when_not_met", {"when": event.when.text, "result": result})
        if result is not True:
            yield from _faults(faults)
            return
    if event.edge is not None:
        found = search(event.edge.path, context, faults)
        state = None if found is None else event.edge.truth(found)
        said = {"path": event.edge.path.text, "found": found, "state": state, "name": event.edge.name}
        yield Step(2, "edge" if state is not None else "edge_none", said)
        if state is None:
            yield from _faults(faults)
            return
    values = [("kind", event.kind), ("phase", event.phase), *event.values, ("late", event.late)]
    values += [(f"vitals.{name}", value) for name, value in event.vitals] + [(f"detail.{name}", value) for name, value in event.detail]
    for name, value in values:
        if isinstance(value, Value):
            found, result, why = value.explain(context)
            facts = {"name": name, "path": value.expression.text, "found": found, "value": result, "why": why}
            yield Step(2, "value" if result is not None else "absent", facts)
            if name == "kind" and (result is None or result == "none"):
                yield Step(2, "no_kind", {})
                return
    if event.position is not None:
        yield Step(2, "position", {"path": event.position[0].text, "found": search(event.position[0], context, faults)})
    yield from _faults(faults)
    if message.retain:
        yield Step(2, "retained", {"policy": retained or ("state" if event.edge is not None else "candidate")})
