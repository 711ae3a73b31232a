"""`gateway check`: reads configuration, register and lines, tells every fault, and sums the district up. Opens no line; prints ids only.

A program of its own beside `gateway.cli`, so it may know the drivers.
"""

import argparse
import ipaddress
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from drivers.registry import check_line, inspect_line
from gateway import secrets
from gateway.check_edges import edge_doubts
from gateway.check_territory import territory_doubts
from gateway.check_words import EVERY, NAMED, WORDS, first_of, say
from gateway.clock import utc_now
from gateway.config import Config, HotlineConfig, LineConfig, examine_config
from gateway.config.console import expires_at
from gateway.config.policies import FOLDER
from gateway.core.corrections import Correction, Finding, State
from gateway.core.duty import CHINA
from gateway.core.register import AreaKind, Doubt, Register, Risk
from gateway.core.services import Services
from gateway.core.shards import CATCH_ALL
from gateway.core.watched import Watch
from gateway.errors import ConfigError, StoreBroken
from gateway.journal_command import journal_of
from gateway.maps.state import boundary_of, lacks_approval, layers
from gateway.register_files import read_overlaid
from gateway.roads.in_use import OFF, look
from gateway.roads.times import RoadTimes
from gateway.roads.ways import way_of
from gateway.self_test.points import point_problems
from gateway.store import corrections

ALONE = frozenset((Risk.LIVING_ALONE, Risk.NO_KIN))  # for whom nobody else would notice
ZONED = ("sia_dc09", "contact_id", "surgard", "ness", "elk", "alarmdecoder")  # codecs of panels: a zone is a device ACCOUNT:ZONE

CERTIFICATE_WARN = timedelta(days=21)  # those that are renewed by themselves are so after 60 of 90 days
CONFIRMED_FOR = timedelta(days=366)  # a year, also a leap year
PRESSED = ("critical", "major", "minor", "warning", "service")  # sections of [policy] that may have a chain


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `check` to the program's commands; its `run` is set as default."""
    parser = subparsers.add_parser("check", help="validate configuration, registers and lines, and sum the district up")
    parser.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="FILE",
        help="with [bus], of another machine: find what two edges both own; once for each file",
    )
    parser.add_argument("--all", action="store_true", help="name every id of a warning, not only the first ten")
    parser.add_argument("--lang", choices=sorted(WORDS), help="language of the summary; default: gateway.language of the file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print faults, one a line, or the summary. Returns 0 when the configuration can be used, else 1."""
    config, problems = examine_config(args.config)
    language = args.lang or config.gateway.language
    words = WORDS[language]
    problems += _line_problems(config, problems)
    register = None
    findings: tuple[Finding, ...] = ()
    if os.path.isdir(config.district_folder):  # noqa: PTH112 - Path.is_dir raises on a name that is too long
        try:
            overlaid = read_overlaid(config.district_folder, config.channels, () if problems else _stored(config))
            register, findings = overlaid.register, overlaid.findings
            problems += point_problems(config, register) if not problems else ()  # what a faulty line is tested by cannot be told
        except ConfigError as error:
            problems += error.problems
    beside = []
    for path in args.beside:
        other, faults = examine_config(path)
        problems += faults
        beside.append(other)
    if problems or register is None:
        print(_counted("problem", len(problems), words), *problems, sep="\n")
        return 1
    print("\n".join(_summary(config, register, language)))
    territory = territory_doubts(register, config.district_folder, utc_now(), Services(config.service))
    warnings = [
        *register.warnings,
        *_corrections(config, findings),
        *territory,
        *_strange_lines(config, register),
        *_supervision(config, register),
        *_confirmed(config, register, utc_now()),
        *_robots(config, register),
        *_telephony(config),
        *_escalation(config),
        *_roads(config, register),
        *_map(config),
        *_certificate(config, utc_now()),
        *_broker_certificates(config, utc_now()),
        *_secrets(config),
        *edge_doubts(config, beside),
    ]
    named = EVERY if args.all else NAMED
    if warnings:
        print("", _counted("warning", len(warnings), words), *(say(doubt, language, named) for doubt in warnings), sep="\n")
    print("", words["good"], sep="\n")
    return 0


def _counted(word: str, count: int, words: dict[str, str]) -> str:
    return words[word if count == 1 else f"{word}s"].format(count)


def _line_problems(config: Config, known: Sequence[str]) -> Iterator[str]:
    """What the drivers say of their lines, without the keys whose fault the file itself has told already."""
    for number, line in enumerate(config.line, 1):
        start = f"{config.path}: line[{number}]."
        told = {_address_or(problem.removeprefix(start)) for problem in known if problem.startswith(start)}
        found = check_line(line) if line.name and line.codec else [""]
        for problem in filter(None, found):
            if _address_or(problem.removeprefix(f"line {line.name!r}: ")) not in told:
                yield f"{config.path}: {problem}"
        if not found:
            yield from inspect_line(line)


def _address_or(problem: str) -> str:
    """The key that a problem begins with; listen, connect and broker are one: a line has one of them."""
    key = problem.partition(":")[0]
    return "address" if key in ("listen", "connect", "broker") else key


def _summary(config: Config, register: Register, language: str) -> Iterator[str]:
    words = WORDS[language]
    colon, comma = words[":"], words[","]
    name = register.names.get(language, register.name)
    yield f"{words['district']}{colon}{name} ({register.district}){comma}{words['version']} {register.version}"
    yield f"{words['areas']}{colon}{len(register.areas)}"
    yield f"{words['responders']}{colon}{len(register.responders)}"
    for kind, count in Counter(responder.kind for responder in register.responders.values()).most_common():
        yield f"  {register.kind_names.get(kind, {}).get(language, words[kind])}{colon}{count}"
    if register.shifts:
        yield f"{words['rosters']}{colon}{len(register.shifts)}"
    if register.providers:
        states = Counter(words[provider.state] for provider in register.providers.values()).most_common()
        yield f"{words['agreed']}{colon}{comma.join(f'{state} {count}' for state, count in states)}"
    if register.agreements:
        yield f"{words['agreements']}{colon}{len(register.agreements)}"
    yield f"{words['borders']}{colon}{len(register.polygons) or words['none']}"
    yield f"{words['persons']}{colon}{len(register.persons)}"
    yield f"{words['by_area']}{colon}".rstrip()
    for area, count in sorted(_by_street(register).items()):
        yield f"  {register.areas[area].name if area else words['no_area']}{colon}{count}"
    yield f"{words['no_coordinates']}{colon}{_named([one.id for one in register.persons.values() if one.lat is None], language)}"
    numbers = Counter(phone for person in register.persons.values() for phone in person.phones)
    shared = {phone for phone, count in numbers.items() if count > 1}
    sharing = sum(1 for person in register.persons.values() if not shared.isdisjoint(person.phones))
    yield f"{words['shared_phones']}{colon}{_counted('shared_by', len(shared), words).format(sharing)}"
    homes = {person.home for person in register.persons.values() if person.home is not None}
    devices = list(register.devices)
    yield f"{words['devices']}{colon}{len(devices)}"
    vias = {one.via for one in devices}
    unowned = [one.id for one in devices if one.person is None and one.home not in homes and one.id not in vias]
    yield f"{words['unowned']}{colon}{_named(unowned, language)}"
    watched = Counter(one.watch for one in register.persons.values() if one.watch)
    if watched:
        yield f"{words['watched']}{colon}{comma.join(f'{name} {count}' for name, count in sorted(watched.items()))}"
    classes = Counter(classes_of(config, register))
    if classes:
        yield f"{words['supervised']}{colon}{comma.join(f'{name} {count}' for name, count in sorted(classes.items()))}"
    yield f"{words['lines']}{colon}{len(config.line) or words['none']}"
    for line in config.line:
        yield f"  {line.name}{colon}{line.codec}{comma}{line.listen or line.connect or line.broker}" + (
            f"{comma}{words['mandatory']}" if line.mandatory else ""
        )
        also = line.options.get("also")
        if isinstance(also, list) and also:
            yield f"    {words['also']}{colon}{words['list'].join(map(str, also))}"
    yield f"{words['telephone']}{colon}" + (words["dials"].format(config.telephone.line) if config.telephone.line else words["off"])
    yield f"{words['hotlines']}{colon}".rstrip()
    sections = {hotline.number: hotline for hotline in config.hotline}
    for number in config.calls.hotlines:
        hotline = sections.get(number, HotlineConfig(number=number))
        parts = [hotline.name, *hotline.profiles, f"{words['hand_over']} {_host(hotline.hand_over)}" if hotline.hand_over else ""]
        yield f"  {number}{colon}{comma.join(part for part in parts if part)}"
    chains = [f"{severity} {name} (policies/{name}.toml)" for severity in PRESSED if (name := getattr(config.policy, severity).steps)]
    yield f"{words['escalation']}{colon}{comma.join(chains) or words['desk_alone']}"
    yield f"{words['channels']}{colon}".rstrip()
    yield f"  mqtt{colon}{config.dispatch.mqtt.broker if config.dispatch.mqtt else words['off']}"
    yield f"  webhook{colon}{config.dispatch.webhook.secret_file if config.dispatch.webhook else words['off']}"
    yield f"  phone{colon}{config.telephone.line if config.dispatch.phone else words['off']}"
    yield f"  sip{colon}{config.dispatch.sip.line if config.dispatch.sip else words['off']}"
    yield f"  sms{colon}{_host(config.dispatch.sms.url) if config.dispatch.sms else words['off']}"
    yield f"  modem{colon}{config.dispatch.modem.line if config.dispatch.modem else words['off']}"
    yield f"  email{colon}{config.dispatch.email.server if config.dispatch.email else words['off']}"
    yield f"  robot{colon}{comma.join(robot.name for robot in config.dispatch.robot) or words['off']}"
    sets = look(config, None).sets
    yield f"{words['travel_times']}{colon}{RoadTimes(sets, config.routing).name if sets is not None else words['straight_line']}"
    page = config.responder_page
    yield f"{words['responder_page']}{colon}{f'{page.listen}{comma}{page.public_url}' if page.is_on else words['off']}"


def _host(address: str) -> str:
    """Where an address leads, without a name and password in it."""
    return urlsplit(address).netloc.rpartition("@")[2]


def classes_of(config: Config, register: Register) -> Iterator[str]:
    """The class of each device that has one, of its own or from its line."""
    lines = {line.name: line.device_class for line in config.line}
    names = (device.device_class or lines.get(device.line or "", "") for device in register.devices)
    return (name for name in names if name)


def _by_street(register: Register) -> Counter[str]:
    """Persons per street or town; "" for those without an area. Above the street the person's own area counts."""
    counts: Counter[str] = Counter()
    streets: dict[str, str] = {}
    for area in register.areas:
        found: str | None = area
        while found is not None and register.areas[found].kind not in (AreaKind.STREET, AreaKind.TOWN):
            found = register.areas[found].parent
        streets[area] = found or area
    for person in register.persons.values():
        counts[streets[person.area] if person.area else ""] += 1
    return counts


def _strange_lines(config: Config, register: Register) -> Iterator[Doubt]:
    """Devices registered on a line that nobody has configured: their cries would come from elsewhere, and be unknown."""
    names = {line.name for line in config.line}
    strange: dict[str, list[str]] = {}
    for device in register.devices:
        if device.line is not None and device.line not in names:
            strange.setdefault(device.line, []).append(device.id)
    for line, ids in strange.items():
        yield Doubt("strange_line", str(config.district_folder / "devices.csv"), tuple(ids), line)


def _supervision(config: Config, register: Register) -> Iterator[Doubt]:
    """Names of sections that the configuration does not have: those devices and persons are looked after by nobody. And zones alone."""
    classes = {one.name for one in config.device_class}
    for name, ids in _strange(((one.device_class, one.id) for one in register.devices), classes):
        yield Doubt("unknown_class", str(config.district_folder / "devices.csv"), ids, name)
    watches = {one.name for one in config.watch}
    for name, ids in _strange(((one.watch, one.id) for one in register.persons.values()), watches):
        yield Doubt("unknown_watch", str(config.district_folder / "persons.csv"), ids, name)
    yield from _unwatched(config, register)
    zoned = {line.name for line in config.line if line.codec in ZONED}
    zones = (one for one in register.devices if one.line in zoned and ":" in one.id)
    alone = tuple(one.id for one in zones if one.line and register.device(one.line, one.id.partition(":")[0]) is None)
    if alone:
        yield Doubt("zone_alone", str(config.district_folder / "devices.csv"), alone)


def _unwatched(config: Config, register: Register) -> Iterator[Doubt]:
    """Where people are watched over: who lives alone and is not, and who is but can give no sign."""
    if not config.watch:
        return
    persons = str(config.district_folder / "persons.csv")
    alone = tuple(one.id for one in register.persons.values() if not one.watch and not ALONE.isdisjoint(one.risks))
    if alone:
        yield Doubt("alone_unwatched", persons, alone)
    watched = Watch(register, config.watch).by_person.values()
    mute = tuple(one.person.id for one in watched if not one.devices and not one.person.phones)
    if mute:
        yield Doubt("watched_mute", persons, mute)


def _strange(named: Iterable[tuple[str, str]], known: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Of (name, id): the names that are not known, each with its ids."""
    found: dict[str, list[str]] = {}
    for name, ident in named:
        if name and name not in known:
            found.setdefault(name, []).append(ident)
    return [(name, tuple(ids)) for name, ids in found.items()]


def _escalation(config: Config) -> Iterator[Doubt]:
    """Quiet hours in a chain that presses alarms: they count for faults and calls alone, and whoever wrote them may think otherwise."""
    for severity in ("critical", "major"):
        name = getattr(config.policy, severity).steps
        chain = config.chains.get(name)
        quiet = tuple(f"step[{number}]" for number, step in enumerate(chain.step, 1) if step.quiet) if chain is not None else ()
        if quiet:
            yield Doubt("quiet_of_alarms", str(config.folder / FOLDER / f"{name}.toml"), quiet)


def _roads(config: Config, register: Register) -> Iterator[Doubt]:
    """The straight line where roads are asked for."""
    found = look(config, register)
    if found.sets is not None:
        unknown = tuple(
            one.id for one in register.responders.values() if (way := way_of(one, config.routing)) is not None and way not in found.sets.rows
        )
        if unknown:
            yield Doubt("roads_unknown", config.path, unknown)
    elif found.state != OFF:
        yield Doubt("roads_not_in_use", config.path, (found.state,))


def _certificate(config: Config, now: datetime) -> Iterator[Doubt]:
    """That of the console, when browsers warn of it, or soon will."""
    file = config.console_certificate
    ends = expires_at(file) if file is not None else None
    if file is not None and ends is not None and ends < now + CERTIFICATE_WARN:
        about = config.path, (file.name,), ends.date().isoformat()
        yield Doubt("certificate_expired", *about) if ends < now else Doubt("certificate_ends", *about)


def _broker_certificates(config: Config, now: datetime) -> Iterator[Doubt]:
    """Those by which brokers know us: once they are over nothing is heard, or ordered, by that way."""
    channel = config.dispatch.mqtt
    files = [(line.name, str(line.options.get("certificate_file") or "")) for line in config.line if line.broker is not None]
    files += [("dispatch.mqtt", channel.certificate_file)] if channel is not None else []
    for name, file in files:
        ends = expires_at(config.folder / file) if file else None
        if ends is not None and ends < now + CERTIFICATE_WARN:
            about = config.path, (name,), ends.date().isoformat()
            yield Doubt("broker_certificate_over", *about) if ends < now else Doubt("broker_certificate_ends", *about)


def _secrets(config: Config) -> Iterator[Doubt]:
    """Secrets that more can read than must."""
    if found := tuple(secrets.written_out(config)):
        yield Doubt("secret_written_out", config.path, found)
    if found := tuple(secrets.open_to_others(config, config.folder)):
        yield Doubt("secret_open", config.path, found)


def _map(config: Config) -> Iterator[Doubt]:
    """What the operators' map will do without."""
    faulty = tuple(one.layer.name for one in layers(config) if one.fault)
    if faulty:
        yield Doubt("map_layer_not_used", config.path, faulty)
    if boundary_of(config)[1]:
        yield Doubt("map_boundary_not_used", config.path, (config.map.boundary,))
    if lacks_approval(config.map):
        yield Doubt("map_not_approved", config.path, tuple(layer.name for layer in config.map.layer))


def _confirmed(config: Config, register: Register, now: datetime) -> Iterator[Doubt]:
    """Who was not asked for a year whether all of it still holds (domain 4.3), where that is written down at all; assessments that ended."""
    since = (now - CONFIRMED_FOR).astimezone(CHINA).date().isoformat()
    if any(one.confirmed_on for one in register.persons.values()):
        old = tuple(one.id for one in register.persons.values() if one.confirmed_on < since)
        if old:
            yield Doubt("not_confirmed", str(config.district_folder / "persons.csv"), old)
    today = now.astimezone(CHINA).date()
    over = tuple(one.id for one in register.persons.values() if one.assessed and one.assessed.until is not None and one.assessed.until < today)
    if over:
        yield Doubt("assessment_ended", str(config.district_folder / "persons.csv"), over)


def _stored(config: Config) -> list[Correction]:
    """What people corrected, where there is a journal already; a database that does not answer is told by the start."""
    try:
        with journal_of(config, CATCH_ALL) as store:
            return corrections.load(store.engine)
    except StoreBroken:
        return []


def _corrections(config: Config, findings: Iterable[Finding]) -> Iterator[Doubt]:
    """Corrections that the files contradict, and those that no longer apply (docs/decisions/0025)."""
    found: dict[tuple[State, str], dict[str, None]] = {}
    for one in findings:
        found.setdefault((one.state, str(config.district_folder / one.kind.file)), {})[one.key] = None
    for (state, file), ids in found.items():
        if state is State.CONFLICT:
            yield Doubt("correction_conflict", file, tuple(ids))
        elif state is State.LOST:
            yield Doubt("correction_lost", file, tuple(ids))
        elif state is State.INVALID:
            yield Doubt("correction_invalid", file, tuple(ids))


def _robots(config: Config, register: Register) -> Iterator[Doubt]:
    """Responders whose group no robot speaks in: each of their orders would fail, and go on to the next."""
    names = {one.name for one in config.dispatch.robot}
    mine = ((one.address, one.id) for one in register.responders.values() if one.channel == "robot")
    for name, ids in _strange(mine, names):
        yield Doubt("unknown_robot", str(config.district_folder / "responders.csv"), ids, name)


def _telephony(config: Config) -> Iterator[Doubt]:
    """What would leave calls unheard, or send people's data in clear."""
    deaf = tuple(line.name for line in config.line if _hears_calls(line) and not _hotlines_of(config, line))
    if deaf:
        yield Doubt("no_hotlines", config.path, deaf)
    open_ = tuple(one.number for one in config.hotline if one.hand_over.startswith("http:") and not _is_here(urlsplit(one.hand_over).hostname or ""))
    if open_:
        yield Doubt("clear_hand_over", config.path, open_)


def _hears_calls(line: LineConfig) -> bool:
    return line.codec in ("ami", "esl", "hep") or (line.codec == "sip" and bool(line.options.get("subscribe")))


def _hotlines_of(config: Config, line: LineConfig) -> object:
    """Its own, those of the house, or for a line that watches telephones what a ring at one means."""
    own = line.options.get("hotlines")
    return (config.calls.hotlines if own is None else own) or line.options.get("watch_hotline") or line.options.get("watch_hotlines")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _named(ids: Sequence[str], language: str) -> str:
    return f"{len(ids)} ({first_of(tuple(ids), language)})" if ids else WORDS[language]["none"]
