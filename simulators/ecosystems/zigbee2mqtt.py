"""A Zigbee2MQTT bridge: QoS 0, the whole state with each linkquality report, actions that are put back, old copies, a start that tells everything."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from simulators.ecosystems.said import Said, text

RADIO_RETRY_S = 0.4  # a button that misses its acknowledgement sends once more within a second or so
RESET_S = 0.05
MODELS: Mapping[str, Mapping[str, Any]] = {
    # model: the state it remembers, and what a press changes in it (a boolean), says as an action, or walks through (a status)
    "TS0215A_sos": {"state": {"battery": None}, "action": {"sos": "emergency"}},
    "TS0601_sos": {"state": {"battery": 0}, "action": {"sos": "emergency"}},
    "ZG-101Z": {"state": {"battery": 88}, "action": {"sos": "sos"}},
    "SEB01ZB": {"state": {"battery": 100, "sos": False}, "flag": {"sos": "sos"}},
    "SJCGQ11LM": {"state": {"battery": 100, "voltage": 3055, "water_leak": False}, "flag": {"water_leak": "water_leak"}},
    "MIR-HE200-TY": {"state": {"fall_down_status": "none", "presence": True}, "walk": {"fall": ("fall_down_status", ("maybe_fall", "fall"))}},
}


class Zigbee2Mqtt:
    """devices: friendly name (with slashes, if somebody likes them) → model.

    legacy: each action goes out on …/action too, as plain text. caches: cache_state_send_on_startup, which is the default.
    """

    name = "zigbee2mqtt"

    def __init__(self, devices: Mapping[str, str], *, base: str = "zigbee2mqtt", legacy: bool = True, caches: bool = True, seed: object = 0) -> None:
        self.devices = devices
        self.base = base
        self.legacy = legacy
        self.caches = caches
        self._chance = random.Random(f"{base}:{seed}")
        self._state = {device: dict(MODELS[model]["state"]) for device, model in devices.items()}

    @property
    def will(self) -> Said | None:
        return text(f"{self.base}/bridge/state", {"state": "offline"}, qos=1, retain=True)

    def kinds(self, device: str) -> Sequence[str]:
        model = MODELS[self.devices[device]]
        return [kind for word in ("action", "flag", "walk") for kind in model.get(word, ())]

    def greeting(self, now: float) -> list[Said]:
        said = [text(f"{self.base}/bridge/state", {"state": "online"}, qos=1, retain=True)]
        listed = [
            {"ieee_address": f"0x{number:016x}", "friendly_name": device, "type": "EndDevice", "definition": {"model": model, "exposes": []}}
            for number, (device, model) in enumerate(self.devices.items(), 0x847127FFFE000000)
        ]
        said.append(text(f"{self.base}/bridge/devices", listed, retain=True))
        said += [text(f"{self.base}/{device}/availability", {"state": "online"}, qos=1, retain=True) for device in self.devices]
        if self.caches:  # everything that it remembers, as if it had just come in; actions are never remembered
            said += [self._publish(device, self._state[device]) for device in self.devices]
        return said

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        model, state = MODELS[self.devices[device]], self._state[device]
        if kind in model.get("action", {}):
            return self._act(device, model["action"][kind])
        if kind in model.get("flag", {}):
            state[model["flag"][kind]] = True
            return [self._publish(device, state)]
        field, words = model["walk"][kind]
        said = []
        for number, word in enumerate(words):
            state[field] = word
            said.append(self._publish(device, state, number * 0.2))
        return said

    def release(self, device: str) -> list[Said]:
        """Whatever the device holds up goes back: the leak is dry, the cord is reset."""
        self._state[device] = dict(MODELS[self.devices[device]]["state"])
        return [self._publish(device, self._state[device])]

    def routine(self, device: str, now: float) -> list[Said]:
        """A linkquality report: the whole state again, whatever stands in it."""
        return [self._publish(device, self._state[device])]

    def press_itself(self, device: str) -> list[Said]:
        """What a TS0601 does when its cell is weak: an emergency that nobody pressed. To all others it is one."""
        return self._act(device, "emergency")

    def _act(self, device: str, action: str) -> list[Said]:
        said = []
        for wait_s in (0.0, RADIO_RETRY_S):
            said.append(self._publish(device, {"action": action, **self._state[device]}, wait_s))
            if self.legacy:
                said.append(text(f"{self.base}/{device}/action", action, after_s=wait_s))
            said.append(self._publish(device, {"action": "", **self._state[device]}, wait_s + RESET_S))
            if self.legacy:
                said.append(text(f"{self.base}/{device}/action", "", after_s=wait_s + RESET_S))
        return said

    def _publish(self, device: str, state: Mapping[str, object], after_s: float = 0.0) -> Said:
        return text(f"{self.base}/{device}", {**state, "linkquality": self._chance.randint(20, 200)}, after_s=after_s)
