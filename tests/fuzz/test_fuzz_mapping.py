"""Random payloads and topics against every profile: never an exception, never anything but signals that can be stored and rejections with a name."""

import json
import random
import tomllib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from drivers.contract import Rejected, Signal, to_event
from drivers.mappings import SHIPPED, load_profile, shipped_names
from drivers.mqtt.mapping import REASONS, MappingCodec

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
STRANGE: list[object] = [None, True, False, 0, 1, -1, 2**63, 2**70, 1e300, -0.0, "", "1", "ON", "x" * 3000, "\ud800", "\0", [], {}, [[]], [{}]]
STRANGE += ["2026-03-14T09:26:53Z", 1773480410, "NaN", "1e999", [120.1, 30.2], "120.1,30.2", {"a": {"b": None}}, "AAECAwQF", "0x10"]
RAW = [b"", b"null", b"[]", b"{}", b"NaN"]
RAW += [b'{"a":NaN,"b":1e999,"c":-Infinity}', b"\xff\xfe\x00", b'"x"', b"5", b"[" * 200, b'{"a":' * 70, b"1" * 5000]


def samples() -> list[tuple[str, bytes]]:
    found = []
    for file in sorted(SHIPPED.glob("*.toml")):
        for test in tomllib.loads(file.read_text("utf-8")).get("test", []):
            payload = bytes.fromhex(test["payload_hex"]) if "payload_hex" in test else test["payload"].encode()
            found.append((test["topic"], payload))
    return found


def spoil(value: object, rng: random.Random, depth: int = 0) -> object:
    """The same with something lost, changed or made strange."""
    if rng.random() < 0.1:
        return rng.choice(STRANGE)
    if isinstance(value, dict) and depth < 6:
        spoiled = {name: spoil(one, rng, depth + 1) for name, one in value.items() if rng.random() > 0.05}
        if rng.random() < 0.1:
            spoiled[rng.choice(["payload", "topic", "item", "decoded", "text", "retained", "device", "parameters"])] = rng.choice(STRANGE)
        return spoiled
    if isinstance(value, list) and depth < 6:
        return [spoil(one, rng, depth + 1) for one in value for _ in range(rng.choice((0, 1, 1, 1, 2)))]
    return value


def mutate(topic: str, payload: bytes, rng: random.Random) -> tuple[str, bytes]:
    levels = topic.split("/")
    if rng.random() < 0.2:
        at = rng.randrange(len(levels))
        levels[at] = rng.choice(["", "+", "#", "x" * 200, "ü\n", "\0", *levels])
    if rng.random() < 0.1:
        return "/".join(levels), rng.choice(RAW)
    try:
        body = json.loads(payload)
    except ValueError:
        body = None
    if body is not None and rng.random() < 0.7:
        return "/".join(levels), json.dumps(spoil(body, rng)).encode()
    data = bytearray(payload)
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 3))
    return "/".join(levels), bytes(data)


def fuzz(messages: int, seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    known = samples()
    profiles = [one.profile for name in shipped_names() if (one := load_profile(name)).profile is not None]
    codec = MappingCodec([one for one in profiles if one is not None])
    seen: dict[str, int] = {}
    at = NOW
    for number in range(messages):
        at += timedelta(seconds=rng.choice((0, 0.1, 3, 100)))
        topic, payload = mutate(*rng.choice(known), rng)
        for one in codec.receive_message(topic, payload, rng.random() < 0.2, rng.random() < 0.1, number * 0.5, at):
            if isinstance(one, Signal):
                event = to_event(one, "fuzz", at)
                msgspec.json.encode(event)
                assert event.device is None or len(event.device) <= 128
                assert event.battery_pct is None or 0 <= event.battery_pct <= 100
                assert event.position is None or (-90 <= event.position.lat <= 90 and -180 <= event.position.lon <= 180)
                assert event.dedup is None or len(event.dedup) < 400
            else:
                assert isinstance(one, Rejected)
                assert one.reason in REASONS
            outcome = one.reason if isinstance(one, Rejected) else str(one.kind)
            seen[outcome] = seen.get(outcome, 0) + 1
    return seen


def test_ten_thousand_messages() -> None:
    seen = fuzz(10_000, 4)
    assert seen["sos"] > 100
    assert {"bad_json", "water_leak", "telemetry"} <= set(seen)


@pytest.mark.campaign
def test_a_million_messages() -> None:
    assert fuzz(1_000_000, 1)["sos"] > 10_000
