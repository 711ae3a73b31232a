"""The table of drivers: which codec a configured line speaks, what options it takes, and how the line is built.

To add a protocol: write the codec file, then one function and one row here. Modules are imported only when a line needs them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import structlog

from drivers.contract import Codec, Line, Rememberer, Surroundings
from gateway.config import CallsConfig, LineConfig
from gateway.errors import ConfigError
from gateway.event import new_id
from gateway.wrong_value import wrong_values

# What the first word of `listen` may be for each kind of codec; broker lines have `broker` in its place.
STREAM_ENDPOINTS = ("serial", "tcp", "ssl", "systemd")
DATAGRAM_ENDPOINTS = ("udp",)
CLIENT_ENDPOINTS = ("tcp", "tls")  # of `connect`
log = structlog.get_logger()

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
    line      (config, options, calls, restore) -> Line; None for stream and broker codecs, which run over any line of their transport
    placed    (options, surroundings) -> a fresh codec that knows where it stands; in place of `codec`, for codecs that need it
    memory    (options) -> what the codecs of one line remember together: it comes to them in their surroundings
    is_text   its bytes are text, so `gateway decode` takes input as it stands; else as hex digits
    alone     for `gateway decode`: what the peer says before a message, when this one was pasted without it
    tells     its codec is a drivers.downlink.Teller (or, on a broker, publishes for one): devices of such a line are told that help comes
    endpoints what the first word of `listen` may be, when it differs from the transport's usual ones; with "udp" a stream codec gets one
              instance a peer
    connects  of a stream codec: its devices may also be dialled, with `connect` in place of `listen`
    check     (config, options) -> problems beyond types, for instance an expression that does not compile
    inspect   (config, options) -> what only `gateway check` tells: faults that the line can run without, such as one faulty profile of several
    """

    transport: Transport
    options: type[msgspec.Struct]
    codec: Callable[[Any, CallsConfig], Any] | None = None
    line: Callable[[LineConfig, Any, CallsConfig, Sequence[Any]], Line] | None = None
    check: Callable[[LineConfig, Any], list[str]] = _no_problems
    inspect: Callable[[LineConfig, Any], list[str]] = _no_problems
    placed: Callable[[Any, Surroundings], Any] | None = None
    memory: Callable[[Any], Any] | None = None
    is_text: bool = False
    alone: Callable[[bytes], bytes] | None = None
    endpoints: tuple[str, ...] = ()
    tells: bool = False
    connects: bool = False


def _espa444() -> Driver:
    from drivers.panel.espa444 import EspaOptions, espa_end, selection_before
    from drivers.panel.espa_calls import CallBook

    return Driver(
        Transport.STREAM, EspaOptions, placed=espa_end, memory=lambda _options: CallBook(), alone=selection_before, connects=True, tells=True
    )


def _surgard() -> Driver:
    from drivers.panel.surgard import SurgardMemory, SurgardOptions, SurgardReceiver

    return Driver(Transport.STREAM, SurgardOptions, placed=SurgardReceiver, memory=lambda _options: SurgardMemory(), is_text=True, connects=True)


def _ascii_button() -> Driver:
    from drivers.panel.ascii_button import AsciiButtonOptions, AsciiButtons

    def placed(options: AsciiButtonOptions, place: Surroundings) -> AsciiButtons:
        return AsciiButtons(options, place.session)

    return Driver(Transport.STREAM, AsciiButtonOptions, placed=placed, is_text=True, connects=True)


def _ness() -> Driver:
    from drivers.panel.ness import NessOptions, NessPanel
    from drivers.panel.zones import KnownStates

    return Driver(Transport.STREAM, NessOptions, placed=NessPanel, memory=lambda _options: KnownStates(), is_text=True, connects=True)


def _elk() -> Driver:
    from drivers.panel.elk import ElkOptions, ElkPanel
    from drivers.panel.zones import KnownStates

    return Driver(Transport.STREAM, ElkOptions, placed=ElkPanel, memory=lambda _options: KnownStates(), is_text=True, connects=True)


def _alarmdecoder() -> Driver:
    from drivers.panel.alarmdecoder import AlarmDecoder, AlarmDecoderOptions
    from drivers.panel.zones import KnownStates

    return Driver(Transport.STREAM, AlarmDecoderOptions, placed=AlarmDecoder, memory=lambda _options: KnownStates(), is_text=True, connects=True)


def _tap() -> Driver:
    from drivers.panel.tap import TapOptions, TapTerminal
    from drivers.panel.tap_block import logon_before
    from drivers.panel.tap_sender import TapSender

    def check(_config: LineConfig, options: TapOptions) -> list[str]:
        return _missing_files(options, "password_file")

    def placed(options: TapOptions, place: Surroundings) -> TapTerminal | TapSender:
        password = _first_line(options.password_file) if options.password_file else ""
        return TapTerminal(options, place, password) if options.role == "terminal" else TapSender(options, password)

    return Driver(Transport.STREAM, TapOptions, placed=placed, check=check, alone=logon_before, connects=True)


def _comp2() -> Driver:
    from drivers.panel.comp2 import Comp2Options, Comp2Sender, Comp2Terminal

    def placed(options: Comp2Options, place: Surroundings) -> Comp2Terminal | Comp2Sender:
        return Comp2Terminal(options, place) if options.role == "terminal" else Comp2Sender(options)

    return Driver(Transport.STREAM, Comp2Options, placed=placed, connects=True)


def _contact_id() -> Driver:
    from drivers.panel.contact_id import ContactIdOptions, ContactIdReceiver

    return Driver(Transport.STREAM, ContactIdOptions, placed=ContactIdReceiver, is_text=True, connects=True)


def _sia_dc09() -> Driver:
    from drivers.panel.accounts import Accounts, read_accounts, read_accounts_file
    from drivers.panel.dc09_memory import Dc09Memory
    from drivers.panel.sia_dc09 import Dc09Options, SiaDc09, line_feed_before

    def accounts_of(options: Dc09Options) -> tuple[Accounts, list[str]]:
        accounts, problems = read_accounts(options.accounts)
        if options.accounts_file:
            missing = _missing_files(options, "accounts_file")
            try:
                read, faults = ({}, missing) if missing else read_accounts_file(Path(options.accounts_file).read_text("utf-8"), options.accounts_file)
            except (OSError, UnicodeDecodeError):
                read, faults = {}, [f"{options.accounts_file}: cannot be read; check its rights, and save it as UTF-8"]
            accounts, problems = (
                {**read, **accounts},
                problems + [f"options.accounts_file: {fault.removeprefix('options.accounts_file: ')}" for fault in faults],
            )
        return accounts, problems

    def memory(options: Dc09Options) -> Dc09Memory:
        accounts, problems = accounts_of(options)
        if problems:
            raise ConfigError(problems)
        return Dc09Memory(accounts, _stamp(options.accounts_file))

    def placed(options: Dc09Options, place: Surroundings) -> SiaDc09:
        """Accounts that have changed in their file count from the next connection on; a file that cannot be used leaves the old in force."""
        known = place.memory
        if isinstance(known, Dc09Memory) and known.stamp != (stamp := _stamp(options.accounts_file)):
            known.stamp = stamp
            accounts, problems = accounts_of(options)
            if problems:
                log.warning("accounts_unusable", line=place.line, problem=problems[0])
            else:
                known.accounts = accounts
                log.info("accounts_read_again", line=place.line, count=len(accounts))
        return SiaDc09(options, place)

    def check(_config: LineConfig, options: Dc09Options) -> list[str]:
        return accounts_of(options)[1]

    endpoints = (*STREAM_ENDPOINTS, *DATAGRAM_ENDPOINTS)
    return Driver(Transport.STREAM, Dc09Options, placed=placed, memory=memory, is_text=True, alone=line_feed_before, endpoints=endpoints, check=check)


def _watch3g() -> Driver:
    from drivers.tracker.watch3g import Presses, Watches, WatchOptions

    return Driver(Transport.STREAM, WatchOptions, placed=Watches, memory=lambda _options: Presses(), is_text=True, tells=True)


def _gt06() -> Driver:
    from drivers.tracker.gt06 import Gt06, Gt06Memory, Gt06Options, login_before

    return Driver(Transport.STREAM, Gt06Options, placed=Gt06, memory=lambda _options: Gt06Memory(), alone=login_before, tells=True)


def _jt808() -> Driver:
    from drivers.tracker.jt808 import Jt808, Jt808Memory, Jt808Options, authentication_before

    def check(_config: LineConfig, options: Jt808Options) -> list[str]:
        return _missing_files(options, "auth_secret_file")

    def memory(options: Jt808Options) -> Jt808Memory:
        return Jt808Memory(_first_line(options.auth_secret_file).encode() if options.auth_secret_file else b"")

    return Driver(
        Transport.STREAM,
        Jt808Options,
        placed=Jt808,
        memory=memory,
        check=check,
        alone=authentication_before,
        endpoints=(*STREAM_ENDPOINTS, *DATAGRAM_ENDPOINTS),
        tells=True,
    )


def _generic() -> Driver:
    from drivers.lines.broker import BrokerOptions, check_options
    from drivers.mqtt.generic import TOPICS, GenericWearable

    def placed(options: BrokerOptions, place: Surroundings) -> GenericWearable:
        return GenericWearable(options.topics or TOPICS, place.recent)

    return Driver(Transport.BROKER, BrokerOptions, placed=placed, check=check_options, is_text=True)


def _mapping() -> Driver:
    from drivers.mappings import MappingOptions, build_codec, check_mapping, inspect_mapping

    return Driver(Transport.BROKER, MappingOptions, placed=build_codec, check=check_mapping, inspect=inspect_mapping, is_text=True, tells=True)


def _station_reply() -> Driver:
    from drivers.lines.broker import BrokerOptions, check_options
    from drivers.mqtt.station_reply import TOPICS, StationReply

    def codec(options: BrokerOptions, _calls: CallsConfig) -> StationReply:
        return StationReply(options.topics or TOPICS)

    return Driver(Transport.BROKER, BrokerOptions, codec, check=check_options, is_text=True)


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


def _stamp(path: str) -> tuple[int, int]:
    """Changes with the file; (0, 0) without one."""
    try:
        found = Path(path).stat() if path else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size) if found is not None else (0, 0)


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


def _gsm_modem() -> Driver:
    from drivers.lines.modem_port import ModemLine
    from drivers.modem.gsm_modem import CardMemory, GsmModem, ModemOptions

    def check(_config: LineConfig, options: ModemOptions) -> list[str]:
        return _missing_files(options, "pin_file")

    def placed(options: ModemOptions, place: Surroundings) -> GsmModem:
        return GsmModem(options, place, _first_line(options.pin_file) if options.pin_file else "")

    def line(config: LineConfig, options: ModemOptions, _calls: CallsConfig, _restore: Sequence[Any]) -> ModemLine:
        card = CardMemory()
        return ModemLine(config, lambda: placed(options, Surroundings(line=config.name, session=new_id(), memory=card)))

    return Driver(Transport.STREAM, ModemOptions, placed=placed, line=line, check=check, is_text=True, endpoints=("serial",))


DRIVERS: dict[str, Callable[[], Driver]] = {
    "espa444": _espa444,
    "surgard": _surgard,
    "ascii_button": _ascii_button,
    "ness": _ness,
    "elk": _elk,
    "alarmdecoder": _alarmdecoder,
    "tap": _tap,
    "comp2": _comp2,
    "hep": _hep,
    "sip": _sip,
    "ami": _ami,
    "esl": _esl,
    "sia_dc09": _sia_dc09,
    "contact_id": _contact_id,
    "watch3g": _watch3g,
    "gt06": _gt06,
    "jt808": _jt808,
    "generic": _generic,
    "mapping": _mapping,
    "station_reply": _station_reply,
    "gsm_modem": _gsm_modem,
}


def driver_for(codec: str) -> Driver:
    """The row of a codec. Raises ConfigError when there is none."""
    if codec not in DRIVERS:
        raise ConfigError([f"codec {codec!r} is not known; use one of {', '.join(sorted(DRIVERS))}"])
    return DRIVERS[codec]()


def codec_for(codec: str, options: dict[str, object] | None = None, calls: CallsConfig | None = None, place: Surroundings | None = None) -> Any:
    """A fresh codec, outside any line: what `gateway decode` runs. Raises ConfigError."""
    driver = driver_for(codec)
    problems, parsed = _read_options(f"codec {codec}", driver.options, options or {})
    if problems:
        raise ConfigError(problems)
    return _maker(driver, parsed, calls or CallsConfig(), place or Surroundings())()


def _maker(driver: Driver, options: Any, calls: CallsConfig, place: Surroundings) -> Callable[[], Any]:
    """What makes the codecs of one line, one for each connection or peer."""
    placed, codec = driver.placed, driver.codec
    if placed is not None:
        if driver.memory is not None:
            memory = driver.memory(options)
            if isinstance(memory, Rememberer):
                memory.restore(place.before)
            place = replace(place, memory=memory, before=())
        return lambda: placed(options, replace(place, session=new_id() if place.line else ""))  # each connection numbers its own messages
    assert codec is not None
    return lambda: codec(options, calls)


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


def inspect_line(config: LineConfig) -> list[str]:
    """What `gateway check` tells of a line whose `check_line` finds nothing: faults that it would run without, with file and line number."""
    driver = driver_for(config.codec)
    return driver.inspect(config, msgspec.convert(config.options, driver.options))


def build_line(config: LineConfig, calls: CallsConfig, restore: Sequence[Any] = (), place: Surroundings | None = None) -> Line:
    """The line of one `[[line]]`, not yet running. Raises ConfigError with everything `check_line` finds.

    restore: what the store remembers for this line (live calls), handed to drivers that keep state over a restart.
    place: what its codecs may know; without it they know no register and no earlier message.
    """
    problems = check_line(config)
    if problems:
        raise ConfigError(problems)
    driver = driver_for(config.codec)
    options: Any = msgspec.convert(config.options, driver.options)
    if driver.line is not None:
        return driver.line(config, options, calls, restore)
    place = place or Surroundings(line=config.name)
    if driver.transport is Transport.BROKER:
        from drivers.lines.broker import BrokerLine

        return BrokerLine(config, options, _maker(driver, options, calls, place)())
    make = _maker(driver, options, calls, place)

    def new_codec() -> Codec:
        codec: Codec = make()
        return codec

    if config.connect is not None:
        from drivers.lines.stream_client import StreamClientLine

        return StreamClientLine(config, new_codec)
    word = (config.listen or "").partition(":")[0]
    if word == "serial":
        from drivers.lines.serial_port import SerialLine

        return SerialLine(config, new_codec)
    if word == "udp":
        from drivers.lines.datagram_peers import DatagramPeersLine

        return DatagramPeersLine(config, new_codec)
    from drivers.lines.stream import StreamLine

    return StreamLine(config, new_codec)


def _check_address(config: LineConfig, driver: Driver) -> list[str]:
    transport = driver.transport
    if transport is Transport.CLIENT or (driver.connects and config.connect is not None):
        return _check_connect(config, is_stream=driver.connects)
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
    wanted_also = " or connect = tcp:HOST:PORT" if driver.connects else ""
    words = driver.endpoints or (STREAM_ENDPOINTS if transport is Transport.STREAM else DATAGRAM_ENDPOINTS)
    word, colon, rest = (config.listen or "").partition(":")
    if word not in words or not colon or not rest:
        wanted = " or ".join(f"{word}:" for word in words)
        problems.append(f"listen: {config.listen!r} does not fit codec {config.codec}; write an endpoint that starts with {wanted}{wanted_also}")
    elif word == "serial":
        from drivers.lines.serial_port import check_endpoint

        problems += [f"listen: {problem}" for problem in check_endpoint(config.listen or "")]
    elif word == "udp" and transport is Transport.STREAM:
        from drivers.lines.datagram import parse_listen

        problems += _fault_of("listen", parse_listen, config.listen or "")
    return problems


def _fault_of(key: str, read: Callable[[str], object], text: str) -> list[str]:
    try:
        read(text)
    except ValueError as error:
        return [f"{key}: {error}"]
    return []


def _check_connect(config: LineConfig, *, is_stream: bool) -> list[str]:
    if is_stream:
        from drivers.lines.stream_client import parse_connect

        problems = [f"{key}: this line dials its device; remove it, or connect" for key in ("listen", "broker") if getattr(config, key) is not None]
        return problems + _fault_of("connect", parse_connect, config.connect or "")
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
