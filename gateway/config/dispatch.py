"""`[dispatch.*]`: the ways by which an order leaves, and what must hold in each section. Passwords and keys lie in files of their own."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import jmespath
import msgspec

from gateway.config.words import Name, Seconds, is_this_machine, is_web_address
from gateway.toml_file import Checks, Fault

BROKERS = ("mqtt", "mqtts")
PLACES = ("phone", "national", "text", "id", "secret", "username")  # what a template may hold in braces
_PLACE = re.compile(r"\{([a-z_]*)\}")

PerMinute = Annotated[int, msgspec.Meta(gt=0, le=6000)]


class MqttChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dispatch.mqtt]`. certificate_file, key_file: by which the broker knows us (mqtts://); PEM, read again at each connection."""

    broker: Annotated[str, msgspec.Meta(min_length=1, examples=["mqtt://127.0.0.1:1883"])]
    client_id: Annotated[str, msgspec.Meta(min_length=1)] = "gateway-orders"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


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


class SmsCallbackConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dispatch.sms.callback]`: what the provider posts to /api/v1/texts: a text that somebody wrote, or what became of one of ours.

    proof: hmac_sha256 (`header` holds "sha256=<hex HMAC-SHA-256 of the body>" by the secret) or shared (it holds the secret itself).
    sender, text, id: where the number, the words and the message's own id stand; report_id: the message id that the provider gave us when it
    took our text; failed: true when it will not arrive. All JMESPath over the JSON or form that is posted.
    answer: what the provider wants to read back.
    """

    secret_file: Annotated[str, msgspec.Meta(min_length=1, examples=["sms-callback.secret"])]
    proof: Literal["hmac_sha256", "shared"] = "hmac_sha256"
    header: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9-]{1,64}$")] = "X-Signature"
    sender: str = "from"
    text: str = "text"
    id: str = "id"
    report_id: str = ""
    failed: str = ""
    answer: str = '{"code":0}'


class SmsChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dispatch.sms]`: texts through a provider's web interface. The request is a template, so that any provider fits without code.

    In headers, form and json may stand {phone} (E.164), {national} (without +86), {text}, {id} (the delivery), {secret} and {username}; in the
    address only {id}. form or json, one of the two. username: for HTTP basic authentication, with the secret as password.
    success: JMESPath over the JSON answer, true when the provider has taken the text; "" = any 2xx. final: true when trying again is of no use.
    message_id: where the provider's own id of the text stands, by which reports name it. head: words before each text (短信签名).
    """

    url: Annotated[str, msgspec.Meta(min_length=1, examples=["https://sms.example/send"])]
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = {}
    form: dict[str, str] = {}
    json: dict[str, Any] = {}
    username: str = ""
    secret_file: str = ""
    success: str = ""
    final: str = ""
    message_id: str = ""
    head: Annotated[str, msgspec.Meta(max_length=40)] = "【12349】"
    per_minute: PerMinute = 60
    timeout_s: Seconds = 10
    callback: SmsCallbackConfig | None = None


class ModemChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dispatch.modem]`: texts through a serial GSM modem, a `gsm_modem` line. Networks block cards that send too much: hence per_minute."""

    line: Name
    per_minute: PerMinute = 20


class EmailChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dispatch.email]`: mails over one SMTP server (RFC 5321).

    security: starttls (RFC 3207), tls (RFC 8314) or none, which is for a server on this machine only. ca_file: whom to trust; "" = the system's list.
    """

    server: Annotated[str, msgspec.Meta(min_length=1, examples=["mail.example:587"])]
    sender: Annotated[str, msgspec.Meta(pattern=r"^[^@\s<>]+@[^@\s<>]+$", examples=["orders@12349.example"])]
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout_s: Seconds = 20


class RobotConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[dispatch.robot]]`: the robot of a chat group. A responder with channel `robot` names it under address.

    kind: wecom (企业微信群机器人) or dingtalk (钉钉自定义机器人). url_file: holds the robot's web address, which holds its key; secret_file: of
    DingTalk's signature (加签). details: the group may read name and address; link: it gets the link by which an order is accepted.
    """

    name: Name
    kind: Literal["wecom", "dingtalk"]
    url_file: Annotated[str, msgspec.Meta(min_length=1, examples=["group.url"])]
    secret_file: str = ""
    details: bool = False
    link: bool = False
    per_minute: Annotated[int, msgspec.Meta(gt=0, le=20)] = 20  # both platforms' own limit
    timeout_s: Seconds = 5


class DispatchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mqtt: MqttChannelConfig | None = None
    webhook: WebhookChannelConfig | None = None
    phone: PhoneChannelConfig | None = None
    sip: SipChannelConfig | None = None
    sms: SmsChannelConfig | None = None
    modem: ModemChannelConfig | None = None
    email: EmailChannelConfig | None = None
    robot: tuple[RobotConfig, ...] = ()

    @property
    def channels(self) -> frozenset[str]:
        """The ways that are configured; telling an operator is always one."""
        return frozenset({"console", *(name for name in self.__struct_fields__ if getattr(self, name))})


def broker_faults(broker: str) -> Iterator[Fault]:
    """What is wrong with the address of a broker."""
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


def server_address(server: str) -> tuple[str, int] | None:
    """Host and port of HOST:PORT; None when it is no such thing."""
    host, colon, port = server.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    usable = bool(colon and host) and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535
    return (host, int(port)) if usable else None


def _mqtt_faults(channel: MqttChannelConfig) -> Iterator[Fault]:
    yield from broker_faults(channel.broker)


def _phone_faults(phone: PhoneChannelConfig) -> Iterator[Fault]:
    if phone.accept_key == phone.decline_key:
        yield ("decline_key", "accept_key"), f"is {phone.accept_key}, which is accept_key already", "give each answer a key of its own"


def _sms_faults(sms: SmsChannelConfig) -> Iterator[Fault]:
    if not is_web_address(sms.url):
        yield ("url",), "is no web address", "write https://HOST/…"
    strange = sorted(set(_PLACE.findall(sms.url)) - {"id"})
    if strange:
        yield ("url",), f"holds {{{strange[0]}}}: addresses stand in logs on the way", "write it under form or json"
    if bool(sms.form) == bool(sms.json):
        yield ("form", "json"), "stands beside json" if sms.form else "and json are both missing", "write exactly one of form and json"
    for key, part in (("headers", sms.headers), ("form", sms.form), ("json", sms.json)):
        unknown = sorted({name for text in strings(part) for name in _PLACE.findall(text)} - set(PLACES))
        if unknown:
            yield (key,), f"holds {{{unknown[0]}}}, which is not known", f"write {', '.join(f'{{{name}}}' for name in PLACES)}"
    sent = {name for part in (sms.form, sms.json) for text in strings(part) for name in _PLACE.findall(text)}
    for name in ("phone", "text"):
        if (sms.form or sms.json) and not sent & ({"phone", "national"} if name == "phone" else {name}):
            yield ("form", "json"), f"holds no {{{name}}}", f"write {{{name}}} where the provider wants it"
    wants_secret = bool(sms.username) or any("{secret}" in text for part in (sms.headers, sms.form, sms.json) for text in strings(part))
    if wants_secret and not sms.secret_file:
        yield ("secret_file",), "is missing", "name a file that holds the provider's key"
    for key in ("success", "final", "message_id"):
        yield from _expression_faults(key, getattr(sms, key))


def strings(value: object) -> Iterator[str]:
    """Every text inside a table, its keys not among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


def _callback_faults(callback: SmsCallbackConfig) -> Iterator[Fault]:
    for key in ("sender", "text", "id", "report_id", "failed"):
        yield from _expression_faults(key, getattr(callback, key))


def _expression_faults(key: str, expression: str) -> Iterator[Fault]:
    if expression:
        try:
            jmespath.compile(expression)
        except (jmespath.exceptions.JMESPathError, ValueError):
            yield (key,), f"{expression!r} is no JMESPath expression", "write for instance data.id or code == '0'"


def _email_faults(email: EmailChannelConfig) -> Iterator[Fault]:
    address = server_address(email.server)
    if address is None:
        yield ("server",), f"{email.server!r} is not HOST:PORT", "write mail.example:587"
    elif email.security == "none" and not is_this_machine(address[0]):
        yield ("security", "server"), f"is none, and {address[0]!r} is not this machine: mails hold names and addresses", "write starttls or tls"
    if bool(email.username) != bool(email.password_file):
        missing = "password_file" if email.username else "username"
        yield (missing, "username", "password_file"), "is missing", "write both username and password_file, or neither"


def _robot_faults(robot: RobotConfig) -> Iterator[Fault]:
    if robot.kind == "wecom" and robot.secret_file:
        yield ("secret_file", "kind"), "is DingTalk's; WeCom signs nothing", "remove it"


CHECKS: Checks = {
    MqttChannelConfig: _mqtt_faults,
    PhoneChannelConfig: _phone_faults,
    SmsChannelConfig: _sms_faults,
    SmsCallbackConfig: _callback_faults,
    EmailChannelConfig: _email_faults,
    RobotConfig: _robot_faults,
}
