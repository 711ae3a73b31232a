"""The Things Stack v3: QoS 0, zero and false and empty left out, EUIs in upper case, TRUE and FALSE as text, tests marked `simulated`."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from simulators.ecosystems.chirpstack import place
from simulators.ecosystems.said import Said, text

MODELS: Mapping[str, Sequence[str]] = {"LGT-92": ("sos",)}


class ThingsStack:
    """devices: DevEUI (in small letters, as registers have it; the wire has capitals) → model.

    Their device ids are lgt92-1 and so on: unique in one application only.
    """

    name = "things_stack"

    def __init__(self, devices: Mapping[str, str], *, application: str = "care@simulated") -> None:
        self.devices = devices
        self.application = application
        self._counter: dict[str, int] = {}
        self._names = {device: f"lgt92-{number}" for number, device in enumerate(devices, 1)}

    @property
    def will(self) -> Said | None:
        return None

    def kinds(self, device: str) -> Sequence[str]:
        return MODELS[self.devices[device]]

    def greeting(self, now: float) -> list[Said]:
        return []

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        if kind not in self.kinds(device):
            raise KeyError(kind)
        return [self._up(device, now, is_alarm=True)]

    def routine(self, device: str, now: float) -> list[Said]:
        return [self._up(device, now)]

    def rehearse(self, device: str, now: float) -> list[Said]:
        """Somebody tries the alarm from the server's web page: `simulated`."""
        return [self._up(device, now, is_alarm=True, is_simulated=True)]

    def _up(self, device: str, now: float, *, is_alarm: bool = False, is_simulated: bool = False) -> Said:
        counter = self._counter.get(device, 0)
        self._counter[device] = counter + 1
        name, at = self._names[device], datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        uplink: dict[str, object] = {
            "session_key_id": "AYc2sPgqXPJw0BmkQJvPuQ==",
            "f_port": 2,
            "frm_payload": base64.b64encode(place(30.3200, 120.1400, is_alarm, 3360)).decode(),
            "decoded_payload": {"ALARM_status": "TRUE" if is_alarm else "FALSE", "BatV": 3.36, "Latitude": 30.32, "Longitud": 120.14},
            "rx_metadata": [{"gateway_ids": {"gateway_id": f"g{number}"}, "rssi": -95 - number, "snr": 4.2 - number} for number in range(2)],
            "received_at": at,
            "consumed_airtime": "0.061696s",
        }
        if counter:
            uplink["f_cnt"] = counter
        body: dict[str, object] = {
            "end_device_ids": {
                "device_id": name,
                "application_ids": {"application_id": self.application.partition("@")[0]},
                "dev_eui": device.upper(),
            },
            "received_at": at,
            "uplink_message": uplink,
        }
        if is_simulated:
            body["simulated"] = True
        return text(f"v3/{self.application}/devices/{name}/up", body)
