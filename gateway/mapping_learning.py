"""What `gateway mapping learn` makes of the messages it heard: groups of topics, the profile that fits each, or the beginning of a new one."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drivers.contract import Signal
from drivers.mqtt.mapping import MappingCodec
from drivers.mqtt.message import refuse_oversize
from drivers.mqtt.profile import Profile
from drivers.mqtt.profile_rules import read_json
from gateway.event import ALARM_KINDS, Kind

MAX_GROUPS = 500  # shapes of topics: a house has a dozen, an open broker thousands
MAX_TOPICS = 5000  # counted a group
MAX_KNOWN = 200  # devices that bridges tell of
SAMPLES = 3
TOLD_BYTES = 120
PRESS_WORDS = ("action", "event", "press", "click", "button", "btn", "key", "sos", "alarm", "emergency", "state", "status", "type")
"""Fields in which a press is likely to stand, the likeliest first."""
PRESSES = frozenset(
    "sos help emergency panic single double triple quadruple multi many short long hold held press pressed click clicked release released".split()
)
"""Words that values of such a field are made of: long, double_click, "Long Press"."""
BATTERY_WORDS = ("battery_pct", "bat_pct", "battery", "batt", "bat", "battery_level", "batteryLevel")
MAX_VALUES = 10  # of a press: what changes more often counts or measures something
KEPT_VALUE = 60  # characters of a value that are remembered
SAFETY: tuple[str, ...] = (
    "sos",
    "emergency",
    "smoke",
    "carbon_monoxide",
    "gas",
    "water_leak",
    "tamper",
    "panic",
    "moisture",
    "safety",
    "problem",
    "motion",
)
SAFETY += ("occupancy", "door", "window", "opening", "battery", "connectivity")

_ID = re.compile(r"(?=(?:\D*\d){2})[\w.:-]{4,}")  # a level that looks like an address: two digits, and not very short
_PLAIN_TEMPLATE = re.compile(r"\{\{\s*(?:value_json((?:\.\w+|\[['\"][\w -]+['\"]\])+)|value)\s*\}\}")
_ABBREVIATED = {"dev_cla": "device_class", "stat_t": "state_topic", "val_tpl": "value_template", "dev": "device", "cmps": "components"}
_ABBREVIATED |= {"uniq_id": "unique_id", "mdl": "model", "p": "platform"}


@dataclass(slots=True)
class Fit:
    """What one profile makes of one group."""

    understood: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """Messages on topics of one shape."""

    messages: int = 0
    topics: set[str] = field(default_factory=set)
    sample: tuple[str, bytes] = ("", b"")
    fields: dict[str, Counter[str]] = field(default_factory=dict)
    fits: dict[str, Fit] = field(default_factory=dict)


class Learned:
    """Collects in memory that is bounded; `told` says it."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.messages = 0
        self._profiles = {profile.name: profile for profile in profiles}
        self._codecs = {profile.name: MappingCodec([profile]) for profile in profiles}
        self._groups: dict[str, Group] = {}
        self._known: dict[str, tuple[str, dict[str, str]]] = {}
        self._is_full = False

    def hear(self, topic: str, payload: bytes, retain: bool, at: datetime) -> None:
        """One message; never raises for anything in it."""
        self.messages += 1
        if not payload or refuse_oversize(topic, payload) is not None:
            return
        shape = "/".join("{device}" if _ID.fullmatch(level) else level for level in topic.split("/"))
        group = self._groups.get(shape)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                self._is_full = True
                return
            group = self._groups[shape] = Group(sample=(topic, payload))
        group.messages += 1
        if len(group.topics) < MAX_TOPICS:
            group.topics.add(topic)
        body = read_json(payload)
        if isinstance(body, dict):
            _see_fields(group, body)
        self._see_knowledge(topic, body)
        for name, codec in self._codecs.items():
            found = codec.receive_message(topic, payload, retain, False, 0.0, at)
            events = [one for one in found if isinstance(one, Signal)]
            if events:
                fit = group.fits.setdefault(name, Fit())
                fit.understood += 1
                fit.kinds.update(str(one.kind) for one in events)
                if len(fit.samples) < SAMPLES:
                    one = next((one for one in events if one.kind in ALARM_KINDS), events[0])
                    fit.samples.append((topic, f"{one.kind} {one.phase} {one.device}"))

    # --- what bridges tell

    def _see_knowledge(self, topic: str, body: Any) -> None:
        levels = topic.split("/")
        if len(self._known) >= MAX_KNOWN:
            return
        if levels[-2:] == ["bridge", "devices"] and isinstance(body, list):
            for device in body[:MAX_KNOWN]:
                found = _exposed(device) if isinstance(device, dict) else None
                if found is not None:
                    self._known[f"Zigbee2MQTT {found['device']}"] = ("known_device", {"source": "Zigbee2MQTT", **found})
        elif levels[-1] == "config" and len(levels) >= 4 and isinstance(body, dict):
            for found in _discovered(levels, body):
                what = "template" if found.pop("plain") else "strange_template"
                self._known[f"{found['device']} {found['what']} {levels[-2]}"] = (what, {"source": "Home Assistant", **found})

    # --- telling

    def told(self, words: Mapping[str, str]) -> Iterator[str]:
        """The whole as lines of text; skeletons are TOML."""
        if not self.messages:
            yield words["silence"]
            return
        yield words["heard"].format(messages=self.messages, topics=sum(len(group.topics) for group in self._groups.values()))
        for shape, group in sorted(self._groups.items(), key=lambda item: -item[1].messages):
            yield ""
            yield words["group"].format(shape=_line(shape), messages=group.messages, topics=len(group.topics))
            best = sorted(group.fits.items(), key=lambda item: (-item[1].understood, -_alarms(item[1]), item[0]))
            for name, fit in best[:SAMPLES]:
                title = self._profiles[name].title
                kinds = ", ".join(f"{kind} {count}" for kind, count in fit.kinds.most_common(5))
                facts = {"profile": name, "title": title.get(words.get("language", "en")) or title.get("en", name), "kinds": kinds}
                yield words["fits"].format(understood=fit.understood, messages=group.messages, events=fit.kinds.total(), **facts)
                yield from (words["sample"].format(topic=_line(topic), event=_line(event)) for topic, event in fit.samples)
            if not best:
                yield words["unknown"]
                yield from self._unknown(shape, group, words)
        if self._is_full:
            yield words["more"].format(count=MAX_GROUPS)
        if self._known:
            yield ""
            yield words["proposals"]
            yield from (words[what].format(**{name: _line(value) for name, value in facts.items()}) for what, facts in self._known.values())

    def _unknown(self, shape: str, group: Group, words: Mapping[str, str]) -> Iterator[str]:
        topic, payload = group.sample
        if not group.fields:
            yield words["not_json"].format(payload=ascii(payload[:TOLD_BYTES])[1:])
            return
        name = re.sub(r"[^a-z0-9_-]", "", topic.split("/")[0].lower()).lstrip("_-")[:40] or "ours"
        yield words["skeleton"].format(name=name)
        yield ""
        yield from skeleton(name, shape, topic, payload, group.fields)


def _alarms(fit: Fit) -> int:
    return sum(count for kind, count in fit.kinds.items() if Kind(kind) in ALARM_KINDS)


def _line(text: str) -> str:
    """On one line, and nothing that moves the cursor."""
    return "".join(one if one.isprintable() else "?" for one in text[:200])


def _see_fields(group: Group, body: Mapping[str, Any]) -> None:
    for name, value in list(body.items())[:50]:
        if isinstance(value, str | bool | int | float):
            seen = group.fields.setdefault(name[:64], Counter()) if len(group.fields) < 50 else group.fields.get(name[:64])
            if seen is not None and len(seen) < 20:
                seen[json.dumps(value)[:KEPT_VALUE]] += 1


def _exposed(device: Mapping[str, Any]) -> dict[str, str] | None:
    """What a device of bridge/devices can say that matters: actions such as emergency, and safety states."""
    definition = device.get("definition")
    exposes = definition.get("exposes") if isinstance(definition, dict) else None
    found: list[str] = []
    for one in exposes if isinstance(exposes, list) else []:
        if not isinstance(one, dict):
            continue
        if one.get("name") == "action" and isinstance(one.get("values"), list):
            found += [f"action {value}" for value in one["values"] if value in ("emergency", "sos", "panic")]
        elif one.get("name") in SAFETY:
            found.append(str(one["name"]))
    if not found:
        return None
    assert isinstance(definition, dict)
    return {"device": str(device.get("friendly_name")), "model": str(definition.get("model")), "what": ", ".join(found)}


def _discovered(levels: Sequence[str], body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Entities of a Home Assistant discovery message that may matter. Templates are looked at and never run."""
    config = _spelled_out(body)
    components = config.get("components")
    entities = [_spelled_out(one) for one in components.values() if isinstance(one, dict)] if isinstance(components, dict) else [config]
    device = config.get("device")
    name = _spelled_out(device).get("name") if isinstance(device, dict) else None
    for entity in entities[:50]:
        component = str(entity.get("platform") or levels[1])
        what = entity.get("device_class") or (component if component in ("event", "device_automation") else None)
        if what not in SAFETY and component not in ("event", "device_automation"):
            continue
        template = str(entity.get("value_template") or "{{ value }}")
        plain = _PLAIN_TEMPLATE.fullmatch(template.strip())
        base = str(config.get("~", ""))
        topic = str(entity.get("state_topic") or config.get("state_topic") or "").replace("~", base)
        path = f"{topic} {plain[1] or ''}".strip() if plain else template
        yield {"device": str(name or levels[-2]), "what": str(what), "path": path, "plain": plain is not None}


def _spelled_out(body: Mapping[str, Any]) -> dict[str, Any]:
    return {_ABBREVIATED.get(name, name): value for name, value in body.items()}


def skeleton(name: str, shape: str, topic: str, payload: bytes, fields: Mapping[str, Counter[str]]) -> Iterator[str]:
    """The beginning of a profile that can be read as it stands: its kinds are buttons until a person gives them a role."""
    yield f'name = "{name}"'
    yield f'title = {{ en = "{name}" }}'
    yield ""
    yield "[[rule]]"
    yield 'name = "messages"'
    pattern, names = _pattern(shape)
    yield f"topic = {_toml(pattern)}"
    if "device" not in names:
        address = next((one for one in ("device", "mac", "id", "imei", "devEui", "addr", "sn") if one in fields), None)
        yield f"device = {_toml(address or chr(39) + name + chr(39))}  # the address: a field of the message, or a name in the topic"
    presses = _presses(fields)
    press = presses[0] if presses else None
    yield ""
    yield "[[rule.event]]"
    if press is not None:
        values = _values(fields[press])[:MAX_VALUES]
        words = ", ".join(f'{json.dumps(_key(value), ensure_ascii=False)} = "button"' for value in values)
        if presses[1:]:
            yield _line(
                "# the press may also stand in: " + ", ".join(f"{json.dumps(one)} ({', '.join(list(fields[one])[:3])})" for one in presses[1:])
            )
        yield "# the role of each word: sos, help, cancel, button, none; see docs/guide/mappings.md"
        yield f'kind = {{ path = {_toml(_path(press))}, map = {{ {words} }}, else = "button" }}'
        yield f"kind_raw = {_toml(_path(press))}"
    else:
        yield 'kind = "telemetry"'
    charge = [one for one in BATTERY_WORDS if one in fields and not any(isinstance(value, float) for value in _values(fields[one]))]  # no volts
    percents = [one for one in charge if all(isinstance(value, str) or value <= 100 for value in _values(fields[one]))]
    for key, candidates in (
        ("battery_pct", percents),
        ("battery_mv", ("battery_mv", "voltage", "batteryVoltage", *(one for one in charge if one not in percents))),
        ("rssi_dbm", ("rssi", "RSSI")),
        ("firmware", ("firmware", "firmware_version", "fw", "fw_ver", "sw_version", "swVersion")),
        ("sequence", ("seq", "n", "counter", "cnt", "fcnt", "packet")),
    ):
        found = next((one for one in candidates if one in fields), None)
        if found is not None:
            yield f"{key} = {_toml(_path(found))}"
    time = next((one for one in ("ts", "time", "timestamp", "last_seen", "Time") if one in fields), None)
    if time is not None:
        yield f'time = {{ path = {_toml(time)}, format = "{_format(next(iter(fields[time])))}" }}'
    yield ""
    yield "[[test]]"
    yield f"topic = {_toml(topic)}"
    text = payload.decode("utf-8", "replace")
    yield f"payload = '{text}'" if "'" not in text and text.isprintable() else f'payload_hex = "{payload.hex()}"'
    yield f'expect = [{{ kind = "{"button" if press is not None else "telemetry"}" }}]'


def _presses(fields: Mapping[str, Counter[str]]) -> list[str]:
    """Fields in which a press may stand, the likeliest first: its values are words of a press, they changed, its name says so."""
    found: list[tuple[int, int, str]] = []
    for name, seen in fields.items():
        known = name.lower()
        texts = [value for value in _values(seen) if isinstance(value, str)]
        is_worded = any(PRESSES.intersection(re.split(r"[^a-z]+", text.lower())) for text in texts)
        if is_worded or known in PRESS_WORDS:
            likely = 2 * is_worded + (2 <= len(seen) <= MAX_VALUES)
            found.append((-likely, PRESS_WORDS.index(known) if known in PRESS_WORDS else len(PRESS_WORDS), name))
    return [name for _, _, name in sorted(found)]


def _values(seen: Counter[str]) -> list[Any]:
    """Those that were remembered whole."""
    return [json.loads(value) for value in seen if len(value) < KEPT_VALUE]


def _pattern(shape: str) -> tuple[str, list[str]]:
    """Each address-like level with a name of its own; the last is the device."""
    levels, names = shape.split("/"), []
    places = [number for number, level in enumerate(levels) if level == "{device}"]
    for place in places:
        names.append("device" if place == places[-1] else f"level{place + 1}")
        levels[place] = "{" + names[-1] + "}"
    return "/".join(levels), names


def _path(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name)


def _key(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _format(value: str) -> str:
    if value.startswith('"'):
        return "iso"
    return "epoch-ms" if len(value.partition(".")[0]) >= 12 else "epoch-s"
