"""`gateway check`: reads configuration, register and lines, tells every fault, and sums the district up. Opens nothing; prints ids only.

A program of its own beside `gateway.cli`, so it may know the drivers.
"""

import argparse
import ipaddress
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from drivers.registry import check_line
from gateway.check_words import WORDS, first_of, say
from gateway.config import Config, HotlineConfig, LineConfig, examine_config
from gateway.core.register import AreaKind, Doubt, Register
from gateway.errors import ConfigError
from gateway.register_files import read_register


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `check` to the program's commands; its `run` is set as default."""
    parser = subparsers.add_parser("check", help="validate configuration, registers and lines, and sum the district up")
    parser.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")
    parser.add_argument("--lang", choices=sorted(WORDS), help="language of the summary; default: gateway.language of the file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print faults, one a line, or the summary. Returns 0 when the configuration can be used, else 1."""
    config, problems = examine_config(args.config)
    language = args.lang or config.gateway.language
    words = WORDS[language]
    problems += _line_problems(config, problems)
    register = None
    if os.path.isdir(config.district_folder):  # noqa: PTH112 - Path.is_dir raises on a name that is too long
        try:
            register = read_register(config.district_folder, config.channels)
        except ConfigError as error:
            problems += error.problems
    if problems or register is None:
        print(_counted("problem", len(problems), words), *problems, sep="\n")
        return 1
    print("\n".join(_summary(config, register, language)))
    warnings = [*register.warnings, *_strange_lines(config, register), *_telephony(config)]
    if warnings:
        print("", _counted("warning", len(warnings), words), *(say(doubt, language) for doubt in warnings), sep="\n")
    print("", words["good"], sep="\n")
    return 0


def _counted(word: str, count: int, words: dict[str, str]) -> str:
    return words[word if count == 1 else f"{word}s"].format(count)


def _line_problems(config: Config, known: Sequence[str]) -> Iterator[str]:
    """What the drivers say of their lines, without the keys whose fault the file itself has told already."""
    for number, line in enumerate(config.line, 1):
        start = f"{config.path}: line[{number}]."
        told = {_address_or(problem.removeprefix(start)) for problem in known if problem.startswith(start)}
        for problem in check_line(line) if line.name and line.codec else ():
            if _address_or(problem.removeprefix(f"line {line.name!r}: ")) not in told:
                yield f"{config.path}: {problem}"


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
        yield f"  {words[kind]}{colon}{count}"
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
    yield f"{words['unowned']}{colon}{_named([one.id for one in devices if one.person is None and one.home not in homes], language)}"
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
        parts = [hotline.name, *hotline.profiles, f"{words['hand_over']} {urlsplit(hotline.hand_over).netloc}" if hotline.hand_over else ""]
        yield f"  {number}{colon}{comma.join(part for part in parts if part)}"
    yield f"{words['channels']}{colon}".rstrip()
    yield f"  mqtt{colon}{config.dispatch.mqtt.broker if config.dispatch.mqtt else words['off']}"
    yield f"  webhook{colon}{config.dispatch.webhook.secret_file if config.dispatch.webhook else words['off']}"
    yield f"  phone{colon}{config.telephone.line if config.dispatch.phone else words['off']}"
    yield f"  sip{colon}{config.dispatch.sip.line if config.dispatch.sip else words['off']}"


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
