"""A Minew G1: one array each second with whatever it heard. A pressed pendant is only another iBeacon (its minor), for ten seconds."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from simulators.ecosystems.said import Said, text

PRESSED_FOR = 10  # arrays, one a second
UUID = "64E2FEFF5AF34D2C97C4643B70CD82EB"


class MinewG1:
    """devices: MAC in capital letters without colons → tag. pressed: the minor that a tag says while it is pressed, else 0."""

    name = "minew"

    def __init__(self, devices: Mapping[str, str], *, topic: str = "/gw/AC233FC001EA/status", mac: str = "AC233FC001EA", pressed: int = 1) -> None:
        self.devices = devices
        self.topic = topic
        self.mac = mac
        self.pressed = pressed
        self._chance = random.Random(f"minew:{mac}")

    @property
    def will(self) -> Said | None:
        return None

    def kinds(self, device: str) -> Sequence[str]:
        return ("sos",)

    def greeting(self, now: float) -> list[Said]:
        return [self._array(now)]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        if kind not in self.kinds(device):
            raise KeyError(kind)
        return [self._array(now + second, device, float(second)) for second in range(PRESSED_FOR)]

    def routine(self, device: str, now: float) -> list[Said]:
        return [self._array(now)]

    def _array(self, now: float, pressed: str = "", after_s: float = 0.0) -> Said:
        at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows: list[dict[str, object]] = [{"timestamp": at, "type": "Gateway", "mac": self.mac, "gatewayFree": 98, "gatewayLoad": 0.05}]
        for device in self.devices:
            for minor in (0, self.pressed) if device == pressed else (0,):  # the slots take turns: both are heard in one second
                rows.append(
                    {"timestamp": at, "type": "iBeacon", "mac": device, "bleName": "", "ibeaconUuid": UUID, "ibeaconMajor": 0, "ibeaconMinor": minor}
                    | {"rssi": self._chance.randint(-90, -40), "ibeaconTxPower": -59, "battery": 0}
                )
        rows.append({"timestamp": at, "type": "Unknown", "mac": "C0DE00000001", "rssi": -88, "rawData": "0201060303E1FF"})
        return text(self.topic, rows, after_s=after_s)
