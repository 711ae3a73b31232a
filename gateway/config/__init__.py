"""What the operator of the gateway may set: `gateway.toml`, read into frozen types. Unknown keys are refused."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from gateway.config import upward
from gateway.config.aid import AidConfig, aid_faults
from gateway.config.bus import BusConfig as BusConfig
from gateway.config.bus import bus_faults
from gateway.config.console import ConsoleConfig as ConsoleConfig
from gateway.config.console import check_certificate, console_faults
from gateway.config.coverage import CoverageConfig, coverage_faults
from gateway.config.desk import DeskConfig as DeskConfig
from gateway.config.desk import ShelvingConfig as ShelvingConfig
from gateway.config.desk import desk_faults, shelving_faults
from gateway.config.dispatch import CHECKS as DISPATCH_CHECKS
from gateway.config.dispatch import DispatchConfig as DispatchConfig
from gateway.config.dispatch import MqttChannelConfig as MqttChannelConfig
from gateway.config.dispatch import PhoneChannelConfig as PhoneChannelConfig
from gateway.config.dispatch import SipChannelConfig as SipChannelConfig
from gateway.config.dispatch import WebhookChannelConfig as WebhookChannelConfig
from gateway.config.dispatch import broker_faults
from gateway.config.heartbeat import PART, heartbeat_faults
from gateway.config.heartbeat import HeartbeatConfig as HeartbeatConfig
from gateway.config.map import MapConfig as MapConfig
from gateway.config.map import MapLayerConfig, layer_faults, map_faults
from gateway.config.oidc import OidcConfig, oidc_faults
from gateway.config.plans import PlanConfig, plan_faults
from gateway.config.policies import FOLDER, read_chains
from gateway.config.policies import Chain as Chain
from gateway.config.providers import ProvidersConfig, ServiceConfig, providers_faults
from gateway.config.recordings import RecordingsConfig as RecordingsConfig
from gateway.config.recordings import check_recordings, recordings_faults
from gateway.config.responder_page import ResponderPageConfig, check_files, page_faults
from gateway.config.retention import RetentionConfig
from gateway.config.risk import RiskConfig as RiskConfig
from gateway.config.routing import RoutingConfig, routing_faults
from gateway.config.self_test import CHECKS as SELF_TEST_CHECKS
from gateway.config.self_test import SelfTestConfig as SelfTestConfig
from gateway.config.self_test import point_problems
from gateway.config.spare import SpareConfig as SpareConfig
from gateway.config.spare import spare_faults
from gateway.config.teams import DEFAULT_TEAMS, TeamConfig, VisitingConfig, team_faults
from gateway.config.tracing import CHECKS as TRACING_CHECKS
from gateway.config.tracing import TracingConfig as TracingConfig
from gateway.config.tracing import check_tracing
from gateway.config.words import MIN_SECRET as MIN_SECRET
from gateway.config.words import MONTH_S as MONTH_S
from gateway.config.words import Name as Name
from gateway.config.words import Seconds as Seconds
from gateway.errors import ConfigError
from gateway.event import KINDS, Group
from gateway.secrets import has_password, with_credentials, with_password_file
from gateway.toml_file import Checks, Fault, TomlReader

Order = Literal["at_once", "unacknowledged", "operator"]
DAILY = r"^((?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d)?$"  # local time HH:MM-HH:MM, or ""

# First words of `listen`: Twisted's endpoint strings, and serial: and udp:, which are ours.
ENDPOINTS = ("serial", "udp", "tcp", "ssl", "systemd")
CONNECTS = ("tcp", "tls")  # first words of `connect`: Twisted's client endpoint strings
EXCHANGES = ("ami", "esl")  # codecs of lines that can dial (drivers.telephone.Exchange)
TEXTERS = ("sip",)  # … and of those that can send a text (drivers.telephone.Texter)
MODEMS = ("gsm_modem",)  # … and of those that can send a short message (drivers.telephone.ShortTexter)
OUR_BOOKS = (
    "replies",
    "hand_overs",
    "requests",
    "platforms",
    "short_messages",
    "console",
    "self_test",
)  # of answers of web stations, matters of other hotlines, service requests, other platforms, short messages, the console itself, the self-test
BUILT_IN_PROFILES = ("gbt33358", "tsa", "nena")  # gateway.service_level has their figures
_TOLD = (Group.PERSON, Group.ENVIRONMENT, Group.DEVICE, Group.LIFE, Group.TELEPHONE, Group.SUBJECTLESS)
SIGN_KINDS = frozenset(kind.value for kind, facts in KINDS.items() if facts.group in _TOLD)  # what may count as a sign of life
STORES = ("sqlite", "postgresql", "postgresql+psycopg")


class LineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[line]]`. `listen` (Twisted endpoint string; serial: and udp: are ours), `connect` (Twisted client endpoint string) or
    `broker` (mqtt:// or mqtts://).

    device_class: the [[device_class]] of its devices that name none themselves; "" = they are not supervised.
    options: what this codec or line understands beyond these, checked by the driver itself.
    """

    name: Name
    codec: Annotated[str, msgspec.Meta(min_length=1, examples=["espa444"])]
    listen: str | None = None
    connect: str | None = None
    broker: str | None = None
    mandatory: bool = False
    edge: Annotated[str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9_-]{0,31})?$", examples=["north"])] = ""  # with [bus]: which edge runs it
    silence_s: Seconds | None = None
    device_class: Annotated[str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9_-]{0,63})?$", examples=["watch"])] = ""
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
    steps: Annotated[str, msgspec.Meta(pattern="^([a-z0-9][a-z0-9_-]{0,63})?$", examples=["critical"])] = ""  # a chain: policies/<steps>.toml


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    district: Name = "honggu"
    data: str = "../var"  # relative to the configuration file
    districts: str = "districts"  # relative to the configuration file
    drain_s: Seconds = 10
    language: Literal["zh-CN", "en"] = "zh-CN"  # of what `gateway check` and the console say until a reader chooses


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """password_file: of PostgreSQL; once read, `url` names it in its query, and `gateway.secrets.database_url` puts the password in."""

    url: str = "sqlite:///gateway.db"  # a relative SQLite file lies in the data folder
    password_file: str = ""


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
    """One `[[profile]]`: a standard, measured over a sliding window. The built-in ones are in `gateway.service_level` and `gateway.incident_clocks`.

    clock: answer (of calls, per hotline that names the profile), or of alarms take, inform, arrive, call_back;
    connect: so large a share (0 to 1) of the calls must be answered at all; list_beyond_s: calls that waited longer are counted and
    named one by one in `gateway report calls`.
    """

    name: Name
    target: tuple[AnswerTarget, ...]
    clock: Literal["answer", "take", "inform", "arrive", "call_back"] = "answer"
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


class DeviceClassConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[device_class]]`: how often devices of a kind give a sign of life, and what their silence means.

    interval_s  between two signs of life, as the device is set up; grace_s: so much later it is overdue
    battery_low_pct  at or below it a battery is a task for a technician, whether the device says so or not
    risk        1 (most) to 9: the order in which silent devices are listed after an outage, before the risk of their persons
    """

    name: Name
    interval_s: Seconds
    grace_s: Seconds
    battery_low_pct: Annotated[float, msgspec.Meta(ge=0, le=100)] = 20
    risk: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5


class SupervisionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[supervision]`: when silence of many is the silence of one (service levels, rule 10).

    path_least, path_share: so many devices, and so large a share of all behind one gateway or line, silent at once are one path incident.
    """

    path_least: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 5
    path_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5


class WatchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[watch]]`: what signs of life are expected of a person living alone (domain 4.7 to 4.9). Persons name it in their register.

    within_s    of waking time: the longest time without a sign
    quiet       local time HH:MM-HH:MM that does not count; "" = none
    grace_s     so much later the first step of the ladder is taken
    signs       kinds that count as a sign of life; empty = what a person alone can cause (gateway.core.watched.SIGNS)
    steps       the ladder, in this order, each once; step_s: the wait between two steps
    """

    name: Name
    within_s: Seconds = 43_200
    quiet: Annotated[str, msgspec.Meta(pattern=DAILY, examples=["22:00-07:00"])] = "22:00-07:00"
    grace_s: Seconds = 3600
    signs: tuple[str, ...] = ()
    steps: tuple[Literal["prompt", "call", "neighbour", "station", "emergency"], ...] = ("prompt", "call", "neighbour", "station", "emergency")
    step_s: Seconds = 900


class PolicyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    critical: Policy = Policy(acknowledge_s=60, reply_s=60, order="at_once")
    major: Policy = Policy(acknowledge_s=60, reply_s=180, order="unacknowledged")
    minor: Policy = Policy(acknowledge_s=180, reply_s=180)
    warning: Policy = Policy(acknowledge_s=3600, reply_s=3600, repeat_s=3600)
    # An ordinary service request: hours, and at night nothing is asked of anybody. Its acceptance by a provider is the agreement (签约).
    service: Policy = Policy(acknowledge_s=14_400, reply_s=7200, repeat_s=14_400, arrive_s=3600, order="at_once", accept_acknowledges=True)
    service_quiet: Annotated[str, msgspec.Meta(pattern=DAILY, examples=["21:00-07:00"])] = "21:00-07:00"
    idle_remind_s: Seconds = 180  # taken but untouched: remind the owner (console design, rule 10)
    idle_escalate_s: Seconds = 300  # … and then escalate
    close_call_back_s: Seconds = 86400  # resolved: call the person back within a day
    join_after_resolved_s: Seconds = 600
    position_fresh_s: Seconds = 600
    agree_s: Seconds = 300  # key nodes of the closed loop (gateway.core.loop): ordered, and nobody has accepted
    finish_s: Seconds = 7200  # on site, and not done
    service_agree_s: Seconds = 14_400  # … of an ordinary service
    service_finish_s: Seconds = 28_800
    complaint_s: Seconds = 604_800  # complained about, and not handled: seven days, as for ordinary matters of the Beijing hotline
    undo_s: Seconds = 600  # so long after it a merger can be undone (console design, 3.9)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `path` is where it was read from; `folder` what relative paths are relative to.

    waiting: after a reload, the keys that differ in the file but need a restart (their old values stay in force).
    chains: of policies/*.toml beside it, by name.
    """

    gateway: GatewayConfig = GatewayConfig()
    store: StoreConfig = StoreConfig()
    bus: BusConfig = BusConfig()
    console: ConsoleConfig = ConsoleConfig()
    oidc: OidcConfig = OidcConfig()
    desk: DeskConfig = DeskConfig()
    shelving: ShelvingConfig = ShelvingConfig()
    log: LogConfig = LogConfig()
    calls: CallsConfig = CallsConfig()
    hotline: tuple[HotlineConfig, ...] = ()
    profile: tuple[ProfileConfig, ...] = ()
    telephone: TelephoneConfig = TelephoneConfig()
    dispatch: DispatchConfig = DispatchConfig()
    policy: PolicyConfig = PolicyConfig()
    device_class: tuple[DeviceClassConfig, ...] = ()
    supervision: SupervisionConfig = SupervisionConfig()
    watch: tuple[WatchConfig, ...] = ()
    team: tuple[TeamConfig, ...] = DEFAULT_TEAMS
    plan: tuple[PlanConfig, ...] = ()
    visiting: VisitingConfig = VisitingConfig()
    providers: ProvidersConfig = ProvidersConfig()
    service: tuple[ServiceConfig, ...] = ()
    retention: RetentionConfig = RetentionConfig()
    recordings: RecordingsConfig = RecordingsConfig()
    routing: RoutingConfig = RoutingConfig()
    aid: AidConfig = AidConfig()
    risk: RiskConfig = RiskConfig()
    coverage: CoverageConfig = CoverageConfig()
    map: MapConfig = MapConfig()
    responder_page: ResponderPageConfig = ResponderPageConfig()
    counterpart: tuple[upward.CounterpartConfig, ...] = ()
    subscriber: tuple[upward.SubscriberConfig, ...] = ()
    platform: tuple[upward.PlatformConfig, ...] = ()
    line: tuple[LineConfig, ...] = ()
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    spare: SpareConfig = SpareConfig()
    self_test: SelfTestConfig = SelfTestConfig()
    tracing: TracingConfig = TracingConfig()
    path: str = ""
    waiting: tuple[str, ...] = ()
    chains: dict[str, Chain] = {}

    @property
    def folder(self) -> Path:
        return Path(self.path).resolve().parent if self.path else Path.cwd()

    @property
    def data_folder(self) -> Path:
        return self.folder / self.gateway.data

    @property
    def console_certificate(self) -> Path | None:
        """The certificate of the console's page; None under plain http."""
        return self.folder / self.console.tls_certificate if self.console.tls_certificate else None

    @property
    def district_folder(self) -> Path:
        return self.folder / self.gateway.districts / self.gateway.district

    @property
    def order_lines(self) -> dict[str, str]:
        """Channel → the line by which its orders leave; of those that need one."""
        dispatch = self.dispatch
        lines = {
            "phone": self.telephone.line if dispatch.phone is not None else "",
            "sip": dispatch.sip.line if dispatch.sip is not None else "",
            "modem": dispatch.modem.line if dispatch.modem is not None else "",
        }
        return {channel: line for channel, line in lines.items() if line}

    @property
    def channels(self) -> frozenset[str]:
        """The ways by which an order can leave with this configuration; telling an operator is always one."""
        return self.dispatch.channels


def read_config(path: str | Path) -> Config:
    """The file as a Config; paths in it are relative to its folder. Raises ConfigError with every fault: file, key, remedy."""
    config, problems = examine_config(path)
    if problems:
        raise ConfigError(problems)
    return config


def examine_config(path: str | Path) -> tuple[Config, list[str]]:
    """(config, problems), for who wants to go on checking: what is faulty has its default in the Config. Never raises for what a file holds."""
    reader = TomlReader(Path(path), _CHECKS, hidden=("path", "waiting", "chains"))
    tables = with_credentials(reader.load(), reader.add)
    if not tables and reader.problems:
        return Config(path=str(path)), reader.problems
    config = msgspec.structs.replace(reader.table(Config, tables, "", Config()), path=str(path))
    config = msgspec.structs.replace(config, line=tuple(with_absolute_files(line, config.folder) for line in config.line))
    if (store := config.store).password_file:
        url = with_password_file(store.url, config.folder / store.password_file)
        config = msgspec.structs.replace(config, store=msgspec.structs.replace(store, url=url))
    _check_names(config, reader)
    _check_hotlines(config, reader)
    _check_telephones(config, reader)
    _check_bus(config, reader)
    check_files(config.responder_page, config.folder, reader)
    check_certificate(config.console, config.folder, reader)
    check_recordings(config.recordings, config.folder, reader)
    check_tracing(config.tracing, config.folder, reader)
    config = _with_chains(config, reader)
    for fault in point_problems(config.self_test, [line.name for line in config.line], config.dispatch.channels):
        reader.add(*fault)
    upward.check_upward(config.counterpart, config.subscriber, config.platform, config.folder, reader)
    if not os.path.isdir(config.district_folder):  # noqa: PTH112 - Path.is_dir raises on a name that is too long
        reader.add("gateway.district", f"there is no folder {config.gateway.districts}/{config.gateway.district}", "correct it, or gateway.districts")
    return config, reader.problems


def _with_chains(config: Config, reader: TomlReader) -> Config:
    """With the chains of escalation that lie beside it; each that a policy names must be there."""
    chains, problems = read_chains(config.folder / FOLDER)
    reader.problems.extend(problems)
    unread = {Path(problem.partition(": ")[0]).stem for problem in problems}  # their own faults are told already
    for severity in ("critical", "major", "minor", "warning", "service"):
        steps = getattr(config.policy, severity).steps
        if steps and steps not in chains and steps not in unread:
            reader.add(f"policy.{severity}.steps", f"there is no {FOLDER}/{steps}.toml", "write it, or correct the name")
    return msgspec.structs.replace(config, chains=chains)


def with_absolute_files(line: LineConfig, folder: Path) -> LineConfig:
    """Drivers know no configuration file: what their options name is looked up from its folder, wherever the gateway was started."""
    options = line.options
    files: dict[str, object] = {key: str(folder / name) for key, name in options.items() if key.endswith("_file") and isinstance(name, str) and name}
    mappings = options.get("mappings")
    if line.codec == "mapping" and isinstance(mappings, list):
        files["mappings"] = [_own_mapping(name, folder) for name in mappings]
    return msgspec.structs.replace(line, options={**line.options, **files}) if files else line


def _own_mapping(name: object, folder: Path) -> object:
    """A profile's file; a bare name is that in mappings/ if there is one, else it stays bare and means the one that we ship."""
    if not isinstance(name, str) or not name:
        return name
    if name.endswith(".toml") or "/" in name:
        return str(folder / name)
    own = folder / "mappings" / f"{name}.toml"
    return str(own) if os.path.isfile(own) else name  # noqa: PTH113 - Path.is_file raises on a name that is too long


def _check_bus(config: Config, reader: TomlReader) -> None:
    """What several machines cannot do (docs/guide/cluster.md) is told, not left out in silence."""
    if not config.bus.servers:
        return
    if not config.store.url.startswith("postgresql"):
        reader.add("store.url", "is SQLite, and with [bus] several cores share the store", "write postgresql://USER@HOST/DATABASE")
    homeless = {line.name for line in config.line if not line.edge}
    for channel, line in config.order_lines.items():
        if line in homeless:
            key = "telephone.line" if channel == "phone" else f"dispatch.{channel}.line"
            what = f"is {line!r}, which names no edge, and with [bus] the edge that has the line carries out what cores order"
            reader.add(key, what, f"write edge = at the [[line]] {line!r}")
    if config.heartbeat.url and PART not in config.heartbeat.url:
        what = "names one switch, and with [bus] every edge and every shard beats: one that falls silent would be hidden by the others"
        reader.add("heartbeat.url", what, f"give each a switch of its own, and write {PART} where edge-NAME and shard-N stand in their addresses")
    if config.heartbeat.systemd:
        what = "is true, and with [bus] a process has several shards or none that could be late"
        reader.add("heartbeat.systemd", what, "write false; the shards' heartbeats and gateway_audit_oldest_overdue_seconds tell it")
    upward.check_shards(config.counterpart, config.subscriber, reader)


def _check_names(config: Config, reader: TomlReader) -> None:
    for section, found in (
        ("device_class", [one.name for one in config.device_class]),
        ("watch", [one.name for one in config.watch]),
        ("team", [one.name for one in config.team]),
        ("plan", [one.name for one in config.plan]),
        ("dispatch.robot", [one.name for one in config.dispatch.robot]),
    ):
        for number, name in enumerate(found, 1):
            if name and name in found[: number - 1]:
                reader.add(f"{section}[{number}].name", f"there is a {section} {name!r} already", "give it a name of its own")
    classes = {one.name for one in config.device_class}
    first: dict[str, int] = {}
    for number, line in enumerate(config.line, 1):
        if line.name and line.name in first:
            reader.add(f"line[{number}].name", f"{line.name!r} is the name of line[{first[line.name]}] too", "give each line a name of its own")
        if line.name in OUR_BOOKS:
            reader.add(f"line[{number}].name", f"{line.name!r} is the name of books of ours", "give the line another name")
        if line.device_class and line.device_class not in classes:
            reader.add(f"line[{number}].device_class", f"there is no device_class {line.device_class!r}", "add a [[device_class]], or correct it")
        first.setdefault(line.name, number)


def _check_hotlines(config: Config, reader: TomlReader) -> None:
    profiles = {*BUILT_IN_PROFILES, *(profile.name for profile in config.profile if profile.clock == "answer")}
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
    for number, plan in enumerate(config.plan, 1):
        for one in sorted(set(plan.hotlines) - set(config.calls.hotlines)):
            reader.add(f"plan[{number}].hotlines", f"{one!r} is none of calls.hotlines", "add it there, or correct it")
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
    if config.dispatch.modem is not None and config.dispatch.modem.line:
        check("dispatch.modem.line", config.dispatch.modem.line, MODEMS)


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


def _watch_faults(watch: WatchConfig) -> Iterator[Fault]:
    begins, _, ends = watch.quiet.partition("-")
    if watch.quiet and begins == ends:
        yield ("quiet",), f"{watch.quiet!r} is the whole day: nobody would ever be missed", 'write 22:00-07:00, or "" for none'
    strange = sorted(set(watch.signs) - SIGN_KINDS)
    if strange:
        yield ("signs",), f"{strange[0]!r} is nothing that a device or telephone tells", f"write kinds such as {', '.join(sorted(SIGN_KINDS)[:6])}"
    if len(set(watch.steps)) < len(watch.steps):
        yield ("steps",), "names a step twice", "write each step once"


def _policy_faults(policy: PolicyConfig) -> Iterator[Fault]:
    begins, _, ends = policy.service_quiet.partition("-")
    if begins and begins == ends:
        yield ("service_quiet",), f"{policy.service_quiet!r} is the whole day: nothing would ever be ordered", 'write 21:00-07:00, or "" for none'


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
        yield from broker_faults(line.broker)


def _store_faults(store: StoreConfig) -> Iterator[Fault]:
    if store.url.partition("://")[0] not in STORES or "://" not in store.url:
        yield ("url",), "is no store that we know", "write sqlite:///gateway.db or postgresql://HOST/DATABASE"
    elif store.password_file and store.url.startswith("sqlite"):
        yield ("password_file", "url"), "is for PostgreSQL; SQLite has no passwords", "remove it"
    elif store.password_file and not urlsplit(store.url).username:
        yield ("url", "password_file"), "names no user whose password it could be", "write postgresql://USER@HOST/DATABASE"
    elif store.password_file and has_password(store.url):
        yield ("url", "password_file"), "holds a password beside password_file", "take it out of the address"


_CHECKS: Checks = {
    AidConfig: aid_faults,
    CoverageConfig: coverage_faults,
    MapConfig: map_faults,
    MapLayerConfig: layer_faults,
    OidcConfig: oidc_faults,
    **upward.CHECKS,
    ProvidersConfig: providers_faults,
    RoutingConfig: routing_faults,
    LineConfig: _line_faults,
    WatchConfig: _watch_faults,
    TeamConfig: team_faults,
    PlanConfig: plan_faults,
    RecordingsConfig: recordings_faults,
    PolicyConfig: _policy_faults,
    HotlineConfig: _hotline_faults,
    StoreConfig: _store_faults,
    ConsoleConfig: console_faults,
    DeskConfig: desk_faults,
    ShelvingConfig: shelving_faults,
    ResponderPageConfig: page_faults,
    HeartbeatConfig: heartbeat_faults,
    SpareConfig: spare_faults,
    BusConfig: bus_faults,
    **SELF_TEST_CHECKS,
    **TRACING_CHECKS,
    **DISPATCH_CHECKS,
}
