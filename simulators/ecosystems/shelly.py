"""Shelly buttons of both generations: the first says its last press again and again, the second tells pushes and releases in one list."""

from collections.abc import Mapping, Sequence

from simulators.ecosystems.said import Said, text

FIRST = {"help": "S", "sos": "L"}
SECOND = {"help": "single_push", "sos": "long_push"}


class Shelly:
    """devices: device id (shellybutton1-ID, shellyplus1-ID) → gen1 or gen2; a device is a connection of its own.

    floats: a bridge in between counts in floating point, so that event 37 is 37.0.
    """

    name = "shelly"

    def __init__(self, devices: Mapping[str, str], *, floats: bool = False) -> None:
        self.devices = devices
        self.floats = floats
        self._count: dict[str, int] = {}
        self._last: dict[str, str] = {}

    @property
    def will(self) -> Said | None:
        device = next(iter(self.devices))
        return text(self._online(device), "false", qos=1, retain=True)

    def kinds(self, device: str) -> Sequence[str]:
        return list(FIRST)

    def greeting(self, now: float) -> list[Said]:
        return [said for device in self.devices for said in (text(self._online(device), "true", qos=1, retain=True), *self.routine(device, now))]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        if self.devices[device] == "gen1":
            self._count[device] = self._count.get(device, 0) + 1
            self._last[device] = FIRST[kind]
            return [self._input(device)]
        pushes = [self._push(word, at) for word, at in (("btn_down", now), (SECOND[kind], now + 0.01), ("btn_up", now + 0.02))]
        return [self._notice(device, pushes[:1], now), self._notice(device, pushes[1:], now)]

    def routine(self, device: str, now: float) -> list[Said]:
        """The first generation repeats its last press with the same count, the second its status."""
        if self.devices[device] == "gen1":
            return [self._input(device), text(f"shellies/{device}/sensor/battery", "87")]
        return [text(f"{device}/status/input:0", {"id": 0, "state": None})]

    def _online(self, device: str) -> str:
        return f"shellies/{device}/online" if self.devices[device] == "gen1" else f"{device}/online"

    def _input(self, device: str) -> Said:
        count = self._count.get(device, 0)
        return text(f"shellies/{device}/input_event/0", {"event": self._last.get(device, ""), "event_cnt": float(count) if self.floats else count})

    def _push(self, word: str, at: float) -> dict[str, object]:
        return {"component": "input:0", "id": 0, "event": word, "ts": round(at, 2)}

    def _notice(self, device: str, events: list[dict[str, object]], now: float) -> Said:
        body = {"src": device, "dst": f"{device}/events", "method": "NotifyEvent", "params": {"ts": round(now, 2), "events": events}}
        return text(f"{device}/events/rpc", body)
