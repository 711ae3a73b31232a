"""`gateway check`: reads configuration, register and lines, tells every fault, and sums the district up. Opens nothing; prints ids only.

A program of its own beside `gateway.cli`, so it may know the drivers.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from drivers.registry import check_line
from gateway.config import Config, examine_config
from gateway.core.register import AreaKind, Register
from gateway.errors import ConfigError
from gateway.register_files import NAMED, read_register

WORDS = {
    "zh-CN": {
        "problems": "{} 处错误,配置不能使用:",
        "warnings": "{} 处提醒(不影响运行):",
        "good": "配置可以使用。",
        "district": "区县",
        "version": "登记版本",
        "persons": "老年人",
        "by_area": "各街道(乡镇)人数",
        "no_area": "未登记所属区域",
        "no_coordinates": "没有坐标的老年人",
        "shared_phones": "多人共用的电话",
        "shared_by": "{} 个号码,涉及 {} 人",
        "devices": "设备",
        "unowned": "无人认领的设备",
        "responders": "响应方",
        "lines": "线路",
        "mandatory": "必备",
        "channels": "派单通道",
        "off": "未配置",
        "none": "无",
        "areas": "区域",
        "more": "等",
        "station": "社区驿站",
        "street_centre": "街道(镇)中心",
        "district_centre": "区级中心",
        "provider": "服务商",
        "health_station": "健康医养驿站",
        "doctor": "家庭医生",
        "neighbour": "邻里互助",
        "property": "物业",
        "emergency": "急救",
        "desk": "坐席",
    },
    "en": {
        "problems": "{} faults, the configuration cannot be used:",
        "warnings": "{} doubts (they do not keep it from running):",
        "good": "The configuration can be used.",
        "district": "District",
        "version": "register version",
        "persons": "Persons",
        "by_area": "Persons by street or town",
        "no_area": "no area registered",
        "no_coordinates": "Persons without coordinates",
        "shared_phones": "Telephones shared by several",
        "shared_by": "{} numbers, {} persons",
        "devices": "Devices",
        "unowned": "Devices nobody owns",
        "responders": "Responders",
        "lines": "Lines",
        "mandatory": "mandatory",
        "channels": "Ways out for orders",
        "off": "not configured",
        "none": "none",
        "areas": "Areas",
        "more": "…",
        "station": "stations",
        "street_centre": "street or town centres",
        "district_centre": "district centres",
        "provider": "providers",
        "health_station": "health stations",
        "doctor": "doctors",
        "neighbour": "neighbours",
        "property": "property companies",
        "emergency": "emergency services",
        "desk": "desks",
    },
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `check` to the program's commands; its `run` is set as default."""
    parser = subparsers.add_parser("check", help="validate configuration, registers and lines, and sum the district up")
    parser.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")
    parser.add_argument("--lang", choices=sorted(WORDS), help="language of the summary; default: gateway.language of the file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print faults, one a line, or the summary. Returns 0 when the configuration can be used, else 1."""
    config, problems = examine_config(args.config)
    words = WORDS[args.lang or config.gateway.language]
    problems += [f"{config.path}: {problem}" for line in config.line if line.name and line.codec for problem in check_line(line)]
    register = None
    if os.path.isdir(config.district_folder):  # noqa: PTH112 - Path.is_dir raises on a name that is too long
        try:
            register = read_register(config.district_folder, config.channels)
        except ConfigError as error:
            problems += error.problems
    if problems or register is None:
        print(words["problems"].format(len(problems)), *problems, sep="\n")
        return 1
    print("\n".join(_summary(config, register, words)))
    warnings = [*register.warnings, *_strange_lines(config, register)]
    if warnings:
        print("", words["warnings"].format(len(warnings)), *warnings, sep="\n")
    print("", words["good"], sep="\n")
    return 0


def _summary(config: Config, register: Register, words: dict[str, str]) -> Iterator[str]:
    language = next(language for language, table in WORDS.items() if table is words)
    yield f"{words['district']}: {register.names.get(language, register.name)} ({register.district}), {words['version']} {register.version}"
    yield f"{words['areas']}: {len(register.areas)}"
    yield f"{words['responders']}: {len(register.responders)}"
    for kind, count in Counter(responder.kind for responder in register.responders.values()).most_common():
        yield f"  {words[kind]}: {count}"
    yield f"{words['persons']}: {len(register.persons)}"
    yield f"{words['by_area']}:"
    for area, count in sorted(_by_street(register).items()):
        yield f"  {register.areas[area].name if area else words['no_area']}: {count}"
    yield f"{words['no_coordinates']}: {_named([one.id for one in register.persons.values() if one.lat is None], words)}"
    numbers = Counter(phone for person in register.persons.values() for phone in person.phones)
    shared = {phone for phone, count in numbers.items() if count > 1}
    sharing = sum(1 for person in register.persons.values() if not shared.isdisjoint(person.phones))
    yield f"{words['shared_phones']}: {words['shared_by'].format(len(shared), sharing)}"
    homes = {person.home for person in register.persons.values() if person.home is not None}
    devices = list(register.devices)
    yield f"{words['devices']}: {len(devices)}"
    yield f"{words['unowned']}: {_named([one.id for one in devices if one.person is None and one.home not in homes], words)}"
    yield f"{words['lines']}: {len(config.line) or words['none']}"
    for line in config.line:
        yield f"  {line.name}: {line.codec}, {line.listen or line.broker}" + (f", {words['mandatory']}" if line.mandatory else "")
    yield f"{words['channels']}:"
    yield f"  mqtt: {config.dispatch.mqtt.broker if config.dispatch.mqtt else words['off']}"
    yield f"  webhook: {config.dispatch.webhook.secret_file if config.dispatch.webhook else words['off']}"


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


def _strange_lines(config: Config, register: Register) -> Iterator[str]:
    """Devices registered on a line that nobody has configured: their cries would come from elsewhere, and be unknown."""
    names = {line.name for line in config.line}
    for line, count in Counter(device.line for device in register.devices if device.line is not None and device.line not in names).items():
        yield f"{config.district_folder / 'devices.csv'}: {count} devices on line {line!r}, which {config.path} does not have"


def _named(ids: Sequence[str], words: dict[str, str]) -> str:
    if not ids:
        return words["none"]
    return f"{len(ids)} ({', '.join(ids[:NAMED])}{words['more'] if len(ids) > NAMED else ''})"
