"""An ESPHome node with a pull cord: plain ON and OFF, kept by the broker, said again whenever it connects."""

from collections.abc import Mapping, Sequence

from simulators.ecosystems.said import Said, text

MODELS: Mapping[str, Sequence[str]] = {"pull_cord": ("sos",)}


class EspHome:
    """devices: NODE → pull_cord; a node is a connection of its own. The cord stays pulled until `release`."""

    name = "esphome"

    def __init__(self, devices: Mapping[str, str], *, component: str = "sos_cord") -> None:
        self.devices = devices
        self.component = component
        self._pulled: set[str] = set()

    @property
    def will(self) -> Said | None:
        return text(f"{next(iter(self.devices))}/status", "offline", retain=True)

    def kinds(self, device: str) -> Sequence[str]:
        return MODELS[self.devices[device]]

    def greeting(self, now: float) -> list[Said]:
        return [said for device in self.devices for said in (text(f"{device}/status", "online", retain=True), *self.routine(device, now))]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        if kind not in self.kinds(device):
            raise KeyError(kind)
        self._pulled.add(device)
        return self.routine(device, now)

    def release(self, device: str) -> list[Said]:
        self._pulled.discard(device)
        return self.routine(device, 0)

    def routine(self, device: str, now: float) -> list[Said]:
        return [text(f"{device}/binary_sensor/{self.component}/state", "ON" if device in self._pulled else "OFF", retain=True)]
