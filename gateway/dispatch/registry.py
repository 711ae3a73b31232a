"""The table of channels: which ways out the configuration opens. A new channel is a file and a row here."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from drivers.lines.mqtt_session import Broker
from drivers.telephone import Texter
from gateway.config import DispatchConfig
from gateway.dispatch.contract import Channel
from gateway.dispatch.mqtt import MqttChannel
from gateway.dispatch.phone import PhoneChannel, Ringer
from gateway.dispatch.sip import SipChannel
from gateway.dispatch.webhook import Answered, WebhookChannel
from gateway.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


def build_channels(
    config: DispatchConfig,
    folder: Path,
    answered: Answered = lambda _responder, _body: None,
    ringer: Callable[[], Ringer] | None = None,
    texter: Callable[[], Texter | None] = lambda: None,
) -> dict[str, Channel]:
    """The channels by name, not yet running. Paths in the configuration are relative to `folder`. ConfigError holds every fault.

    answered: gets what web hooks answer in the body of their 2xx, and the key that somebody pressed. ringer: the gateway's telephone;
    texter: the line that sends texts, as far as it runs.
    """
    rows: list[Callable[[], Channel]] = []
    if (mqtt := config.mqtt) is not None:
        rows.append(lambda: MqttChannel(_at(mqtt, folder, "password_file", "ca_file")))
    if (webhook := config.webhook) is not None:
        rows.append(lambda: WebhookChannel(_at(webhook, folder, "secret_file"), answered))
    if (phone := config.phone) is not None and ringer is not None:
        rows.append(lambda: PhoneChannel(phone, ringer, answered))
    if config.sip is not None:
        rows.append(lambda: SipChannel(texter))
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
        mqtt = _at(config.mqtt, folder, "password_file", "ca_file")
        try:
            Broker.parse(mqtt.broker, username=mqtt.username, password_file=mqtt.password_file, ca_file=mqtt.ca_file)
        except ConfigError as error:
            problems += [f"dispatch.mqtt.{problem}" for problem in error.problems]
        problems += [
            f"dispatch.mqtt.{key}: {path} does not exist; write it or correct the path"
            for key, path in (("password_file", mqtt.password_file), ("ca_file", mqtt.ca_file))
            if path and not Path(path).is_file()
        ]
    if config.webhook is not None:
        secret = Path(_at(config.webhook, folder, "secret_file").secret_file)
        if not secret.is_file():
            problems.append(f"dispatch.webhook.secret_file: {secret} does not exist; write a secret of at least 16 bytes into it")
    return problems


def _at(config: ConfigT, folder: Path, *keys: str) -> ConfigT:
    """The same settings with these paths made absolute."""
    return msgspec.structs.replace(config, **{key: str(folder / getattr(config, key)) for key in keys if getattr(config, key)})
