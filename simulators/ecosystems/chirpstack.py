"""A ChirpStack v4 network server: zeros are absent, frame counters begin anew with each join, several radio gateways hear one uplink."""

import base64
import random
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from simulators.ecosystems.said import Said, text

BATTERY = bytes([0x01, 0x75, 0x64])  # Milesight: channel 01 type 75, 100 %
GATEWAYS = ("0016c001f153a14c", "0016c001f153a14d", "24e124fffef1a2b3")


class Model(NamedTuple):
    """profile: name of the device profile; port; press: kind → bytes; routine: bytes."""

    profile: str
    port: int
    press: Mapping[str, bytes]
    routine: bytes


def place(lat: float, lon: float, is_alarm: bool, millivolts: int) -> bytes:
    """Dragino TrackerD and LGT-92, port 2: lat, lon in millionths of a degree, then bit 14 alarm and 14 bits of millivolts; some bytes more."""
    return (
        round(lat * 1e6).to_bytes(4, "big", signed=True)
        + round(lon * 1e6).to_bytes(4, "big", signed=True)
        + (is_alarm << 14 | millivolts).to_bytes(2, "big")
        + bytes.fromhex("6000")
    )


MODELS: Mapping[str, Model] = {
    "WS101": Model("WS101", 85, {"help": BATTERY + bytes([0xFF, 0x2E, 0x01]), "sos": BATTERY + bytes([0xFF, 0x2E, 0x02])}, BATTERY),
    "VS373": Model("VS373", 85, {"fall": bytes.fromhex("03F80400A0053C0A")}, bytes.fromhex("03F80100A0053C0A")),
    "TrackerD": Model("TrackerD", 2, {"sos": place(30.3200, 120.1400, True, 3360)}, place(30.3200, 120.1400, False, 3360)),
}


class ChirpStack:
    """devices: DevEUI → model. `twice`: a second integration publishes every uplink once more, under the same deduplication id."""

    name = "chirpstack"

    def __init__(self, devices: Mapping[str, str], *, application: str = "17c82e96-be03-4f38-aef3-f83d48582d97", twice: bool = True) -> None:
        self.devices = devices
        self.application = application
        self.twice = twice
        self._chance = random.Random(f"chirpstack:{application}")
        self._counter: dict[str, int] = {}
        self._joins: dict[str, int] = {}

    @property
    def will(self) -> Said | None:
        return None

    def kinds(self, device: str) -> Sequence[str]:
        return list(MODELS[self.devices[device]].press)

    def greeting(self, now: float) -> list[Said]:
        return [said for device in self.devices for said in self.join(device, now)]

    def join(self, device: str, now: float) -> list[Said]:
        """The device has rebooted: a new address on the air, and its next frame is number 0 again."""
        self._counter[device] = 0
        self._joins[device] = self._joins.get(device, 0) + 1
        return [self._event(device, "join", {}, now)]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        return self._up(device, MODELS[self.devices[device]].press[kind], now)

    def routine(self, device: str, now: float) -> list[Said]:
        """A periodic uplink, a status now and then, and what the server has to say of the radio."""
        said = self._up(device, MODELS[self.devices[device]].routine, now)
        if self._chance.random() < 0.3:
            said.append(self._event(device, "status", {"margin": 12, "batteryLevel": self._chance.randint(60, 100)}, now))
        if self._chance.random() < 0.1:
            said.append(self._event(device, "log", {"level": "ERROR", "code": "UPLINK_MIC", "description": "invalid MIC"}, now))
        return said

    def _up(self, device: str, data: bytes, now: float) -> list[Said]:
        model = MODELS[self.devices[device]]
        counter = self._counter.get(device, 0)
        self._counter[device] = counter + 1
        heard = [
            {
                "gatewayId": gateway,
                "uplinkId": self._chance.randrange(2**32),
                "rssi": self._chance.randint(-120, -36),
                "snr": round(5 - 4.5 * number, 1),
            }
            | ({"location": {"latitude": 30.33, "longitude": 120.15}} if number == 0 else {})  # where the gateway stands, not the person
            for number, gateway in enumerate(self._chance.sample(GATEWAYS, self._chance.randint(1, len(GATEWAYS))))
        ]
        body: dict[str, object] = {"devAddr": self._address(device), "dr": 1, "fPort": model.port, "data": base64.b64encode(data).decode()}
        if counter:  # 0 is the default of the wire's own format: left out
            body["fCnt"] = counter
        said = self._event(device, "up", body | {"rxInfo": heard, "txInfo": {"frequency": 470_300_000}}, now)
        return [said, said] if self.twice else [said]

    def _event(self, device: str, event: str, body: Mapping[str, object], now: float) -> Said:
        whole = {
            "deduplicationId": str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "023+00:00"),  # with nanoseconds
            "deviceInfo": {
                "tenantName": "ChirpStack",
                "applicationId": self.application,
                "deviceProfileName": MODELS[self.devices[device]].profile,
                "deviceName": f"simulated {device[-4:]}",
                "devEui": device,
                "tags": {},
            },
            **body,
        }
        return text(f"application/{self.application}/device/{device}/event/{event}", whole)

    def _address(self, device: str) -> str:
        return f"{int(device[-6:], 16) + (self._joins.get(device, 0) << 24) & 0xFFFFFFFF:08x}"
