"""The table of channels: which ways out the configuration opens. A new channel is a file and a row here."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from drivers.telephone import ShortTexter, Texter
from gateway.config.dispatch import DispatchConfig
from gateway.dispatch.contract import Channel, Order, Undelivered
from gateway.dispatch.email import EmailChannel
from gateway.dispatch.modem import ModemChannel
from gateway.dispatch.mqtt import MqttChannel, broker_of
from gateway.dispatch.phone import PhoneChannel, Ringer
from gateway.dispatch.robot import RobotChannel
from gateway.dispatch.sip import SipChannel
from gateway.dispatch.sms import SmsChannel
from gateway.dispatch.webhook import Answered, WebhookChannel
from gateway.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)
_MQTT_FILES = ("password_file", "ca_file", "certificate_file", "key_file")


def build_channels(
    config: DispatchConfig,
    folder: Path,
    answered: Answered = lambda _responder, _body: None,
    ringer: Callable[[], Ringer] | None = None,
    texter: Callable[[], Texter | None] = lambda: None,
    *,
    short_texter: Callable[[], ShortTexter | None] = lambda: None,
    language: Callable[[], str] = lambda: "zh-CN",
    undelivered: Undelivered = lambda _order, _reason: None,
    area: Callable[[Order], str] = lambda _order: "",
) -> dict[str, Channel]:
    """The channels by name, not yet running. Paths in the configuration are relative to `folder`. ConfigError holds every fault.

    answered: gets what web hooks answer in the body of their 2xx, and the key that somebody pressed. ringer: the gateway's telephone;
    texter, short_texter: the lines that send texts, as far as they run. language: in which people are written to. undelivered: told of an
    order that was taken and does not arrive. area: the name of the area of an order's incident, for those who may know no address.
    """
    rows: list[Callable[[], Channel]] = []
    if (mqtt := config.mqtt) is not None:
        rows.append(lambda: MqttChannel(_at(mqtt, folder, *_MQTT_FILES)))
    if (webhook := config.webhook) is not None:
        rows.append(lambda: WebhookChannel(_at(webhook, folder, "secret_file"), answered))
    if (phone := config.phone) is not None and ringer is not None:
        rows.append(lambda: PhoneChannel(phone, ringer, answered))
    if config.sip is not None:
        rows.append(lambda: SipChannel(texter))
    if (sms := config.sms) is not None:
        callback = None if sms.callback is None else _at(sms.callback, folder, "secret_file")
        placed = msgspec.structs.replace(_at(sms, folder, "secret_file"), callback=callback)
        rows.append(lambda: SmsChannel(placed, language, undelivered))
    if (modem := config.modem) is not None:
        rows.append(lambda: ModemChannel(modem, short_texter, language, undelivered))
    if (email := config.email) is not None:
        rows.append(lambda: EmailChannel(_at(email, folder, "password_file", "ca_file"), language))
    if config.robot:
        rows.append(lambda: RobotChannel(tuple(_at(one, folder, "url_file", "secret_file") for one in config.robot), language, area))
    channels: dict[str, Channel] = {}
    problems: list[str] = []
    for build in rows:
        try:
            channel = build()
            channels[channel.name] = channel
        except ConfigError as error:
            problems += [problem if problem.startswith("dispatch.") else f"dispatch.mqtt.{problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return channels


def check_channels(config: DispatchConfig, folder: Path) -> list[str]:
    """Every fault that can be seen without connecting; empty when `build_channels` will do."""
    problems: list[str] = []
    if config.mqtt is not None:
        mqtt = _at(config.mqtt, folder, *_MQTT_FILES)
        try:
            broker_of(mqtt)
        except ConfigError as error:
            problems += [f"dispatch.mqtt.{problem}" for problem in error.problems]
        if mqtt.password_file and not Path(mqtt.password_file).is_file():
            problems.append(f"dispatch.mqtt.password_file: {mqtt.password_file} does not exist; write it or correct the path")
    if config.webhook is not None:
        secret = Path(_at(config.webhook, folder, "secret_file").secret_file)
        if not secret.is_file():
            problems.append(f"dispatch.webhook.secret_file: {secret} does not exist; write a secret of at least 16 bytes into it")
    return problems


def _at(config: ConfigT, folder: Path, *keys: str) -> ConfigT:
    """The same settings with these paths made absolute."""
    return msgspec.structs.replace(config, **{key: str(folder / getattr(config, key)) for key in keys if getattr(config, key)})
