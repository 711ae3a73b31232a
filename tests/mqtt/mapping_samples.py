"""Small profiles for the tests of the mapping codec."""

from datetime import UTC, datetime

from drivers.contract import Rejected, Signal, Surroundings
from drivers.mqtt.mapping import MappingCodec
from drivers.mqtt.profile import Profile, read_profile

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)

BUTTON = """
name = "acme"
[[rule]]
name = "press"
topic = "acme/{device}/up"
when = "btn == 'L'"
[[rule.event]]
kind = "sos"
time = { path = "ts", format = "epoch-s" }
battery_pct = "bat"
"""


def profile(text: str, **more: object) -> Profile:
    made, problems = read_profile(text, "ours.toml", **more)  # type: ignore[arg-type]
    assert made is not None, problems
    return made


def codec(*texts: str, place: Surroundings | None = None) -> MappingCodec:
    return MappingCodec([profile(text) for text in texts], place or Surroundings(utc_now=lambda: NOW))


def hear(
    one: MappingCodec, topic: str, payload: str | bytes, *, retain: bool = False, dup: bool = False, now: float = 0.0, at: datetime = NOW
) -> list[Signal | Rejected]:
    return one.receive_message(topic, payload if isinstance(payload, bytes) else payload.encode(), retain, dup, now, at)


def press(one: MappingCodec, payload: str = '{"btn":"L"}', topic: str = "acme/b1/up", **more: object) -> Signal:
    [found] = hear(one, topic, payload, **more)  # type: ignore[arg-type]
    assert isinstance(found, Signal), found
    return found
