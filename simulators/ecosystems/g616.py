"""Chinese MQTT watches (G601, G616, G618): every value is text, `sos` is a state, places are shifted (GCJ-02), 0 is no reading."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from simulators.ecosystems.said import Said, text

MODELS: Mapping[str, Sequence[str]] = {"G616": ("sos",)}
CHINA = timezone(timedelta(hours=8))


class G616:
    """devices: IMEI → G616. The sos stands at "1" in every message until somebody resets it."""

    name = "g616"

    def __init__(self, devices: Mapping[str, str], *, place: str = "120.144752,30.317653") -> None:
        self.devices = devices
        self.place = place
        self._sos: set[str] = set()

    @property
    def will(self) -> Said | None:
        return None

    def kinds(self, device: str) -> Sequence[str]:
        return MODELS[self.devices[device]]

    def greeting(self, now: float) -> list[Said]:
        return [said for device in self.devices for said in self.routine(device, now)]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        if kind not in self.kinds(device):
            raise KeyError(kind)
        self._sos.add(device)
        return self.routine(device, now)

    def release(self, device: str) -> list[Said]:
        self._sos.discard(device)
        return []

    def routine(self, device: str, now: float) -> list[Said]:
        at = datetime.fromtimestamp(now, CHINA)
        body = {
            "imei": device,
            "heartRate": "0",
            "bpSystolic": "121",
            "bpDiastolic": "79",
            "bloodOxygen": "0",
            "temperature": "36.4",
            "battery": "64",
        }
        body |= {"sos": "1" if device in self._sos else "0", "locationDate": at.strftime("%y%m%d"), "locationTime": at.strftime("%H%M%S")}
        body |= {"location": self.place, "isWearing": "1", "isOnline": "1"}
        return [text(f"atom/g616/status/{device}", body)]
