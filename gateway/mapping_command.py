"""`gateway mapping`: `try` shows what a profile makes of a message, `learn` proposes profiles for what a broker carries, `list` names them."""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drivers.contract import Surroundings
from drivers.lines.mqtt_session import Broker, MqttSession
from drivers.mappings import OWN, SHIPPED, load_profile, shipped_names
from drivers.mqtt.mapping import MappingCodec
from drivers.mqtt.message import MAX_PAYLOAD, MAX_TOPIC
from drivers.mqtt.profile_explain import Step, explain
from drivers.mqtt.wire import Arrived
from gateway.clock import utc_now
from gateway.config import examine_config
from gateway.decode import from_hex, instant, shown
from gateway.errors import GatewayError
from gateway.event import new_id
from gateway.mapping_learning import Learned
from gateway.mapping_words import WORDS

MAX_SECONDS = 86_400
TOLD = 200  # characters of a value on one line
FILTER = re.compile(r"(?:\+|[^+#]*)(?:/(?:\+|[^+#]*))*(?:/#)?|#")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `mapping` with its three parts."""
    parser = commands.add_parser("mapping", help="try, learn and list mapping profiles: devices behind a broker, without code")
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    attempt = parts.add_parser("try", help="show step by step what a profile makes of a message, and why")
    attempt.add_argument("profile", metavar="PROFILE", help="name or file")
    attempt.add_argument("--topic", required=True)
    attempt.add_argument("--payload", default="-", metavar="FILE", help="default: standard input")
    attempt.add_argument("--retain", action="store_true", help="the broker had kept the message")
    attempt.add_argument("--hex", action="store_true", help="the payload is written in hex digits")
    attempt.add_argument("--now", type=instant, help="fixes the clock, for instance 2026-03-14T09:26:53Z")
    attempt.set_defaults(run=run_try)
    learn = parts.add_parser("learn", help="listen to a broker, and propose which profile fits; sends nothing")
    learn.add_argument("--broker", required=True, metavar="URL", help="mqtt://[user@]host[:port] or mqtts://…")
    learn.add_argument("--topic", action="append", metavar="FILTER", help="what to listen to; default: #")
    learn.add_argument("--seconds", type=float, default=30.0, help="default: 30")
    learn.add_argument("--password-file", default="", help="holds the password and nothing else")
    learn.add_argument("--ca-file", default="", help="who signed the broker's certificate (mqtts)")
    learn.set_defaults(run=run_learn)
    listing = parts.add_parser("list", help="the profiles that there are")
    listing.set_defaults(run=run_list)
    for part in (attempt, learn, listing):
        part.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="whose language is spoken, and beside which mappings/ lies")
        part.add_argument("--lang", choices=sorted(WORDS), help="default: gateway.language of the file")


def _language(args: argparse.Namespace) -> str:
    if args.lang:
        return str(args.lang)
    return examine_config(args.config)[0].gateway.language


def _profile_name(args: argparse.Namespace, name: str) -> str:
    """A bare name is that of a file in mappings/ beside the configuration, if there is one."""
    own = Path(args.config).parent / OWN / f"{name}.toml"
    return str(own) if "/" not in name and own.is_file() else name


# --- try


def run_try(args: argparse.Namespace) -> int:
    """Print the steps, then the events. Returns 0 when there is an event, 1 when there is none, 2 when the profile cannot be used."""
    words = WORDS[_language(args)]
    payload = _read_payload(args)
    at = args.now or utc_now()
    loaded = load_profile(_profile_name(args, args.profile), own=Path(args.config).parent / OWN)
    if loaded.profile is None:
        print(words["faulty"], *loaded.told(), sep="\n", file=sys.stderr)
        return 2
    if len(payload) > MAX_PAYLOAD or len(args.topic.encode()) > MAX_TOPIC:
        raise GatewayError(f"a payload has at most {MAX_PAYLOAD} bytes, a topic {MAX_TOPIC}")
    for step in explain(loaded.profile, args.topic, payload, args.retain, at):
        print(_sentence(step, words))
    codec = MappingCodec([loaded.profile], Surroundings(utc_now=lambda: at))
    found = codec.receive_message(args.topic, payload, args.retain, False, 0.0, at)
    print("", words["events"] if found else words["no_events"], sep="\n")
    rejected = False
    for one in found:
        told = shown(one, at)
        rejected = rejected or "rejected" in told
        print(json.dumps(told, ensure_ascii=False, default=str))
    return 0 if found and not rejected else 1


def _read_payload(args: argparse.Namespace) -> bytes:
    """A payload of hex digits has two for each byte, and white space between them."""
    most = (MAX_PAYLOAD + 1) * (4 if args.hex else 1)
    try:
        if args.payload == "-":
            data = sys.stdin.buffer.read(most)
        else:
            with Path(args.payload).open("rb") as file:
                data = file.read(most)
    except OSError as error:
        raise GatewayError(f"{args.payload}: {(error.strerror or str(error)).lower()}") from error
    return from_hex(data.decode("ascii", "replace")) if args.hex else data.removesuffix(b"\n").removesuffix(b"\r")


def _sentence(step: Step, words: dict[str, str]) -> str:
    facts: dict[str, Any] = {name: _told(value) for name, value in step.facts.items()}
    if step.what == "message":
        facts["json"] = words["is_json" if step.facts["json"] else "no_json"]
        facts["retain"] = words["kept"] if step.facts["retain"] else ""
    elif step.what == "topic_fits":
        names: Any = step.facts["names"]
        facts["names"] = "".join(f" {name} = {value}" for name, value in names.items())
    elif step.what == "absent":
        why = str(step.facts["why"])
        facts["why"] = words["not_there"] if why == "not_there" else words["step"].format(why) if ":" not in why else why
    return "  " * step.depth + words[step.what].format(**facts)


def _told(value: object) -> str | int:
    """On one line, as JSON where it is a value."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return value if isinstance(value, int) else _cut(value)
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    text = "".join(one if one.isprintable() else " " for one in text)
    return text if len(text) <= TOLD else text[:TOLD] + "…"


# --- learn


def run_learn(args: argparse.Namespace) -> int:
    """Listen, then print what was heard and what fits. Returns 0 when anything was heard."""
    words = WORDS[_language(args)]
    if not 0 < args.seconds <= MAX_SECONDS:
        raise GatewayError(f"--seconds: write more than 0 and at most {MAX_SECONDS}")
    broker = Broker.parse(args.broker, password_file=args.password_file, ca_file=args.ca_file)
    topics = tuple(args.topic or ("#",))
    for topic in topics:
        if not 0 < len(topic.encode()) <= MAX_TOPIC or FILTER.fullmatch(topic) is None:
            raise GatewayError(f"--topic: {topic[:80]!r} is no filter; + is one whole level, # all below and only at the end: a/+/b, a/#")
    said = words["listening"].format(broker=f"{broker.host}:{broker.port}", topic=", ".join(topics), seconds=f"{args.seconds:g}")
    print(said, file=sys.stderr, flush=True)
    profiles = [one.profile for name in _all_names(args) if (one := load_profile(name)).profile is not None]
    learned = Learned([one for one in profiles if one is not None])
    asyncio.run(_listen(broker, topics, args.seconds, learned))
    for line in learned.told(words):
        print(line)
    return 0 if learned.messages else 1


async def _listen(broker: Broker, topics: tuple[str, ...], seconds: float, learned: Learned) -> None:
    """A session of our own that is forgotten afterwards; receipts are sent, so that the broker does not hold back what comes next."""

    def arrived(messages: list[Arrived]) -> None:
        at = utc_now()
        for message in messages:
            if message.topic is not None:
                learned.hear(message.topic, message.payload, message.retain, at)
        session.acknowledge([(message.mid, message.qos) for message in messages])

    session = MqttSession(broker, client_id=f"gateway-learn-{new_id()[-12:]}", kept=False, on_arrived=arrived)
    session.room = 1_000_000  # nothing is stored, so nothing has to wait
    try:
        await session.connect()
        await session.subscribe(topics)
        async with asyncio.timeout(seconds):
            reason = await session.lost
        raise GatewayError(f"connection to the broker lost: {reason}")
    except TimeoutError:
        pass
    finally:
        await session.close()


# --- list


def run_list(args: argparse.Namespace) -> int:
    """One line a profile; faulty ones with their first fault. Returns 1 when one of them cannot be used."""
    language = _language(args)
    words = WORDS[language]
    is_fine = True
    for name in _all_names(args):
        loaded = load_profile(name)
        where = words["shipped" if Path(loaded.file).parent == SHIPPED else "own"]
        if loaded.profile is None:
            is_fine = False
            print(f"{Path(name).stem}\t{where}\t{loaded.told()[0]}")
        else:
            title = loaded.profile.title
            print(f"{loaded.profile.name}\t{where}\t{title.get(language) or next(iter(title.values()), '')}")
    return 0 if is_fine else 1


def _all_names(args: argparse.Namespace) -> Iterator[str]:
    """Own ones first: they win over shipped ones of the same name."""
    own = sorted((Path(args.config).parent / OWN).glob("*.toml"))
    yield from map(str, own)
    taken = {path.stem for path in own}
    yield from (name for name in shipped_names() if name not in taken)
