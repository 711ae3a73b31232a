"""A mapping profile: one ecosystem's topics and payloads, compiled from TOML text. The reference is docs/guide/mappings.md."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from drivers.mqtt.byte_codecs import MAX_SLICES, codec_named, read_slices
from drivers.mqtt.profile_expression import RESERVED, Expression, compile_expression
from drivers.mqtt.profile_lines import Locator, Path
from drivers.mqtt.profile_rules import NOTHING, PHASES, SPEAKABLE, ByteDecoding, Edge, EventPlan, Rule
from drivers.mqtt.profile_tables import DecodeTable, EventTable, LivenessTable, ProfileTable, RuleTable, TellTable, TestTable
from drivers.mqtt.topic_pattern import TopicPattern
from drivers.mqtt.value import Setting, Value, ValueTable, WordTable, compile_value, read_zone, truth
from gateway.core.edges import OPPOSITES
from gateway.event import Kind, Phase
from gateway.wrong_value import wrong_values

MAX_PROFILE = 256 * 1024  # bytes of one file; ours have under 20 KiB
# Of one profile (mapping.md says 64 expressions). Only what picks or judges counts; the plain name of a field or of a level of the topic costs
# a dictionary look-up and is free, else a watch with 30 fields could not be written down.
MAX_EXPRESSIONS = 64

_NUMBERED = re.compile(r"\[(\d+)\]")
_PLAIN_PATH = re.compile(r"[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)*")
_PLACES: dict[str, Setting] = {
    "kind_raw": Setting("text"),
    "time": Setting("time"),
    "battery_pct": Setting("number", (0, 100)),
    "battery_mv": Setting("whole", (1, 100_000)),
    "rssi_dbm": Setting("number", (-250, 50)),
    "firmware": Setting("text"),
    "lat": Setting("number", (-90, 90)),
    "lon": Setting("number", (-180, 180)),
    "accuracy_m": Setting("number", (0, 1_000_000)),
    "fix_valid": Setting("truth"),
    "sequence": Setting("whole", (0, 2**63 - 1)),
}
"""What each place wants, and its usual range."""


class Problem(NamedTuple):
    """One fault of a profile. line: of the file, from 1."""

    line: int
    key: str
    what: str

    def told(self, file: str) -> str:
        return f"{file}:{self.line}: {self.key}: {self.what}" if self.key else f"{file}:{self.line}: {self.what}"


class Tell(NamedTuple):
    """One `[[tell]]`, with the parameters put in already."""

    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that may run. ignore: topics that say nothing; rules: those of [[liveness]] come last."""

    name: str
    title: Mapping[str, str]
    source: str
    parameters: Mapping[str, str]
    ignore: tuple[TopicPattern, ...]
    rules: tuple[Rule, ...]
    tells: Mapping[str, Tell]
    tests: tuple[TestTable, ...]
    file: str
    lines: Locator

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return tuple(dict.fromkeys(rule.pattern.filter for rule in self.rules))


def read_profile(text: str, file: str, parameters: Mapping[str, str] | None = None, zone: str | None = None) -> tuple[Profile | None, list[Problem]]:
    """(the profile, its faults): without faults it may run. parameters, zone: what the line says in place of the profile's own."""
    if len(text.encode()) > MAX_PROFILE:
        return None, [Problem(1, "", f"is larger than {MAX_PROFILE} bytes; cut it into several profiles")]
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        at = re.search(r"line (\d+)", str(error))
        return None, [Problem(int(at[1]) if at else 1, "", f"is no valid TOML ({str(error)[:160]}); correct that line")]
    lines = Locator(text)
    faults = wrong_values(ProfileTable, document, "")
    if faults:
        return None, [_problem_of(lines, key, f"{what}; {remedy}") for key, what, remedy in faults]
    return _Compiler(msgspec.convert(document, ProfileTable), file, lines, parameters or {}, zone).compile()


def _problem_of(lines: Locator, key: str, what: str) -> Problem:
    """A fault told with a key such as `.rule[2].event[1].kind`."""
    key = key.removeprefix(".")
    path: list[str | int] = []
    for part in key.split("."):
        path.append(_NUMBERED.sub("", part))
        path += [int(one) - 1 for one in _NUMBERED.findall(part)]
    return Problem(lines.line(tuple(path)), key, what)


def _key(path: Path) -> str:
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class _Compiler:
    """Turns the tables into rules, and collects what is wrong."""

    def __init__(self, table: ProfileTable, file: str, lines: Locator, parameters: Mapping[str, str], zone: str | None) -> None:
        self._table, self._file, self._lines = table, file, lines
        self._problems: list[Problem] = []
        self._expressions = 0
        self._unnamed: list[str] = []  # states that nobody gave a name
        self._parameters = {**table.parameters, **parameters}
        for name in parameters:
            if name not in table.parameters:
                self._add(("parameters",), f"{name} is not a parameter of this profile; it has: {', '.join(table.parameters) or 'none'}")
        self._zone = self._guard(("zone",), lambda: read_zone(zone or table.zone)) or read_zone("UTC")

    def compile(self) -> tuple[Profile | None, list[Problem]]:
        table = self._table
        ignore = self._patterns(table.ignore, ("ignore",))
        rules = [rule for number, one in enumerate(table.rule) if (rule := self._rule(one, ("rule", number))) is not None]
        rules += [rule for number, one in enumerate(table.liveness) if (rule := self._liveness(one, ("liveness", number))) is not None]
        if not table.rule and not table.liveness:
            self._add((), "has no [[rule]]; write one")
        tells = {one.word.value: self._tell(one, ("tell", number)) for number, one in enumerate(table.tell)}
        rules = _with_states_apart(rules, set(self._unnamed))
        self._names_once()
        self._reach(ignore)
        if self._expressions > MAX_EXPRESSIONS:
            self._add(("rule",), f"{self._expressions} expressions; a profile may have {MAX_EXPRESSIONS}: cut it into two")
        if self._problems:
            return None, sorted(self._problems)
        profile = Profile(
            name=table.name,
            title=table.title,
            source=table.source,
            parameters=self._parameters,
            ignore=ignore,
            rules=tuple(rules),
            tells=tells,
            tests=table.test,
            file=self._file,
            lines=self._lines,
        )
        return profile, []

    # --- faults

    def _add(self, path: Path, what: str) -> None:
        self._problems.append(Problem(self._lines.line(path), _key(path), what))

    def _guard(self, path: Path, make: Any) -> Any:
        """What `make` gives; a ValueError becomes a problem of this key, or of the key inside it that its text begins with."""
        try:
            return make()
        except ValueError as error:
            text = str(error)
            inner, colon, rest = text.partition(": ")
            known = {field.encode_name for kind in (ValueTable, DecodeTable) for field in msgspec.structs.fields(kind)}
            if colon and inner in known and self._lines.line((*path, inner)) >= self._lines.line(path) and inner != path[-1]:
                self._add((*path, inner), rest)
            else:
                self._add(path, text)
            return None

    def _names_once(self) -> None:
        seen: set[str] = set()
        for number, rule in enumerate(self._table.rule):
            if rule.name in seen:
                self._add(("rule", number, "name"), f"{rule.name!r} is the name of an earlier rule; give each its own")
            seen.add(rule.name)
        words: set[str] = set()
        for number, tell in enumerate(self._table.tell):
            if tell.word.value in words:
                self._add(("tell", number, "word"), f"{tell.word} is told by an earlier [[tell]]; remove one")
            words.add(tell.word.value)

    def _reach(self, ignore: tuple[TopicPattern, ...]) -> None:
        """Rules behind one that takes everything of their topic, or whose topic is ignored, would never run."""
        ignored = {pattern.shape for pattern in ignore}
        taken: dict[str, str] = {}
        for number, rule in enumerate(self._table.rule):
            try:
                shape = TopicPattern(rule.topic, self._parameters).shape
            except ValueError:
                continue
            if shape in ignored:
                self._add(("rule", number, "topic"), "is never reached: the same topic stands in ignore; remove one of the two")
            elif shape in taken:
                self._add(("rule", number), f"is never reached: rule {taken[shape]!r} before it takes every message (last, without when)")
            if rule.last and rule.when is None and not rule.not_topic:
                taken.setdefault(shape, rule.name)

    # --- parts

    def _expression(self, text: str, path: Path, *, condition: bool = False) -> Expression | None:
        if not _PLAIN_PATH.fullmatch(text):
            self._expressions += 1
        made: Expression | None = self._guard(path, lambda: compile_expression(text, condition=condition))
        return made

    def _pattern(self, text: str, path: Path) -> TopicPattern | None:
        made: TopicPattern | None = self._guard(path, lambda: TopicPattern(text, self._parameters))
        return made

    def _patterns(self, texts: tuple[str, ...], path: Path) -> tuple[TopicPattern, ...]:
        made = (self._pattern(text, (*path, number)) for number, text in enumerate(texts))
        return tuple(one for one in made if one is not None)

    def _value(self, given: Any, path: Path, setting: Setting) -> Value | None:
        """A word of an event: JMESPath, or a table. None when it is not given, or faulty."""
        if given is None:
            return None
        if isinstance(given, str):
            table = ValueTable(path=given)
        elif isinstance(given, dict):
            faults = wrong_values(ValueTable, given, "")
            if faults:
                for key, what, remedy in faults:
                    place = self._lines.line((*path, *_parts(key)))
                    self._problems.append(Problem(place, _key(path) + key, f"{what}; {remedy}"))
                return None
            table = msgspec.convert(given, ValueTable)
        else:
            self._add(path, f'{given!r} is no expression; write it in quotes, a fixed value as "`{given}`"')
            return None
        if not _PLAIN_PATH.fullmatch(table.path):
            self._expressions += 1
        made: Value | None = self._guard(path, lambda: compile_value(table, setting))
        if made is not None:
            self._known_names(made.expression, (*path, "path") if isinstance(given, dict) else path)
        return made

    def _known_names(self, expression: Expression, path: Path) -> None:
        """topic.NAME must be a name of the rule's topic, parameters.NAME one of the profile."""
        for head, name in _chains(expression.tree):
            if head == "topic" and self._names is not None and name not in self._names:
                self._add(path, f"topic.{name}: the topic has no {{{name}}}; it has: {', '.join(self._names) or 'none'}")
            if head == "parameters" and name not in self._parameters:
                self._add(path, f"parameters.{name}: there is no such parameter; write it under [parameters]")

    _names: list[str] | None = None

    def _words_of(self, given: str | dict[str, Any], path: Path, known: Mapping[str, Any], what: str) -> Any:
        """A kind or phase: a fixed one, or a Value that gives its word. None when faulty."""
        if isinstance(given, str):
            if given not in known:
                self._add(path, f"{given!r} is no {what}; one of {', '.join(known)}")
            return known.get(given)
        told = given.get("map") or {}
        places: list[tuple[str, Any]] = [(f"map.{name}", word) for name, word in told.items()] if isinstance(told, dict) else []
        bits = given.get("bits") or {}
        places += [(f"bits.{name}", word) for name, word in bits.items()] if isinstance(bits, dict) else []
        places += [(name, given[name]) for name in ("else", "default") if name in given]
        faulty = False
        for name, word in places:
            if word not in known and word != NOTHING:
                self._add((*path, *name.split(".", 1)), f"{word!r} is no {what}; one of {', '.join(known)}, {NOTHING}")
                faulty = True
        return None if faulty else self._value(given, path, Setting("any"))

    def _devices(self, given: str | tuple[str, ...], path: Path) -> tuple[Expression, ...]:
        made: list[Expression] = []
        for number, text in enumerate((given,) if isinstance(given, str) else given):
            place = path if isinstance(given, str) else (*path, number)
            expression = self._expression(text, place)
            if expression is not None:
                self._known_names(expression, place)
                made.append(expression)
        return tuple(made)

    def _rule(self, table: RuleTable, path: Path) -> Rule | None:
        pattern = self._pattern(table.topic, (*path, "topic"))
        self._names = pattern.names if pattern is not None else None
        not_topic = self._patterns(table.not_topic, (*path, "not_topic"))
        when = self._expression(table.when, (*path, "when"), condition=True) if table.when is not None else None
        if when is not None:
            self._known_names(when, (*path, "when"))
        each = self._expression(table.each, (*path, "each")) if table.each is not None else None
        decoding = self._decoding(table.decode, (*path, "decode")) if table.decode is not None else None
        if table.decode is None:
            for name, expression in (("when", when), ("each", each)):
                if expression is not None and expression.mentions("decoded") and "decoded" in _heads(expression.tree):
                    self._add((*path, name), "decoded is never there without decode; write decode")
        if not table.event:
            self._add(path, "has no [[rule.event]]; write one, or put its topic into ignore")
        devices = self._devices(table.device, (*path, "device"))
        events = [self._event(one, number, (*path, "event", number)) for number, one in enumerate(table.event)]
        self._names = None
        if pattern is None:
            return None
        return Rule(
            name=table.name,
            pattern=pattern,
            not_topic=not_topic,
            payload=table.payload,
            when=when,
            each=each,
            decoding=decoding,
            devices=devices,
            retained=table.retained,
            is_last=table.last,
            is_otherwise=table.otherwise,
            events=tuple(one for one in events if one is not None),
            decodes_first=when is not None and "decoded" in _heads(when.tree),
        )

    def _decoding(self, table: DecodeTable, path: Path) -> ByteDecoding | None:
        where = self._expression(table.path, (*path, "path"))
        port = self._expression(table.port, (*path, "port")) if table.port is not None else None
        if (table.codec is None) == (table.slices is None):
            self._add(path, "wants either codec or slices; write one of the two")
            return None
        if table.slices is not None:
            if len(table.slices) > MAX_SLICES:
                self._add((*path, "slices"), f"has {len(table.slices)} slices; at most {MAX_SLICES}")
            read = read_slices(table.slices)
        else:
            read = self._guard((*path, "codec"), lambda: codec_named(table.codec or ""))
        return ByteDecoding(where, table.encoding, read, port) if where is not None and read is not None else None

    def _event(self, table: EventTable, number: int, path: Path) -> EventPlan | None:
        kind: Kind | Value | None = self._words_of(table.kind, (*path, "kind"), SPEAKABLE, "kind")
        phase: Phase | Value | None = self._words_of(table.phase, (*path, "phase"), PHASES, "phase")
        when = self._expression(table.when, (*path, "when"), condition=True) if table.when is not None else None
        edge = self._edge(table, path) if table.edge is not None else None
        values = []
        for name, setting in _PLACES.items():
            setting = replace(setting, zone=self._zone) if name == "time" else setting
            value = self._value(getattr(table, name), (*path, name), setting)
            if value is not None:
                values.append((name, value))
        vital = Setting("number", zero_is_absent=True)
        position = None
        if table.position is not None:
            is_short = isinstance(table.position, str)
            text = table.position if isinstance(table.position, str) else table.position.path
            expression = self._expression(text, (*path, "position") if is_short else (*path, "position", "path"))
            order = "lat-lon" if isinstance(table.position, str) else table.position.order
            position = (expression, order == "lon-lat") if expression is not None else None
            if table.lat is not None or table.lon is not None:
                self._add((*path, "position"), "stands beside lat and lon; keep one of the two")
        dedup = table.dedup
        keys: list[Expression] = []
        for index, text in enumerate(dedup.key if dedup is not None else ()):
            if text in ("device", "kind"):
                continue  # always part of it
            expression = self._expression(text, (*path, "dedup", "key", index))
            if expression is not None:
                keys.append(expression)
        if dedup is not None and not keys:
            keys = [compile_expression("`1`")]
        constants: dict[str, Any] = {}
        if (table.datum or self._table.datum) != "wgs84":
            constants["datum"] = table.datum or self._table.datum
        if table.position_source != "gnss":
            constants["position_source"] = table.position_source
        late = self._value(table.late, (*path, "late"), Setting("any"))
        vitals = self._named_values(table.vitals, (*path, "vitals"), vital)
        detail = self._named_values(table.detail, (*path, "detail"), Setting("any"))
        if kind is None or phase is None:
            return None
        return EventPlan(
            number=number,
            kind=kind,
            phase=phase,
            when=when,
            edge=edge,
            values=tuple(values),
            vitals=vitals,
            detail=detail,
            position=position,
            late=late,
            constants=constants,
            dedup=tuple(keys),
            within_s=dedup.within_s if dedup is not None else 0.0,
        )

    def _named_values(self, given: Mapping[str, Any], path: Path, setting: Setting) -> tuple[tuple[str, Value], ...]:
        made = [(name, self._value(one, (*path, name), setting)) for name, one in given.items()]
        return tuple((name, value) for name, value in made if value is not None)

    def _edge(self, table: EventTable, path: Path) -> Edge | None:
        given = table.edge
        if isinstance(given, str):
            expression = self._expression(given, (*path, "edge"))
            self._unnamed.append(given)
            return Edge(expression, truth(None), given, None) if expression is not None else None
        assert given is not None
        if table.phase != "raise":
            self._add((*path, "phase"), "stands beside edge, which says raise and clear itself; remove it")
        expression = self._expression(given.path, (*path, "edge", "path"))
        if not given.name:
            self._unnamed.append(given.path)
        return Edge(expression, truth(given.words), given.name or given.path, given.again_s) if expression is not None else None

    def _liveness(self, table: LivenessTable, path: Path) -> Rule | None:
        """Two events on one edge, as the core wants it: OFFLINE raises, and ONLINE, which is its opposite, raises too."""
        pattern = self._pattern(table.topic, (*path, "topic"))
        self._names = pattern.names if pattern is not None else None
        expression = self._expression(table.path, (*path, "path"))
        devices = self._devices(table.device, (*path, "device"))
        not_topic = self._patterns(table.not_topic, (*path, "not_topic"))
        self._names = None
        if pattern is None or expression is None:
            return None
        step = truth(WordTable(yes=table.offline, no=table.online))
        events = []
        for number, (kind, wanted) in enumerate(((Kind.OFFLINE, True), (Kind.ONLINE, False))):

            def judge(value: object, wanted: bool = wanted) -> bool | None:
                return True if step(value) is wanted else None

            plan = EventPlan(
                number=number,
                kind=kind,
                phase=Phase.RAISE,
                when=None,
                edge=Edge(expression, judge, "online", None),
                values=(),
                vitals=(),
                detail=(),
                position=None,
                late=None,
                constants={},
                dedup=(),
                within_s=0.0,
            )
            events.append(plan)
        return Rule(
            name=f"liveness {path[1]}",
            pattern=pattern,
            not_topic=not_topic,
            payload="any",
            when=None,
            each=None,
            decoding=None,
            devices=devices,
            retained="liveness",
            is_last=False,
            is_otherwise=False,
            events=tuple(events),
        )

    def _tell(self, table: TellTable, path: Path) -> Tell:
        topic, payload = table.topic, table.payload
        for name, value in self._parameters.items():
            topic = topic.replace("{" + name + "}", value)
            payload = payload.replace("{" + name + "}", value)
        if "#" in topic or "+" in topic:
            self._add((*path, "topic"), "names many topics; a message goes to one")
        return Tell(topic, payload)


def _with_states_apart(rules: list[Rule], unnamed: set[str]) -> list[Rule]:
    """One field that tells of several kinds ("state": smoke, co, none) and whose states nobody named: fire must not be taken for gas known."""
    kinds: dict[str, set[object]] = {name: set() for name in unnamed}
    for event in (event for rule in rules for event in rule.events):
        if event.edge is not None and event.edge.name in kinds:
            kinds[event.edge.name] |= {OPPOSITES.get(event.kind, event.kind)} if isinstance(event.kind, Kind) else {event.number, "any"}
    several = {name for name, found in kinds.items() if len(found) > 1}

    def apart(event: EventPlan) -> EventPlan:
        if event.edge is None or event.edge.name not in several:
            return event
        return replace(event, edge=replace(event.edge, by_kind=True))

    return [replace(rule, events=tuple(apart(event) for event in rule.events)) for rule in rules] if several else rules


def _parts(key: str) -> Iterator[str | int]:
    for part in key.removeprefix(".").split("."):
        yield _NUMBERED.sub("", part)
        yield from (int(one) - 1 for one in _NUMBERED.findall(part))


def _chains(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(topic, device) for each topic.device in a tree."""
    children = node.get("children", [])
    if node["type"] == "subexpression" and all(child["type"] == "field" for child in children):
        yield children[0]["value"], children[1]["value"]
    for child in children:
        if isinstance(child, dict):
            yield from _chains(child)


def _heads(node: Mapping[str, Any]) -> set[str]:
    """The reserved names that a tree mentions anywhere; a field of the payload may be called the same, which only costs an early look."""
    found = {node["value"]} if node["type"] == "field" and node["value"] in RESERVED else set()
    for child in node.get("children", []):
        if isinstance(child, dict):
            found |= _heads(child)
    return found
