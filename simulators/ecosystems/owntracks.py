"""OwnTracks on phones: locations that the broker keeps, hours of points in one burst, wills on the topic of locations. Nothing here is a cry."""

from collections.abc import Mapping, Sequence

from simulators.ecosystems.said import Said, text

MODELS: Mapping[str, Sequence[str]] = {"phone": ()}


class OwnTracks:
    """devices: USER/DEVICE → phone. A manual publish (`t` = u) is a user's doing, but no cry: a profile of one's own may say otherwise."""

    name = "owntracks"

    def __init__(self, devices: Mapping[str, str], *, lat: float = 30.3200, lon: float = 120.1400) -> None:
        self.devices = devices
        self.lat, self.lon = lat, lon
        self._since = 0

    @property
    def will(self) -> Said | None:
        """Of the first phone; its tst says when the app first connected, perhaps days ago."""
        first = next(iter(self.devices))
        return text(f"owntracks/{first}", {"_type": "lwt", "tst": self._since or 1_700_000_000}, qos=1)

    def kinds(self, device: str) -> Sequence[str]:
        return ()

    def greeting(self, now: float) -> list[Said]:
        self._since = self._since or int(now)
        cards = [text(f"owntracks/{device}/info", {"_type": "card", "name": "simulated"}, qos=1, retain=True) for device in self.devices]
        return cards + [self._point(device, now, now, "p") for device in self.devices]

    def press(self, device: str, kind: str, now: float) -> list[Said]:
        """Somebody taps "publish"."""
        return [self._point(device, now, now, "u")]

    def routine(self, device: str, now: float) -> list[Said]:
        return [self._point(device, now, now, "t")]

    def burst(self, device: str, hours: int, now: float) -> list[Said]:
        """The phone has network again: a point of every ten minutes since, newest last, all built now."""
        return [self._point(device, now - age * 600, now, "v") for age in range(hours * 6, 0, -1)]

    def leave(self, device: str, place: str, now: float) -> list[Said]:
        """A transition out of a region that the user has drawn."""
        body = {
            "_type": "transition",
            "desc": place,
            "event": "leave",
            "lat": self.lat,
            "lon": self.lon,
            "acc": 12,
            "tst": int(now),
            "wtst": 1_610_104_395,
        }
        return [text(f"owntracks/{device}/event", body | {"t": "c", "tid": "s1"}, qos=1)]

    def _point(self, device: str, at: float, now: float, why: str) -> Said:
        body = {"_type": "location", "lat": self.lat, "lon": self.lon, "acc": 14, "batt": 71, "bs": 1, "conn": "m", "vel": 0, "tid": "s1", "t": why}
        return text(f"owntracks/{device}", body | {"tst": int(at), "created_at": int(now)}, qos=1, retain=True)
