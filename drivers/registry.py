"""The table of drivers: which codec a configured line speaks, what options it takes, and how the line is built.

To add a protocol: write the codec file, then one function and one row here. Modules are imported only when a line needs them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from drivers.contract import Codec, Line
from gateway.config import CallsConfig, LineConfig
from gateway.errors import ConfigError
from gateway.event import new_id
from gateway.wrong_value import wrong_values

# What the first word of `listen` may be for each kind of codec; broker lines have `broker` in its place.
STREAM_ENDPOINTS = ("serial", "tcp", "ssl", "systemd")
DATAGRAM_ENDPOINTS = ("udp",)
CLIENT_ENDPOINTS = ("tcp", "tls")  # of `connect`
BROKER_SCHEMES = ("mqtt://", "mqtts://")


class Transport(StrEnum):
    """How a codec's bytes arrive. The word is what decides which address of `LineConfig` must be filled in."""

    STREAM = "stream"
    DATAGRAM = "datagram"
    BROKER = "broker"
    CLIENT = "client"  # a stream that we open


def _no_problems(_config: LineConfig, _options: Any) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Driver:
    """One row.

    options   frozen msgspec.Struct with forbid_unknown_fields: what `[line.options]` may hold
    codec     (options, calls) -> a fresh codec, as `gateway decode` uses it; one per connection or per line
    line      (config, options, calls, restore) -> Line; None for stream codecs, which run over any stream line
    session   the codec numbers its own messages: a line hands it a session name, so that identities stay unique over restarts
    is_text   its bytes are text, so `gateway decode` takes input as it stands; else as hex digits
    alone     for `gateway decode`: what the peer says before a message, when this one was pasted without it
    endpoints what the first word of `listen` may be, when it differs from the transport's usual ones
    check     (config, options) -> problems beyond types, for instance an expression that does not compile
    """

    transport: Transport
    options: type[msgspec.Struct]
    codec: Callable[[Any, CallsConfig], Any]
    line: Callable[[LineConfig, Any, CallsConfig, Sequence[Any]], Line] | None = None
    check: Callable[[LineConfig, Any], list[str]] = _no_problems
    session: Callable[[Any, str], Codec] | None = None
    is_text: bool = False
    alone: Callable[[bytes], bytes] | None = None
    endpoints: tuple[str, ...] = ()


def _espa444() -> Driver:
    from drivers.panel.espa444 import EspaOptions, EspaStation, selection_before

    return Driver(Transport.STREAM, EspaOptions, lambda options, _calls: EspaStation(options), session=EspaStation, alone=selection_before)


def _ascii_button() -> Driver:
    from drivers.panel.ascii_button import AsciiButtonOptions, AsciiButtons

    return Driver(Transport.STREAM, AsciiButtonOptions, lambda options, _calls: AsciiButtons(options), session=AsciiButtons, is_text=True)


def _broker(codec: Callable[[tuple[str, ...]], Any], topics: tuple[str, ...]) -> Driver:
    from drivers.lines.broker import BrokerLine, BrokerOptions, check_options

    def new(options: BrokerOptions, _calls: CallsConfig) -> Any:
        return codec(options.topics or topics)

    return Driver(
        Transport.BROKER,
        BrokerOptions,
        new,
        line=lambda config, options, calls, _restore: BrokerLine(config, options, new(options, calls)),
        check=check_options,
        is_text=True,
    )


def _generic() -> Driver:
    from drivers.mqtt.generic import TOPICS, GenericWearable

    return _broker(GenericWearable, TOPICS)


def _station_reply() -> Driver:
    from drivers.mqtt.station_reply import TOPICS, StationReply

    return _broker(StationReply, TOPICS)


def _hep() -> Driver:
    from drivers.calls.hep import HepCodec, HepOptions
    from drivers.calls.hep_frames import HepFrames
    from drivers.lines import datagram, packet_stream

    def is_datagram(config: LineConfig) -> bool:
        return (config.listen or "").startswith("udp:")

    def check(config: LineConfig, options: HepOptions) -> list[str]:
        problems = []
        try:
            (datagram if is_datagram(config) else packet_stream).parse_listen(config.listen or "")
        except ValueError as error:
            problems.append(f"listen: {error}")
        if options.auth_key_file and not Path(options.auth_key_file).is_file():
            problems.append(f"options.auth_key_file: {options.auth_key_file} is not there; write the key into it")
        return problems

    def codec(options: HepOptions, calls: CallsConfig) -> HepCodec:
        if options.auth_key_file:
            key = Path(options.auth_key_file).read_text("utf-8").partition("\n")[0].strip()
            options = msgspec.structs.replace(options, auth_key=key)
        return HepCodec(options, calls)

    def line(config: LineConfig, options: HepOptions, calls: CallsConfig, restore: Sequence[Any]) -> Line:
        reader = codec(options, calls)
        if is_datagram(config):
            return datagram.DatagramLine(config, reader, lambda: restore)
        return packet_stream.PacketStreamLine(config, reader, HepFrames, lambda: restore, reader.accepts_from)

    return Driver(Transport.DATAGRAM, HepOptions, codec, line=line, check=check, endpoints=("udp", "tcp", "ssl"))


def _ami() -> Driver:
    from drivers.lines.client import ClientLine
    from drivers.pbx.ami import AmiCodec, AmiOptions

    def check(_config: LineConfig, options: AmiOptions) -> list[str]:
        problems = [f"options.{key}: is missing; write it" for key in ("username", "secret_file") if not getattr(options, key)]
        return problems + _missing_files(options, "secret_file", "ca_file")

    def line(config: LineConfig, options: AmiOptions, calls: CallsConfig, restore: Sequence[Any]) -> ClientLine:
        codec = AmiCodec(options, calls, config.name)

        def read_secret() -> None:
            codec.secret = _first_line(options.secret_file)

        return ClientLine(config, codec, prepare=read_secret, restore=lambda: restore, ca_file=options.ca_file, server_name=options.server_name)

    return Driver(Transport.CLIENT, AmiOptions, AmiCodec, line=line, check=check, is_text=True)


def _esl() -> Driver:
    from drivers.lines.client import ClientLine
    from drivers.pbx.esl import DEFAULT_PASSWORD, EslCodec, EslOptions

    def check(config: LineConfig, options: EslOptions) -> list[str]:
        if not options.password_file:
            return ["options.password_file: is missing; write it"]
        problems = _missing_files(options, "password_file")
        word, _, rest = (config.connect or "").partition(":")
        if word == "tls":
            problems.append("connect: FreeSWITCH's event socket knows no TLS; write tcp:HOST:PORT, and use a tunnel to another machine")
        is_here = rest.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")
        if not problems and not is_here and _first_line(options.password_file) == DEFAULT_PASSWORD:
            problems.append(f"options.password_file: {DEFAULT_PASSWORD} is known to everybody; change it in event_socket.conf and here")
        return problems

    def line(config: LineConfig, options: EslOptions, calls: CallsConfig, restore: Sequence[Any]) -> ClientLine:
        codec = EslCodec(options, calls, config.name)

        def read_password() -> None:
            codec.password = _first_line(options.password_file)

        return ClientLine(config, codec, prepare=read_password, restore=lambda: restore)

    return Driver(Transport.CLIENT, EslOptions, EslCodec, line=line, check=check, is_text=True)


def _missing_files(options: Any, *keys: str) -> list[str]:
    return [
        f"options.{key}: {path} is not there; write it or correct the path"
        for key in keys
        if (path := getattr(options, key)) and not Path(path).is_file()
    ]


def _first_line(path: str) -> str:
    return Path(path).read_text("utf-8").partition("\n")[0].strip()


def _sip() -> Driver:
    from drivers.lines.sip_port import SipLine, check_options
    from drivers.user_agent.options import SipOptions, read_credentials
    from drivers.user_agent.sip_reader import SipReader

    def line(config: LineConfig, options: SipOptions, calls: CallsConfig, restore: Sequence[Any]) -> SipLine:
        credentials = read_credentials(Path(options.credentials_file).read_text("utf-8")) if options.credentials_file else None
        return SipLine(config, options, calls, credentials, lambda: restore)

    return Driver(Transport.DATAGRAM, SipOptions, SipReader, line=line, check=check_options, endpoints=("udp", "tcp", "ssl"))


DRIVERS: dict[str, Callable[[], Driver]] = {
    "espa444": _espa444,
    "ascii_button": _ascii_button,
    "hep": _hep,
    "sip": _sip,
    "ami": _ami,
    "esl": _esl,
    "generic": _generic,
    "station_reply": _station_reply,
}


def driver_for(codec: str) -> Driver:
    """The row of a codec. Raises ConfigError when there is none."""
    if codec not in DRIVERS:
        raise ConfigError([f"codec {codec!r} is not known; use one of {', '.join(sorted(DRIVERS))}"])
    return DRIVERS[codec]()


def codec_for(codec: str, options: dict[str, object] | None = None, calls: CallsConfig | None = None) -> Any:
    """A fresh codec, outside any line: what `gateway decode` runs. Raises ConfigError."""
    driver = driver_for(codec)
    problems, parsed = _read_options(f"codec {codec}", driver.options, options or {})
    if problems:
        raise ConfigError(problems)
    return driver.codec(parsed, calls or CallsConfig())


def check_line(config: LineConfig) -> list[str]:
    """Every fault of one `[[line]]`, each naming the line, the key and the remedy; empty when it can be built."""
    where = f"line {config.name!r}"
    if config.codec not in DRIVERS:
        return [f"{where}: codec: {config.codec!r} is not known; use one of {', '.join(sorted(DRIVERS))}"]
    driver = DRIVERS[config.codec]()
    address_faults = _check_address(config, driver)
    problems = [f"{where}: {problem}" for problem in address_faults]
    if config.silence_s is not None and config.silence_s <= 0:
        problems.append(f"{where}: silence_s: {config.silence_s} is not a time; write seconds above 0, or leave it out for a line that may be silent")
    faults, options = _read_options(where, driver.options, config.options)
    problems += faults
    if options is not None:
        # the driver would say of a wrong address once more that it cannot be used
        ours = ("listen:", "connect:", "broker:") if address_faults else ()
        problems += [f"{where}: {problem}" for problem in driver.check(config, options) if not problem.startswith(ours)]
    return problems


def build_line(config: LineConfig, calls: CallsConfig, restore: Sequence[Any] = ()) -> Line:
    """The line of one `[[line]]`, not yet running. Raises ConfigError with everything `check_line` finds.

    restore: what the store remembers for this line (live calls), handed to drivers that keep state over a restart.
    """
    problems = check_line(config)
    if problems:
        raise ConfigError(problems)
    driver = driver_for(config.codec)
    options = msgspec.convert(config.options, driver.options)
    if driver.line is not None:
        return driver.line(config, options, calls, restore)

    def new_codec() -> Codec:
        codec: Codec = driver.codec(options, calls) if driver.session is None else driver.session(options, new_id())
        return codec

    if (config.listen or "").startswith("serial:"):
        from drivers.lines.serial_port import SerialLine

        return SerialLine(config, new_codec)
    from drivers.lines.stream import StreamLine

    return StreamLine(config, new_codec)


def _check_address(config: LineConfig, driver: Driver) -> list[str]:
    transport = driver.transport
    if transport is Transport.CLIENT:
        return _check_connect(config)
    if config.connect is not None:
        other = "broker" if transport is Transport.BROKER else "listen"
        return [f"connect: codec {config.codec} does not connect to anybody; remove it and write {other}"]
    if transport is Transport.BROKER:
        problems = []
        if config.listen is not None:
            problems.append("listen: a broker line does not listen; remove it and write broker")
        elif not (config.broker or "").startswith(BROKER_SCHEMES):
            problems.append(f'broker: codec {config.codec} needs it; write broker = "mqtt://host:1883" (or mqtts://)')
        return problems
    problems = []
    if config.broker is not None:
        problems.append(f"broker: codec {config.codec} has no broker; remove it and write listen")
    words = driver.endpoints or (STREAM_ENDPOINTS if transport is Transport.STREAM else DATAGRAM_ENDPOINTS)
    word, colon, rest = (config.listen or "").partition(":")
    if word not in words or not colon or not rest:
        wanted = " or ".join(f"{word}:" for word in words)
        problems.append(f"listen: {config.listen!r} does not fit codec {config.codec}; write an endpoint that starts with {wanted}")
    elif word == "serial":
        from drivers.lines.serial_port import check_endpoint

        problems += [f"listen: {problem}" for problem in check_endpoint(config.listen or "")]
    return problems


def _check_connect(config: LineConfig) -> list[str]:
    problems = [
        f"{key}: codec {config.codec} connects to its server; remove it and write connect"
        for key in ("listen", "broker")
        if getattr(config, key) is not None
    ]
    word, *parts = (config.connect or "").replace("\\:", "\0").split(":")
    host, port = parts if len(parts) == 2 else ("", "")
    if word not in CLIENT_ENDPOINTS or not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
        problems.append(f"connect: {config.connect!r} does not fit codec {config.codec}; write tcp:HOST:PORT or tls:HOST:PORT")
    return problems


def _read_options(where: str, options: type[msgspec.Struct], given: dict[str, object]) -> tuple[list[str], Any]:
    """(problems, options): each key is tried alone, so that all faults are told at once."""
    problems = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(options)}
    for key, value in given.items():
        if key not in fields:
            known = ", ".join(sorted(fields)) or "none"
            problems.append(f"{where}: options.{key}: not known; known options: {known}")
            continue
        problems += [f"{where}: {name}: {what}; {remedy}" for name, what, remedy in wrong_values(fields[key].type, value, f"options.{key}")]
    problems += [f"{where}: options.{key}: is missing; write it" for key, field in fields.items() if field.required and key not in given]
    if problems:
        return problems, None
    try:
        return [], msgspec.convert(given, options)
    except msgspec.ValidationError as error:  # what __post_init__ refuses: it names the key itself
        return [f"{where}: options: {error}"], None
