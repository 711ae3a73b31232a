"""Theengs or OpenMQTTGateway: one press is several adverts, each heard by several gateways, all under one packet number."""

import random
from collections.abc import Mapping, Sequence

from simulators.ecosystems.said import Said, text

ADVERTS = 3
ADVERT_S = 0.08
PRESSES = {"help": 1, "sos": 9}  # single and long


class Theengs:
    """devices: MAC in capital letters without colons → SBBT-002C. The will is the first gateway's; all of them share one connection here."""

    name = "theengs"

    def __init__(self, devices: Mapping[str, str], *, gateways: Sequence[str] = ("omg1", "omg2", "omg3"), base: str = "home") -> None:
        self.devices = devices
        self.gateways = gateways
        self.base = base
        self._packet: dict[str, int] = {}
        self._chance = random.Random(f"theengs:{base}")

    @property
    def will(self) -> Said | None:
        return text(f"{self.base}/{self.gateways[0]}/LWT", "offline", retain=True)

    def kinds(self, device: str) -> Sequence[str]:
        return list(PRESSES)

    def greeting(self, now: float) -> list[Said]:
        return [text(f"{self.base}/{gateway}/LWT", "online", retain=True) for gateway in self.gateways]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        return self._advertise(device, PRESSES[kind])

    def routine(self, device: str, now: float) -> list[Said]:
        """The beacon of a button: the same kind of advert, and nobody has pressed."""
        return self._advertise(device, 0)

    def _advertise(self, device: str, button: int) -> list[Said]:
        packet = self._packet[device] = (self._packet.get(device, 28) + 1) % 256
        said = []
        for number in range(ADVERTS):
            for gateway in self._chance.sample(self.gateways, self._chance.randint(2, len(self.gateways))):
                body = {"brand": "Shelly", "model": "ShellyBLU Button1", "model_id": "SBBT-002C", "type": "BTN", "acts": True, "cont": True}
                body |= {"packet": packet, "batt": 100, "button": button, "rssi": self._chance.randint(-95, -45)}
                if gateway != self.gateways[-1]:  # the last has an older firmware: the address stands in the topic alone
                    body["mac"] = ":".join(device[at : at + 2] for at in range(0, 12, 2))
                said.append(text(f"{self.base}/{gateway}/BTtoMQTT/{device}", body, after_s=number * ADVERT_S))
        return said
