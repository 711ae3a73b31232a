"""Who may say and hear what at the MQTT broker, out of configuration and register: one account for each device, bridge, station and connection.

A device publishes as itself and as nobody else; a station reads its own orders and answers in its own name; the gateway reads what its lines
read and writes orders. What no account is given nobody may. Addresses only: no name, no number and no place of a person is in it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from drivers.lines.broker import BrokerOptions
from drivers.mappings import MappingOptions, load_profiles
from drivers.mqtt import generic, station_reply
from drivers.mqtt.topic_pattern import TopicPattern
from gateway.config import Config, LineConfig
from gateway.core.register import Device, Register
from gateway.errors import ConfigError
from gateway.self_test.points import points_of

# A name that a line of Mosquitto's password file (name:hash), of its access list and one level of a topic can all hold.
NAME = re.compile(r"[^\s:+#/$%]{1,128}")
OWN_ACCOUNT = "gateway"  # of lines and channels that name none: as config/mosquitto/topics has it
ORDERS = "stations/{}/dispatch"  # gateway.dispatch.mqtt
_IN_A_TOPIC = re.compile(r"[^+#/\0]+")  # an address that is one level of a topic, and no wildcard: behind a bridge it need not be a NAME
_PIECE = re.compile(r"[^/]*\{[^/]*")


class Rule(msgspec.Struct, frozen=True, order=True):
    """One topic, or filter, that an account may read (subscribe to) or write (publish on)."""

    access: str
    topic: str


class Account(msgspec.Struct, frozen=True):
    """name: by which it logs in, or the name in its certificate. what: gateway, device, bridge or station."""

    name: str
    what: str
    rules: tuple[Rule, ...]


class AccessList(msgspec.Struct, frozen=True):
    """accounts by name, in order. left_out: addresses that cannot be names at a broker, with their file. desk: people's corrections are in it."""

    accounts: tuple[Account, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    desk: bool = False


def access_list(config: Config, register: Register) -> AccessList:
    """Raises ConfigError when one name would be two things: their rights would add up."""
    found = [*_own(config), *_self_test(config), *_devices(config, register), *_stations(config, register)]
    rules: dict[str, set[Rule]] = {}
    what: dict[str, str] = {}
    problems: list[str] = []
    for account in found:
        if what.setdefault(account.name, account.what) != account.what:
            problems.append(
                f"{account.name!r} would be the broker's account of a {what[account.name]} and of a {account.what}, with the rights of both;"
                " rename one of them (username, devices.csv or responders.csv)"
            )
        rules.setdefault(account.name, set()).update(account.rules)
    if problems:
        raise ConfigError(sorted(set(problems)))
    files = {"device": "devices.csv", "bridge": "devices.csv", "station": "responders.csv", "gateway": "username"}
    return AccessList(
        tuple(Account(name, what[name], tuple(sorted(rules[name]))) for name in sorted(rules) if _is_name(name)),
        tuple((name, files[what[name]]) for name in sorted(rules) if not _is_name(name)),
    )


def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and name.isprintable()


def shared_accounts(config: Config) -> tuple[str, ...]:
    """Names of our own that several connections use: with use_username_as_clientid they would push one another out."""
    names = [_username(line) for line in config.line if line.broker is not None]
    names += [config.dispatch.mqtt.username or OWN_ACCOUNT] if config.dispatch.mqtt is not None else []
    return tuple(sorted({name for name in names if names.count(name) > 1}))


def _own(config: Config) -> Iterator[Account]:
    for line in config.line:
        if line.broker is not None:
            read = (Rule("read", topic) for topic in topics_of(line))
            write = (Rule("write", topic) for topic in _told(line))
            yield Account(_username(line), "gateway", (*read, *write))
    if config.dispatch.mqtt is not None:
        yield Account(config.dispatch.mqtt.username or OWN_ACCOUNT, "gateway", (Rule("write", ORDERS.format("+")),))


def _self_test(config: Config) -> Iterator[Account]:
    """The test device of each broker line speaks by the line's own account, if it has none; the test station's orders are heard by ours."""
    test = config.self_test
    for point in points_of(config) if test.enabled else ():
        if point.topic:
            own = point.asked.username
            yield Account(own or _username(point.line), "device" if own else "gateway", (Rule("write", point.topic),))
    if test.enabled and test.station and test.channel == "mqtt" and config.dispatch.mqtt is not None:
        yield Account(config.dispatch.mqtt.username or OWN_ACCOUNT, "gateway", (Rule("read", ORDERS.format(test.station)),))


def _devices(config: Config, register: Register) -> Iterator[Account]:
    by_line: dict[str | None, list[Device]] = {}
    for device in register.devices:
        by_line.setdefault(device.line, []).append(device)
    for line in config.line:
        if line.broker is None or line.codec == "station_reply":
            continue
        devices = [*by_line.get(line.name, ()), *by_line.get(None, ())]
        yield from (_mapped if line.codec == "mapping" else _plain)(line, devices)


def _plain(line: LineConfig, devices: Iterable[Device]) -> Iterator[Account]:
    """`wearables/+/event`: the device is the one level that varies. A device behind a bridge speaks by the bridge's account."""
    for device in devices:
        rules = tuple(Rule("write", topic.replace("+", device.id, 1)) for topic in topics_of(line) if _IN_A_TOPIC.fullmatch(device.id))
        yield Account(device.via, "bridge", rules) if device.via else Account(device.id, "device", rules)


def _mapped(line: LineConfig, devices: Iterable[Device]) -> Iterator[Account]:
    """Topics that name the device belong to it; the others to the bridges (column `via`), or to one bridge of the line."""
    patterns = _patterns(line)
    own = [text for text in patterns if "{device}" in text]
    needs_bridge = len(own) < len(patterns)
    told = _told(line)
    bridge = tuple(Rule("write", topic) for topic in topics_of(line)) + tuple(Rule("read", topic) for topic in told)
    for device in devices:
        if device.via:
            yield Account(device.via, "bridge", bridge)
        elif own and not needs_bridge:
            yield Account(device.id, "device", (*(Rule("write", _filter(text, device.id)) for text in own), *_heard_by(line, device.id)))
    if needs_bridge and not any(device.via for device in devices):
        yield Account(f"bridge-{line.name}", "bridge", bridge)


def _stations(config: Config, register: Register) -> Iterator[Account]:
    if config.dispatch.mqtt is None:
        return
    replies = [topic for line in config.line if line.codec == "station_reply" for topic in topics_of(line)]
    for one in register.responders.values():
        if one.channel == "mqtt":
            yield Account(
                one.id, "station", (Rule("read", ORDERS.format(one.id)), *(Rule("write", topic.replace("+", one.id, 1)) for topic in replies))
            )


def _username(line: LineConfig) -> str:
    return str(line.options.get("username") or OWN_ACCOUNT)


def topics_of(line: LineConfig) -> tuple[str, ...]:
    """What a line subscribes to."""
    options = msgspec.convert(line.options, MappingOptions if line.codec == "mapping" else BrokerOptions)
    if isinstance(options, MappingOptions):
        loaded = [one.profile for one in load_profiles(options) if one.profile is not None]
        return options.topics or tuple(dict.fromkeys(topic for profile in loaded for topic in profile.topics))
    return options.topics or (station_reply.TOPICS if line.codec == "station_reply" else generic.TOPICS)


def _patterns(line: LineConfig) -> list[str]:
    """Topics of a mapping line with their parameters put in, `{device}` and other names still in them."""
    found = []
    for one in load_profiles(msgspec.convert(line.options, MappingOptions)):
        if one.profile is not None:
            found += [_with(rule.pattern.text, one.profile.parameters) for rule in one.profile.rules]
    return list(dict.fromkeys(found))


def _told(line: LineConfig) -> tuple[str, ...]:
    """Filters of the topics on which a line tells its devices something."""
    return tuple(_PIECE.sub("+", topic) for topic in _tell_topics(line))


def _tell_topics(line: LineConfig) -> list[str]:
    if line.codec != "mapping":
        return []
    loaded = [one.profile for one in load_profiles(msgspec.convert(line.options, MappingOptions)) if one.profile is not None]
    return sorted({tell.topic for profile in loaded for tell in profile.tells.values()})


def _heard_by(line: LineConfig, device: str) -> Iterator[Rule]:
    for topic in _tell_topics(line):
        if "{device}" in topic:
            yield Rule("read", _PIECE.sub("+", topic.replace("{device}", device)))


def _filter(text: str, device: str) -> str:
    return TopicPattern(text.replace("{device}", device), {}).filter


def _with(text: str, parameters: Mapping[str, str]) -> str:
    for name, value in parameters.items():
        text = text.replace("{" + name + "}", value)
    return text
