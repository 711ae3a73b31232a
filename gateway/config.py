"""What the operator of the gateway may set: `gateway.toml`, read into frozen types. Unknown keys are refused."""

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from gateway.errors import ConfigError
from gateway.toml_file import Checks, Fault, TomlReader

MONTH_S = 31 * 86400  # no waiting of ours is longer; also refuses inf

Seconds = Annotated[float, msgspec.Meta(gt=0, le=MONTH_S)]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]  # a metric label, a log field and part of a file name
Order = Literal["at_once", "unacknowledged", "operator"]

# First words of `listen`: Twisted's endpoint strings, and serial: and udp:, which are ours.
ENDPOINTS = ("serial", "udp", "tcp", "ssl", "systemd")
CONNECTS = ("tcp", "tls")  # first words of `connect`: Twisted's client endpoint strings
EXCHANGES = ("ami", "esl")  # codecs of lines that can dial (drivers.telephone.Exchange)
TEXTERS = ("sip",)  # … and of those that can send a text (drivers.telephone.Texter)
BROKERS = ("mqtt", "mqtts")
MIN_SECRET = 16  # bytes; a shorter key can be guessed from one signed message
OUR_BOOKS = ("replies", "hand_overs")  # under which answers of web stations and matters of other hotlines are booked
BUILT_IN_PROFILES = ("gbt33358", "tsa", "nena")  # gateway.service_level has their figures
STORES = ("sqlite", "postgresql", "postgresql+psycopg")


class LineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[line]]`. `listen` (Twisted endpoint string; serial: and udp: are ours), `connect` (Twisted client endpoint string) or
    `broker` (mqtt:// or mqtts://).

    options: what this codec or line understands beyond these, checked by the driver itself.
    """

    name: Name
    codec: Annotated[str, msgspec.Meta(min_length=1, examples=["espa444"])]
    listen: str | None = None
    connect: str | None = None
    broker: str | None = None
    mandatory: bool = False
    silence_s: Seconds | None = None
    options: dict[str, object] = {}


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an incident of one severity is pressed (event model, "Who orders"). Seconds.

    order: at_once (the machine orders while the console rings), unacknowledged (when nobody took it), operator (a person does).
    """

    acknowledge_s: Seconds = 60
    reply_s: Seconds = 180
    repeat_s: Seconds = 120
    arrive_s: Seconds = 900  # the fifteen-minute circle (domain 2.5)
    order: Order = "operator"
    accept_acknowledges: bool = False  # districts without a staffed desk


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    district: Name = "honggu"
    data: str = "../var"  # relative to the configuration file
    districts: str = "districts"  # relative to the configuration file
    drain_s: Seconds = 10
    language: Literal["zh-CN", "en"] = "zh-CN"  # of what `gateway check` and the console say until a reader chooses


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str = "sqlite:///gateway.db"  # a relative SQLite file lies in the data folder


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = "127.0.0.1:12349"
    enabled: bool = True


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class CallsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Telephony facts of the place. `agents` maps an extension to the name shown; `area_code` as dialled, with its 0."""

    hotlines: tuple[Annotated[str, msgspec.Meta(pattern=r"^\d{3,11}$")], ...] = ("12349", "12345", "6212345")
    area_code: Annotated[str, msgspec.Meta(pattern=r"^(0\d{2,3})?$", examples=["0931"])] = ""
    trusted: tuple[str, ...] = ()
    agents: dict[str, str] = {}
    call_back_s: Seconds = 300  # a call not taken becomes a task with this deadline; then a visit is ordered
    join_s: Seconds = 600  # a call of a person, so long after their device cried (or the other way round), belongs to it


class HotlineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[hotline]]`: what one of `calls.hotlines` means beyond being ours (domain 1.1). A number without one has the defaults.

    supplementary: 12345 and the like: matters for us arrive here now and then, and are handed over with their record.
    profiles: names of answering profiles measured for it; severity: of a call at it that was lost, critical, major or minor.
    hand_over: the neighbour's web hook, to which a matter is handed with its record; signed with the secret in secret_file.
    """

    number: Annotated[str, msgspec.Meta(pattern=r"^\d{3,11}$", examples=["12345"])]
    name: str = ""
    supplementary: bool = False
    profiles: tuple[str, ...] = BUILT_IN_PROFILES
    severity: Literal["critical", "major", "minor"] = "major"
    call_back_s: Seconds | None = None  # else calls.call_back_s
    hand_over: str = ""
    secret_file: str = ""


class AnswerTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So large a `share` (0 to 1) of the calls must be answered `within_s`."""

    within_s: Seconds
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]


class ProfileConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[profile]]`: an answering standard, measured over a sliding window. The built-in ones are in `gateway.service_level`.

    connect: so large a share (0 to 1) of the calls must be answered at all; list_beyond_s: calls that waited longer are counted and
    named one by one in `gateway report calls`.
    """

    name: Name
    target: tuple[AnswerTarget, ...]
    window_s: Seconds = 86400
    connect: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    list_beyond_s: Seconds | None = None


class TelephoneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[telephone]`: by which line the gateway itself may ring (an `ami` or `esl` line), and how often at most.

    The limits protect trunk and people from a storm of dialling, whatever asks for it: a bug, a script, a hundred orders at once.
    """

    line: Annotated[str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9_-]{0,63})?$", examples=["pbx-control"])] = ""
    dials_per_minute: Annotated[int, msgspec.Meta(gt=0, le=6000)] = 30
    at_once: Annotated[int, msgspec.Meta(gt=0, le=500)] = 10
    shown: str = ""  # the number shown to who is rung; "" = the first of calls.hotlines
    prefix: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#]{0,8}$", examples=["9"])] = ""  # what the exchange wants before an outside number
    ring_s: Seconds = 30


class MqttChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    broker: Annotated[str, msgspec.Meta(min_length=1, examples=["mqtt://127.0.0.1:1883"])]
    client_id: Annotated[str, msgspec.Meta(min_length=1)] = "gateway-orders"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""


class WebhookChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    secret_file: Annotated[str, msgspec.Meta(min_length=1, examples=["webhook.secret"])]
    timeout_s: Seconds = 5


class PhoneChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dispatch.phone]`: rings the responder's number over `[telephone]` and takes a key press as the answer."""

    accept_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#]$")] = "1"
    decline_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#]$")] = "2"
    attempts: Annotated[int, msgspec.Meta(gt=0, le=10)] = 3  # then the order counts as failed, and the next one up the tree is asked


class SipChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dispatch.sip]`: the order as a text in a SIP MESSAGE to the responder's address (`sip:…`), sent by a `sip` line."""

    line: Name


class DispatchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mqtt: MqttChannelConfig | None = None
    webhook: WebhookChannelConfig | None = None
    phone: PhoneChannelConfig | None = None
    sip: SipChannelConfig | None = None


class PolicyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    critical: Policy = Policy(acknowledge_s=60, reply_s=60, order="at_once")
    major: Policy = Policy(acknowledge_s=60, reply_s=180, order="unacknowledged")
    minor: Policy = Policy(acknowledge_s=180, reply_s=180)
    warning: Policy = Policy(acknowledge_s=3600, reply_s=3600, repeat_s=3600)
    idle_remind_s: Seconds = 180  # taken but untouched: remind the owner (console design, rule 10)
    idle_escalate_s: Seconds = 300  # … and then escalate
    close_call_back_s: Seconds = 86400  # resolved: call the person back within a day
    join_after_resolved_s: Seconds = 600
    position_fresh_s: Seconds = 600


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `path` is where it was read from; `folder` what relative paths are relative to.

    waiting: after a reload, the keys that differ in the file but need a restart (their old values stay in force).
    """

    gateway: GatewayConfig = GatewayConfig()
    store: StoreConfig = StoreConfig()
    console: ConsoleConfig = ConsoleConfig()
    log: LogConfig = LogConfig()
    calls: CallsConfig = CallsConfig()
    hotline: tuple[HotlineConfig, ...] = ()
    profile: tuple[ProfileConfig, ...] = ()
    telephone: TelephoneConfig = TelephoneConfig()
    dispatch: DispatchConfig = DispatchConfig()
    policy: PolicyConfig = PolicyConfig()
    line: tuple[LineConfig, ...] = ()
    path: str = ""
    waiting: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return Path(self.path).resolve().parent if self.path else Path.cwd()

    @property
    def data_folder(self) -> Path:
        return self.folder / self.gateway.data

    @property
    def district_folder(self) -> Path:
        return self.folder / self.gateway.districts / self.gateway.district

    @property
    def channels(self) -> frozenset[str]:
        """The ways by which an order can leave with this configuration; telling an operator is always one."""
        configured = {"mqtt": self.dispatch.mqtt, "webhook": self.dispatch.webhook, "phone": self.dispatch.phone, "sip": self.dispatch.sip}
        return frozenset({"console"} | {name for name, channel in configured.items() if channel is not None})


def read_config(path: str | Path) -> Config:
    """The file as a Config; paths in it are relative to its folder. Raises ConfigError with every fault: file, key, remedy."""
    config, problems = examine_config(path)
    if problems:
        raise ConfigError(problems)
    return config


def examine_config(path: str | Path) -> tuple[Config, list[str]]:
    """(config, problems), for who wants to go on checking: what is faulty has its default in the Config. Never raises for what a file holds."""
    reader = TomlReader(Path(path), _CHECKS, hidden=("path", "waiting"))
    tables = reader.load()
    if reader.problems:
        return Config(path=str(path)), reader.problems
    config = msgspec.structs.replace(reader.table(Config, tables, "", Config()), path=str(path))
    config = msgspec.structs.replace(config, line=tuple(_with_absolute_files(line, config.folder) for line in config.line))
    _check_names(config, reader)
    _check_hotlines(config, reader)
    _check_telephones(config, reader)
    if not os.path.isdir(config.district_folder):  # noqa: PTH112 - Path.is_dir raises on a name that is too long
        reader.add("gateway.district", f"there is no folder {config.gateway.districts}/{config.gateway.district}", "correct it, or gateway.districts")
    return config, reader.problems


def _with_absolute_files(line: LineConfig, folder: Path) -> LineConfig:
    """Drivers know no configuration file: what their options name is looked up from its folder, wherever the gateway was started."""
    files = {key: str(folder / name) for key, name in line.options.items() if key.endswith("_file") and isinstance(name, str) and name}
    return msgspec.structs.replace(line, options={**line.options, **files}) if files else line


def _check_names(config: Config, reader: TomlReader) -> None:
    first: dict[str, int] = {}
    for number, line in enumerate(config.line, 1):
        if line.name and line.name in first:
            reader.add(f"line[{number}].name", f"{line.name!r} is the name of line[{first[line.name]}] too", "give each line a name of its own")
        if line.name in OUR_BOOKS:
            reader.add(f"line[{number}].name", f"{line.name!r} is the name of books of ours", "give the line another name")
        first.setdefault(line.name, number)


def _check_hotlines(config: Config, reader: TomlReader) -> None:
    profiles = {*BUILT_IN_PROFILES, *(profile.name for profile in config.profile)}
    first: dict[str, int] = {}
    for number, hotline in enumerate(config.hotline, 1):
        where = f"hotline[{number}]"
        if hotline.number not in config.calls.hotlines:
            reader.add(f"{where}.number", f"{hotline.number!r} is none of calls.hotlines", "add it there, or correct it")
        if hotline.number in first:
            reader.add(f"{where}.number", f"{hotline.number!r} is hotline[{first[hotline.number]}] too", "write one section a hotline")
        first.setdefault(hotline.number, number)
        for name in hotline.profiles:
            if name not in profiles:
                reader.add(f"{where}.profiles", f"there is no profile {name!r}", f"write one of {', '.join(sorted(profiles))}, or add a [[profile]]")
        if hotline.secret_file and (fault := _secret_fault(config.folder / hotline.secret_file)):
            reader.add(f"{where}.secret_file", fault, f"write a secret of at least {MIN_SECRET} bytes into it")
    known: set[str] = set(BUILT_IN_PROFILES)
    for number, profile in enumerate(config.profile, 1):
        if profile.name in known:
            reader.add(f"profile[{number}].name", f"there is a profile {profile.name!r} already", "give it a name of its own")
        known.add(profile.name)


def _secret_fault(file: Path) -> str:
    """What is wrong with a file that is there; that it is not the reader has told."""
    if not os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises on a name that is too long
        return ""
    try:
        size = len(file.read_bytes().strip())
    except OSError as error:
        return f"{file}: {error.strerror}"
    return f"{file} holds {size} bytes" if size < MIN_SECRET else ""


def _check_telephones(config: Config, reader: TomlReader) -> None:
    """What rings and what texts must name a line that can."""
    codecs = {line.name: line.codec for line in config.line}

    def check(key: str, name: str, wanted: tuple[str, ...]) -> None:
        remedy = f"name a [[line]] whose codec is {' or '.join(wanted)}"
        if name not in codecs:
            reader.add(key, f"there is no line {name!r}", remedy)
        elif codecs[name] not in wanted:
            reader.add(key, f"line {name!r} speaks {codecs[name]}, which cannot do this", remedy)

    if config.telephone.line:
        check("telephone.line", config.telephone.line, EXCHANGES)
    elif config.dispatch.phone is not None:
        reader.add("dispatch.phone", "has no telephone to ring with", "write the exchange's line under [telephone]: line = …")
    if config.dispatch.sip is not None and config.dispatch.sip.line:
        check("dispatch.sip.line", config.dispatch.sip.line, TEXTERS)


def _phone_faults(phone: PhoneChannelConfig) -> Iterator[Fault]:
    if phone.accept_key == phone.decline_key:
        yield ("decline_key", "accept_key"), f"is {phone.accept_key}, which is accept_key already", "give each answer a key of its own"


def _hotline_faults(hotline: HotlineConfig) -> Iterator[Fault]:
    if not hotline.hand_over:
        return
    if not hotline.secret_file:
        yield ("secret_file", "hand_over"), "is missing beside hand_over", "name a file with a secret of at least 16 bytes, shared with that hotline"
    try:
        url = urlsplit(hotline.hand_over)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        yield ("hand_over",), "is no web address", "write https://HOST/api/v1/hand-overs"


def _line_faults(line: LineConfig) -> Iterator[Fault]:
    ways = [name for name in ("listen", "connect", "broker") if getattr(line, name) is not None]
    if len(ways) != 1:
        what = f"stands beside {ways[1]}" if ways else "is missing"
        yield (ways[0] if ways else "listen", "listen", "connect", "broker"), what, "write exactly one of listen, connect and broker"
    elif line.connect is not None:
        word, colon, rest = line.connect.partition(":")
        if word not in CONNECTS or not colon or not rest:
            yield ("connect",), f"{line.connect!r} is no client endpoint", "write tcp:HOST:PORT or tls:HOST:PORT"
    elif line.listen is not None:
        word, colon, rest = line.listen.partition(":")
        if word not in ENDPOINTS or not colon or not rest:
            yield ("listen",), f"{line.listen!r} is no endpoint", "begin with " + ", ".join(f"{one}:" for one in ENDPOINTS)
    elif line.broker is not None:
        yield from _broker_faults(line.broker)


def _broker_faults(broker: str) -> Iterator[Fault]:
    try:
        url = urlsplit(broker)
        usable = url.scheme in BROKERS and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        yield ("broker",), "is no address of a broker", "write mqtt://HOST:1883 or mqtts://HOST:8883"
        return
    if not usable:
        yield ("broker",), "is no address of a broker", "write mqtt://HOST:1883 or mqtts://HOST:8883"
    if url.username is not None or url.password is not None:
        yield ("broker",), "holds a name or a password", "write username and password_file: addresses are logged"


def _store_faults(store: StoreConfig) -> Iterator[Fault]:
    if store.url.partition("://")[0] not in STORES or "://" not in store.url:
        yield ("url",), "is no store that we know", "write sqlite:///gateway.db or postgresql://HOST/DATABASE"


def _console_faults(console: ConsoleConfig) -> Iterator[Fault]:
    host, colon, port = console.listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        yield ("listen",), f"{console.listen!r} has no port up to 65535", "write 127.0.0.1:12349"
    if host == "localhost" or not colon:
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        remedy = "write 127.0.0.1:12349: accounts come first, until then anybody who reaches the page is let in (reach it by an SSH tunnel)"
        yield ("listen",), f"{host!r} is not an address of this machine alone", remedy


def _channel_faults(channel: MqttChannelConfig) -> Iterator[Fault]:
    yield from _broker_faults(channel.broker)


_CHECKS: Checks = {
    LineConfig: _line_faults,
    HotlineConfig: _hotline_faults,
    StoreConfig: _store_faults,
    ConsoleConfig: _console_faults,
    MqttChannelConfig: _channel_faults,
    PhoneChannelConfig: _phone_faults,
}
