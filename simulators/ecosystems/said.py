"""What an ecosystem publishes, and the face that all of them have. Pure: what is said depends on what happened, and on nothing else."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Said(NamedTuple):
    """One publish, `after_s` seconds from now."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    after_s: float = 0.0


class Ecosystem(Protocol):
    """Devices of one family behind whatever brings them to a broker. Addresses are as a register names them.

    devices: address → model; models and what each can press: the ecosystem's own `MODELS`
    will: what the broker says for it when its connection breaks without a goodbye
    """

    name: str
    devices: Mapping[str, str]

    @property
    def will(self) -> Said | None: ...
    def kinds(self, device: str) -> Sequence[str]:
        """What this device can say that is a cry, in the words of our events: sos, help, fall. Empty: nothing."""

    def greeting(self, now: float) -> list[Said]:
        """Said on every connection. now: seconds since 1970, here and below."""

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        """Everything that goes out because somebody has cried once. KeyError: this model cannot."""

    def routine(self, device: str, now: float) -> list[Said]:
        """What the device says by itself, again and again, without anything having happened."""


def text(topic: str, body: object, *, qos: int = 0, retain: bool = False, after_s: float = 0.0) -> Said:
    """A publish whose body is JSON, or the text itself."""
    payload = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Said(topic, payload.encode(), qos, retain, after_s)
