"""What the operator of the gateway may set: `gateway.toml`, read into frozen types. Unknown keys are refused."""

from pathlib import Path

import msgspec


class LineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[line]]`. Either `listen` (Twisted endpoint string; serial: and udp: are ours) or `broker` (mqtt:// or mqtts://).

    options: what this codec or line understands beyond these, checked by the driver itself.
    """

    name: str
    codec: str
    listen: str | None = None
    broker: str | None = None
    mandatory: bool = False
    silence_s: float | None = None
    options: dict[str, object] = {}


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an incident of one severity is pressed (event model, "Who orders"). Seconds.

    order: at_once (the machine orders while the console rings), unacknowledged (when nobody took it), operator (a person does).
    """

    acknowledge_s: float = 60
    reply_s: float = 180
    repeat_s: float = 120
    arrive_s: float = 900  # the fifteen-minute circle (domain 2.5)
    order: str = "operator"
    accept_acknowledges: bool = False  # districts without a staffed desk


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    district: str = "honggu"
    data: str = "../var"  # relative to the configuration file
    districts: str = "districts"  # relative to the configuration file
    drain_s: float = 10


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str = "sqlite:///gateway.db"  # a relative SQLite file lies in the data folder


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    listen: str = "127.0.0.1:12349"
    enabled: bool = True


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str = "console"  # console or json
    level: str = "info"


class CallsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Telephony facts of the place. `agents` maps an extension to the name shown; `area_code` as dialled, with its 0."""

    hotlines: tuple[str, ...] = ("12349", "12345", "6212345")
    area_code: str = ""
    trusted: tuple[str, ...] = ()
    agents: dict[str, str] = {}
    call_back_s: float = 300  # a call not taken becomes a task with this deadline; then a visit is ordered


class MqttChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    broker: str
    client_id: str = "gateway-orders"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""


class WebhookChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    secret_file: str
    timeout_s: float = 5
    attempts: int = 6


class DispatchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mqtt: MqttChannelConfig | None = None
    webhook: WebhookChannelConfig | None = None


class PolicyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    critical: Policy = Policy(acknowledge_s=60, reply_s=60, order="at_once")
    major: Policy = Policy(acknowledge_s=60, reply_s=180, order="unacknowledged")
    minor: Policy = Policy(acknowledge_s=180, reply_s=180)
    warning: Policy = Policy(acknowledge_s=3600, reply_s=3600, repeat_s=3600)
    idle_remind_s: float = 180  # taken but untouched: remind the owner (console design, rule 10)
    idle_escalate_s: float = 300  # … and then escalate
    close_call_back_s: float = 86400  # resolved: call the person back within a day
    join_after_resolved_s: float = 600
    position_fresh_s: float = 600


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `path` is where it was read from; `folder` what relative paths are relative to."""

    gateway: GatewayConfig = GatewayConfig()
    store: StoreConfig = StoreConfig()
    console: ConsoleConfig = ConsoleConfig()
    log: LogConfig = LogConfig()
    calls: CallsConfig = CallsConfig()
    dispatch: DispatchConfig = DispatchConfig()
    policy: PolicyConfig = PolicyConfig()
    line: tuple[LineConfig, ...] = ()
    path: str = ""

    @property
    def folder(self) -> Path:
        return Path(self.path).resolve().parent if self.path else Path.cwd()

    @property
    def data_folder(self) -> Path:
        return self.folder / self.gateway.data
