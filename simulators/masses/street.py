"""Devices behind one street gateway: it dies by its plug (its broker tells) or by itself (nobody tells), and all behind it fall silent at once."""

import json
import time
from collections.abc import Mapping, Sequence

from simulators.ecosystems.said import Said


class StreetGateway:
    """A gateway with JSON wearables behind it, as an ecosystem. devices: address → model (one that can sos); hub: the gateway's own address.

    has_will: its broker knows what to say when its connection breaks; frozen: its connection stands and nothing comes any more.
    """

    name = "street"

    def __init__(self, devices: Mapping[str, str], hub: str, *, has_will: bool = False) -> None:
        self.devices = devices
        self.hub = hub
        self.has_will = has_will
        self.frozen = False
        self._ts = 0

    @property
    def will(self) -> Said | None:
        return Said(self._topic(self.hub), b'{"kind":"offline"}', 1) if self.has_will else None

    def kinds(self, device: str) -> Sequence[str]:
        return ("sos", "fall") if device in self.devices else ()

    def greeting(self, now: float) -> list[Said]:
        return [self._say(self.hub, "online" if self.has_will else "heartbeat")]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        return [] if self.frozen else [self._say(device, kind)]

    def routine(self, device: str, now: float) -> list[Said]:
        """A heartbeat of the device (or of the gateway itself)."""
        return [] if self.frozen else [self._say(device, "heartbeat")]

    def sign(self, device: str) -> list[Said]:
        """Somebody moves in this home."""
        return [] if self.frozen else [self._say(device, "motion")]

    def _say(self, device: str, kind: str) -> Said:
        self._ts = max(self._ts + 1, time.time_ns() // 1_000_000)
        return Said(self._topic(device), json.dumps({"kind": kind, "ts": self._ts, "battery": 80}).encode(), 1)

    def _topic(self, device: str) -> str:
        return f"wearables/{device}/event"
