"""A Tasmota switch with a button: a retained last will, times without a zone, and (ButtonRetain) presses that the broker keeps."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from simulators.ecosystems.said import Said, text

MODELS: Mapping[str, Mapping[str, str]] = {"button": {"help": "SINGLE", "sos": "HOLD"}}
CHINA = timezone(timedelta(hours=8))


class Tasmota:
    """devices: one topic → button; a node is a connection of its own. retains: somebody has set ButtonRetain."""

    name = "tasmota"

    def __init__(self, devices: Mapping[str, str], *, retains: bool = True) -> None:
        self.devices = devices
        self.retains = retains

    @property
    def will(self) -> Said | None:
        return text(f"tele/{next(iter(self.devices))}/LWT", "Offline", qos=1, retain=True)

    def kinds(self, device: str) -> Sequence[str]:
        return list(MODELS[self.devices[device]])

    def greeting(self, now: float) -> list[Said]:
        return [said for device in self.devices for said in (text(f"tele/{device}/LWT", "Online", qos=1, retain=True), *self.routine(device, now))]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        action = MODELS[self.devices[device]][kind]
        return [text(f"stat/{device}/RESULT", {"Button1": {"Action": action}}, retain=self.retains)]

    def routine(self, device: str, now: float) -> list[Said]:
        at = datetime.fromtimestamp(now, CHINA).strftime("%Y-%m-%dT%H:%M:%S")
        return [
            text(f"tele/{device}/STATE", {"Time": at, "Uptime": "0T04:10:12", "POWER": "OFF", "Wifi": {"RSSI": 62, "Signal": -69}}),
            text(f"tele/{device}/SENSOR", {"Time": at, "Switch1": "OFF"}),
        ]
