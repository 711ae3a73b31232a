"""`gateway decode`: paste what came over the wire, read what it means. Runs the very codec that the line runs.

Output: one JSON object a signal or rejection, in order. Exit code 0 when at least one signal was read and none rejected, 1 when
something was rejected or nothing complete was read (standard error says so when there was no input at all), 2 for wrong use.
"""

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from drivers.contract import Codec, Rejected, Signal, Surroundings, believed_time, place_of
from drivers.mappings import load_profile, shipped_names
from drivers.mqtt.mapping import MappingCodec
from drivers.registry import DRIVERS, Driver, Transport, codec_for, driver_for
from gateway import decode_calls
from gateway.capture_file import CaptureError, Packet, hep_packets, read_capture, sip_messages
from gateway.clock import utc_now
from gateway.config import CallsConfig, LineConfig, with_absolute_files
from gateway.coordinates import Datum
from gateway.decode_sip import Result, SipDesk, split_text
from gateway.errors import ConfigError, GatewayError
from gateway.recording import CODECS as CONVERSATIONS
from gateway.recording import read_conversation, read_recording

MAX_INPUT = 256 * 1024 * 1024  # bytes; a day of SIP at a hotline is less
MAX_TIMERS = 1000  # timers run out after the last byte; a codec has a few
PROFILES = ("generic", "station_reply")  # what `mqtt` stands for, tried in this order; then the mapping profiles that we ship
MAPPING = "mapping"
SIP = ("sip", "scaip")  # scaip is a body that a sip line reads
CODECS = sorted({"mqtt", "scaip", *DRIVERS})
CAPTURES = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")  # how pcap and pcapng begin

FORMS = {
    "hex": "hex digits, white space ignored",
    "text": "the characters themselves",
    "hexl": "one packet a line, the last column is hex",
    "pcap": "a pcap or pcapng file",
    "ami": 'a recorded conversation with an exchange: JSON lines {"t", "dir", "data"}, or the bytes themselves',
}

Found = Signal | Rejected
WHY = "why"  # of a rejection: whose it is and what is wrong, for standard error; the fields on standard output are those of every codec


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`decode` and `calls`."""
    decode = commands.add_parser("decode", help="read pasted bytes with a codec; one JSON object a signal")
    decode.add_argument("codec", metavar="CODEC", help=", ".join(CODECS))
    _add_input(decode)
    decode.add_argument("--topic", help="topic of an MQTT message")
    decode.add_argument("--retain", action="store_true", help="the broker kept the MQTT message")
    decode.add_argument(
        "--profile",
        action="append",
        metavar="P",
        help=f"mapping profiles (name or file) or broker codecs to try in order; default: {', '.join(PROFILES)}, and all that we ship",
    )
    decode.set_defaults(run=run)
    calls = commands.add_parser("calls", help="read a capture of telephony; one JSON object a call")
    calls.add_argument("codec", metavar="CODEC", choices=("sip", "hep", "ami", "esl"), help="sip, hep, ami or esl")
    _add_input(calls)
    calls.set_defaults(run=run_calls)


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="default: standard input")
    form = parser.add_mutually_exclusive_group()
    for name, means in FORMS.items():
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=means)
    parser.add_argument("--config", metavar="LINE.toml", help="a [[line]] table as in gateway.toml; [calls] counts too")
    parser.add_argument("--now", type=instant, help="fixes the clock, for instance 2026-03-14T09:26:53Z")
    _allow_any_order(parser)


def _allow_any_order(parser: argparse.ArgumentParser) -> None:
    """FILE may stand after the options: plain argparse takes it for absent once it has met one."""
    plain = parser.parse_known_args

    def parse(args: Any = None, namespace: Any = None) -> Any:
        parser.parse_known_args = plain  # type: ignore[method-assign]  # what the intermixed form itself calls
        try:
            return parser.parse_known_intermixed_args(args, namespace)
        finally:
            parser.parse_known_args = parse  # type: ignore[method-assign]

    parser.parse_known_args = parse  # type: ignore[method-assign]


def instant(text: str) -> datetime:
    """An aware time for argparse; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-03-14T09:26:53Z") from error
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def run(args: argparse.Namespace) -> int:
    """Carry out `gateway decode`; never raises for anything in the input."""
    return _guarded(_decode, args)


def run_calls(args: argparse.Namespace) -> int:
    """Carry out `gateway calls`; never raises for anything in the input."""
    return _guarded(_calls, args)


def _guarded(command: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    try:
        return command(args)
    except ConfigError as error:
        problem = "; ".join(error.problems)
    except FileNotFoundError as error:
        problem = f"{error.filename}: no such file"
    except OSError as error:
        problem = f"{error.filename or args.file}: {(error.strerror or str(error)).lower()}"
    except (GatewayError, ValueError) as error:
        problem = str(error)
    except Exception as error:
        problem = f"internal error ({type(error).__name__}: {error}); please report it with the input"
    print(f"gateway {args.command}: {problem}", file=sys.stderr)
    return 2


def _decode(args: argparse.Namespace) -> int:
    line, calls = _read_config(args, {"mqtt": (*PROFILES, MAPPING), "scaip": ("sip",)})
    data = _read_input(args.file)
    if args.codec not in CODECS:
        raise GatewayError(f"codec {args.codec!r} is not known; use one of {', '.join(CODECS)}")
    driver = driver_for({"scaip": "sip", "mqtt": PROFILES[0]}.get(args.codec, args.codec))
    _check_form(args, data)
    if not data.strip():
        return _no_input(args)
    options = line.options if line is not None else {}
    if driver.transport is Transport.BROKER:
        found = _decode_publish(_broker_codecs(args, line, calls), args, data)
    elif args.topic or args.retain or args.profile:
        raise GatewayError(f"--topic, --retain and --profile belong to mqtt, not to {args.codec}")
    elif args.codec in SIP:
        found = map(_shown_sip, SipDesk(options, calls, args.now, only_texts=args.codec == "scaip").read(_packets(args, data, is_text=True)))
    elif args.codec in CONVERSATIONS:
        told = read_conversation(args.codec, _packets(args, data, is_text=True), options, calls, args.now)
        found = (_shown(one.found, one.at, b"", []) for one in told)
    else:
        found = _decode_packets(driver, lambda: codec_for(args.codec, options, calls, _place(args)), args, data)
    read = rejected = 0
    for one in found:
        why = one.pop(WHY, "")
        print(json.dumps(one, ensure_ascii=False, default=str))
        if why:
            print(f"gateway decode: {one['rejected']}: {why}", file=sys.stderr)
        read, rejected = read + ("rejected" not in one), rejected + ("rejected" in one)
        if one.get("rejected") == "wrong_key":
            print("gateway decode: encrypted, and the account's key is missing or wrong: --config with a [[line]] that has it", file=sys.stderr)
    if not read and not rejected:
        print(f"gateway decode: {_nothing(args)}", file=sys.stderr)
    elif not read and args.form is None and _looks_like_hex(data):
        print("gateway decode: nothing could be read; if these are the hex digits of the bytes, add --hex", file=sys.stderr)
    return 0 if read and not rejected else 1


def _looks_like_hex(data: bytes) -> bool:
    """Digits that spell text: a block of Contact ID is made of hex digits, too."""
    try:
        spelt = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        return False
    return sum(32 <= byte < 127 for byte in spelt) > 0.8 * len(spelt)


def _place(args: argparse.Namespace) -> Surroundings:
    """No line, no register; the clock stands still where --now fixes it."""
    at: datetime | None = args.now
    return Surroundings() if at is None else Surroundings(utc_now=lambda: at)


def _calls(args: argparse.Namespace) -> int:
    line, calls = _read_config(args, {"sip": ("hep",)})
    data = _read_input(args.file)
    _check_form(args, data)
    if not data.strip():
        return _no_input(args)
    packets = _packets(args, data, is_text=args.codec != "hep")
    faults: list[str] = []
    seen: Counter[str] = Counter()
    options = line.options if line is not None else {}
    summary = decode_calls.read_calls(args.codec, _until_cut(packets, faults, seen), options, calls, args.now)
    for call in summary.calls:
        print(json.dumps(call, ensure_ascii=False, default=str))
    if summary.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(summary.rejected.items()))
        print(f"gateway calls: rejected: {reasons}", file=sys.stderr)
    elif not summary.calls and not seen:
        print(f"gateway calls: {_nothing(args)}", file=sys.stderr)
    elif not summary.calls:
        numbers: Any = options.get("hotlines") or calls.hotlines
        hotlines = ", ".join(numbers)
        where = f"as {args.config} says" if args.config else "others go into a file for --config, as hotlines under [calls]"
        print(f"gateway calls: no call to {hotlines} ({where}) in {seen['packets']} packets; is {args.codec} the right codec?", file=sys.stderr)
    if faults:
        print(f"gateway calls: {args.file}: {faults[0]}; these are the calls up to there", file=sys.stderr)
    return 0 if summary.calls and not summary.rejected and not faults else 1


def _until_cut(packets: Iterator[Packet], faults: list[str], seen: Counter[str]) -> Iterator[Packet]:
    """A capture whose writer was killed lacks its end: what is there counts all the same."""
    try:
        for packet in packets:
            seen["packets"] += 1
            yield packet
    except CaptureError as error:
        if not seen:
            raise
        faults.append(str(error))


# --- input


def _no_input(args: argparse.Namespace) -> int:
    print(f"gateway {args.command}: no input", file=sys.stderr)
    return 1


def _nothing(args: argparse.Namespace) -> str:
    forms = ", ".join(f"--{name}" for name in FORMS if name != "ami" or args.codec in CONVERSATIONS)
    return f"nothing complete of {args.codec} in this input; is it the right codec, and the right form ({forms})?"


def _check_form(args: argparse.Namespace, data: bytes) -> None:
    if args.form != "pcap" and data.startswith(CAPTURES):
        raise GatewayError("this is a capture; read it with --pcap")
    if args.form == "ami" and args.codec not in CONVERSATIONS:
        raise GatewayError(f"--ami belongs to {' and '.join(CONVERSATIONS)}, not to {args.codec}; use --text, --hex, --hexl or --pcap")


def _read_config(args: argparse.Namespace, codecs: dict[str, tuple[str, ...]]) -> tuple[LineConfig | None, CallsConfig]:
    """The first [[line]] of this codec, and [calls]; without --config the codec's own defaults. codecs: of which lines a word means."""
    if args.config is None:
        return None, CallsConfig()
    try:
        document = tomllib.loads(Path(args.config).read_text(encoding="utf-8"))
        calls = msgspec.convert(document.get("calls", {}), CallsConfig)
        tables = document.get("line", document if "codec" in document else [])
        lines = msgspec.convert(tables if isinstance(tables, list) else [tables], list[LineConfig])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError([f"{args.config}: {error}"]) from error
    names = codecs.get(args.codec, (args.codec,))
    fitting = [line for line in lines if line.codec in names]
    if not fitting:
        raise ConfigError([f"{args.config}: has no [[line]] with codec {' or '.join(names)}; write one"])
    return with_absolute_files(fitting[0], Path(args.config).resolve().parent), calls


def _read_input(name: str) -> bytes:
    if name == "-":
        data = sys.stdin.buffer.read(MAX_INPUT + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise GatewayError(f"the input is longer than {MAX_INPUT} bytes; cut it")
    return data


def _packets(args: argparse.Namespace, data: bytes, *, is_text: bool) -> Iterator[Packet]:
    """The input as packets; of SIP and HEP whole messages only. Only captures and recordings know times and sides."""
    form = args.form or ("text" if is_text else "hex")
    nobody = ("", 0)
    if form == "pcap":
        found: Iterable[Packet] = read_capture(data)
        yield from sip_messages(found) if args.codec in SIP else hep_packets(found) if args.codec == "hep" else found
    elif form == "ami" or (args.form is None and args.codec in CONVERSATIONS):
        yield from read_recording(data)
    elif form == "hexl":
        for line in data.decode("ascii", "replace").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield Packet(0.0, nobody, nobody, from_hex(line.split()[-1]))
    elif form == "text" and args.codec in SIP:
        yield from (Packet(0.0, nobody, nobody, one) for one in split_text(data))
    else:
        yield Packet(0.0, nobody, nobody, data if form == "text" else from_hex(data.decode("ascii", "replace")))


def from_hex(text: str) -> bytes:
    """The bytes of hex digits; GatewayError when it is no hex."""
    digits = "".join(text.split())
    if len(digits) % 2 and not digits.strip("0123456789abcdefABCDEF"):
        raise GatewayError(f"{len(digits)} hex digits: a byte has two, one is missing or too many")
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise GatewayError(f"this is no hex ({error}); use --text for characters") from error


# --- the three kinds of codec


def _decode_packets(driver: Driver, new_codec: Callable[[], Any], args: argparse.Namespace, data: bytes) -> Iterator[dict[str, object]]:
    packets = _packets(args, data, is_text=driver.is_text)
    if driver.transport is Transport.DATAGRAM:
        return _decode_datagrams(new_codec(), args, packets)
    if args.form == "pcap":
        return _decode_flows(driver, new_codec, args, packets)
    payloads = [packet.payload for packet in packets]
    if driver.is_text and args.form in (None, "text") and payloads and not payloads[-1].endswith(b"\n"):
        payloads.append(b"\n")  # a line pasted without its end
    return _decode_stream(driver, new_codec(), payloads, 0.0, args.now or utc_now())


def _decode_flows(driver: Driver, new_codec: Callable[[], Any], args: argparse.Namespace, packets: Iterator[Packet]) -> Iterator[dict[str, object]]:
    """A stream codec on a capture: one codec for each direction of each connection."""
    flows: dict[tuple[object, object], list[bytes]] = {}
    for packet in packets:
        flows.setdefault((packet.source, packet.destination), []).append(packet.payload)
    for payloads in flows.values():
        yield from _decode_stream(driver, new_codec(), payloads, 0.0, args.now or utc_now())


def _decode_stream(driver: Driver, codec: Codec, payloads: Sequence[bytes], now: float, at: datetime) -> Iterator[dict[str, object]]:
    """Byte by byte, as a slow line would, so that every answer is seen beside what it answers."""
    if driver.alone is not None and payloads:
        codec.receive_data(driver.alone(payloads[0]), now)
        codec.data_to_send()
    chatter: list[bytes] = []
    for payload in payloads:
        for index in range(len(payload)):
            found = codec.receive_data(payload[index : index + 1], now)
            said = codec.data_to_send()
            if not found:
                chatter += [said] if said else []
            for one in found:
                codec.confirm(one)
                reply = said + codec.data_to_send()
                yield _shown(one, at, reply, chatter)
                chatter, said = [], b""
    for one in _run_out(codec, now):
        codec.confirm(one)
        yield _shown(one, at, codec.data_to_send(), [])
    if chatter:  # behind the last result, or with none: a poll's answer, the end of a dialogue
        print(f"gateway decode: the line would also send {' '.join(said.hex() for said in chatter)}", file=sys.stderr)


def _run_out(codec: Codec, now: float) -> Iterator[Found]:
    """What the codec says about what never came."""
    for _ in range(MAX_TIMERS):
        deadline = codec.deadline()
        if deadline is None:
            return
        now = max(now, deadline)
        yield from codec.handle_deadline(now)


def _decode_datagrams(codec: Any, args: argparse.Namespace, packets: Iterator[Packet]) -> Iterator[dict[str, object]]:
    for packet in packets:
        time = packet.time or decode_calls.hep_time(packet.payload)
        at = args.now or (datetime.fromtimestamp(time, UTC) if time else utc_now())
        for one in codec.receive_message(packet.source, packet.payload, time, at):
            yield _shown(one, at, b"", [])


def _broker_codecs(args: argparse.Namespace, line: LineConfig | None, calls: CallsConfig) -> list[Any]:
    """One codec for each profile that was asked for: of the command line, else of the line, else all there are."""
    place = _place(args)
    names: Sequence[str] = args.profile or ((line.codec,) if line is not None else PROFILES if args.codec == "mqtt" else (args.codec,))
    options = line.options if line is not None else {}
    codecs: list[Any] = []
    for name in names:
        if name == MAPPING and options.get("mappings"):
            codecs.append(codec_for(MAPPING, options, calls, place))
            refused = codecs[-1].refused
            if refused:
                raise ConfigError([one.fault for one in refused])
        elif name in DRIVERS and name != MAPPING:
            if driver_for(name).transport is not Transport.BROKER:
                raise GatewayError(f"--profile {name}: is no codec of a broker; write a mapping profile, or one of {', '.join(PROFILES)}")
            codecs.append(codec_for(name, options if line is not None and line.codec == name else {}, calls, place))
        elif name != MAPPING:
            codecs.append(profile_codec(name, place))
    if not options.get("mappings") and (MAPPING in names or (args.codec == "mqtt" and not args.profile and line is None)):
        codecs += _shipped_codecs(place)
    return codecs


def profile_codec(name: str, place: Surroundings) -> MappingCodec:
    """A codec with this one profile. ConfigError: it cannot be used, each fault with file and line."""
    loaded = load_profile(name)
    if loaded.profile is None:
        raise ConfigError(loaded.told())
    return MappingCodec([loaded.profile], place)


def _shipped_codecs(place: Surroundings) -> Iterator[MappingCodec]:
    """One for each profile that we ship; a faulty one is told of, and left out."""
    for name in shipped_names():
        try:
            yield profile_codec(name, place)
        except ConfigError as error:
            print(f"gateway decode: left out: {error.problems[0]}", file=sys.stderr)


def _decode_publish(codecs: list[Any], args: argparse.Namespace, data: bytes) -> Iterator[dict[str, object]]:
    """The first codec that reads it. PUBACK carries no more than the packet's number, which a paste does not have."""
    if args.topic is None:
        raise GatewayError("an MQTT message needs --topic, for instance --topic wearables/ID/event")
    if args.form == "pcap":
        raise GatewayError("MQTT messages cannot be read out of a capture; paste the payload")
    at = args.now or utc_now()
    for packet in _packets(args, data, is_text=True):
        for one in _first_reading(codecs, args, packet.payload, at):
            yield _shown(one, at, b"", [])


def _first_reading(codecs: list[Any], args: argparse.Namespace, payload: bytes, at: datetime) -> list[Found]:
    """Of the first codec whose topics fit; a profile has to make something of it, too. Else the first refusal that says more than "not mine"."""
    refusals: list[list[Found]] = []
    is_read = False
    for codec in codecs:
        found: list[Found] = codec.receive_message(args.topic, payload, args.retain, False, 0.0, at)
        is_profile = isinstance(codec, MappingCodec)
        if any(isinstance(one, Signal) for one in found):
            return found
        if not found:
            is_read = True
        elif not all(isinstance(one, Rejected) and one.reason in ("bad_topic", "no_rule") for one in found):
            if not is_profile:
                return found
            refusals.insert(0, found)
        else:
            refusals.append(found)
    return [] if is_read else refusals[0] if refusals else []


# --- output


def _shown_sip(result: Result) -> dict[str, object]:
    """As below; a SIP answer may be followed by a MESSAGE of ours."""
    reply = b"".join(result.replies)
    shown = result.facts | {"reply_hex": reply.hex() or None} if result.found is None else _shown(result.found, result.at, reply, [])
    return shown | ({"replies_hex": [one.hex() for one in result.replies]} if len(result.replies) > 1 else {})


def shown(one: Signal | Rejected, at: datetime) -> dict[str, object]:
    """A signal or rejection of a broker under the names of decode.md."""
    return {name: value for name, value in _shown(one, at, b"", []).items() if name != WHY}


def _shown(one: Found, at: datetime, reply: bytes, chatter: list[bytes]) -> dict[str, object]:
    """The names of decode.md. What is unknown is absent."""
    if isinstance(one, Rejected):
        said: dict[str, object] = {"rejected": one.reason, "raw_hex": one.raw.hex(), WHY: ": ".join(filter(None, (one.device, one.detail)))}
        return said | ({"reply_hex": reply.hex()} if reply else {})
    occurred_at, source, reason = believed_time(one.time, at)
    place = place_of(one)
    true = place.into(Datum.WGS84) if place is not None else None
    shown: dict[str, object | None] = {
        "kind": str(one.kind),
        "kind_raw": one.kind_raw,
        "phase": str(one.phase),
        "device": one.device,
        "sequence": one.sequence,
        "dedup": one.dedup,
        "occurred_at": occurred_at.isoformat().replace("+00:00", "Z"),
        "time_source": source,
        "time_reason": reason,
        "lat": place.lat if place else None,
        "lon": place.lon if place else None,
        "datum": str(place.datum) if place else None,
        "wgs84": [true.lat, true.lon] if true and true.datum is Datum.WGS84 else None,
        "fix_valid": one.fix_valid,
        "accuracy_m": one.accuracy_m if place else None,
        "battery_pct": one.battery_pct,
        "battery_mv": one.battery_mv,
        "rssi_dbm": one.rssi_dbm,
        "firmware": one.firmware,
        "vitals": one.vitals or None,
        "detail": one.detail or None,
        "late": one.late,
    }
    out: dict[str, object] = {name: value for name, value in shown.items() if value is not None}
    out["reply_hex"] = reply.hex() or None
    if chatter:
        out["replies_hex"] = [said.hex() for said in [*chatter, reply] if said]
    return out
