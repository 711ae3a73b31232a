"""Who is expected to give a sign of life, how often, and through what: the register's devices by class, and the paths they share.

A path is a street gateway, hub or bridge with everything that speaks through it (Device.via), or a line with everything that speaks on it for
itself. The objects here are changed only when a draft settles: a hundred thousand devices cost one object each, and nothing in asyncio.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import msgspec

from gateway.config import DeviceClassConfig
from gateway.core.register import Ability, Device, Person, Register, Risk

_ABILITY = {Ability.DISABLED: 0, Ability.SEMI_DISABLED: 1, Ability.SELF_CARING: 2}


class Path:
    """What many devices speak through. key: of its incident; leader: the device that it is, None for a line; heard_at: newest sign of any member."""

    __slots__ = ("heard", "heard_at", "key", "leader", "line", "members")

    def __init__(self, key: str, line: str | None, leader: Device | None = None) -> None:
        self.key = key
        self.line = line
        self.leader = leader
        self.members: dict[str, Supervised] = {}
        self.heard = 0  # members that were ever heard: those that were never are no sign of an outage
        self.heard_at: datetime | None = None


class Supervised:
    """One device of a class. name: under which it is due; order: its place on a list of silent ones, smaller is worse; at: its newest sign."""

    __slots__ = ("at", "device", "line", "name", "order", "path", "rules", "window")

    def __init__(self, device: Device, rules: DeviceClassConfig, person: Person | None) -> None:
        self.device = device
        self.name = f"device:{device.line or ''}|{device.id}"
        self.rules = rules
        self.window = timedelta(seconds=rules.interval_s + rules.grace_s)
        self.order = order_of(rules, person)
        self.line = device.line  # one registered for any line is on that where it was last heard
        self.path: Path | None = None
        self.at: datetime | None = None

    @property
    def address(self) -> tuple[str, str]:
        """Line and address, as events have them."""
        return self.line or "", self.device.id


class Silence(msgspec.Struct, frozen=True, gc=False):
    """A device that is silent.

    state     own: an incident of its own; path: its path is out; listed: on a list after an outage; grace: the path is back, it has one
              window to say so
    incident  which tells of it
    """

    state: str
    incident: str

    @property
    def counts(self) -> bool:
        """Does it speak against its path? Not after an outage: who has a window, or did not come back within it, is known already."""
        return self.state in ("own", "path")


def order_of(rules: DeviceClassConfig, person: Person | None) -> int:
    """Risk order: of the class, then who lives alone, then who can do least alone, then the oldest (domain 4.7). One small number."""
    if person is None:
        return rules.risk * 12 + 11
    alone = Risk.LIVING_ALONE not in person.risks and Risk.NO_KIN not in person.risks
    return rules.risk * 12 + alone * 6 + _ABILITY[person.ability] * 2 + (Risk.ADVANCED_AGE not in person.risks)


class Supervision:
    """The devices by what they are called, and the paths. Built for each register anew; what is known of a device moves over."""

    def __init__(self, register: Register | None = None, classes: Iterable[DeviceClassConfig] = (), lines: Mapping[str, str] | None = None) -> None:
        """lines: the class of the devices on a line that name none themselves."""
        self.by_name: dict[str, Supervised] = {}
        self._by_device: dict[tuple[str | None, str], Supervised] = {}
        self.paths: dict[str, Path] = {}
        self._led: dict[tuple[str | None, str], Path] = {}
        rules = {one.name: one for one in classes}
        if register is None or not rules:
            return
        names = {device.id: device for device in register.devices}
        leaders = {device.via for device in register.devices if device.via}
        for device in register.devices:
            of_class = rules.get(device.device_class or (lines or {}).get(device.line or "", ""))
            if of_class is None or (not device.device_class and (device.id in leaders or _is_zone(register, device))):
                continue  # the panel answers for its zones; not every gateway has a voice of its own beside what it passes on
            one = Supervised(device, of_class, register.persons.get(device.person or ""))
            self.by_name[one.name] = self._by_device[device.line, device.id] = one
            leader = (register.device(device.line or "", device.via) or names.get(device.via)) if device.via else None
            if leader is not None:
                path = self._path(f"path:{leader.id}", leader.line or device.line, leader)
                self._led[leader.line, leader.id] = path
                self._join(one, path)
            elif device.line is not None:
                self._join(one, self._path(f"path:line:{device.line}", device.line))

    def amend(self, register: Register, key: tuple[str | None, str], classes: Iterable[DeviceClassConfig], lines: Mapping[str, str]) -> bool:
        """One device is otherwise, new or gone; what is known of it stays. False: others speak through it, so that all must be built anew."""
        device = register.device_of(*key)
        if key in self._led or (device is not None and device.via) or any(other.via == key[1] for other in register.devices):
            return False
        rules = {one.name: one for one in classes}
        before = self._by_device.pop(key, None)
        if before is not None:
            del self.by_name[before.name]
            if before.path is not None:
                del before.path.members[before.name]
                before.path.heard -= before.at is not None
        of_class = rules.get(device.device_class or lines.get(device.line or "", "")) if device is not None else None
        if device is None or of_class is None or (not device.device_class and _is_zone(register, device)):
            return True
        one = Supervised(device, of_class, register.persons.get(device.person or ""))
        self.by_name[one.name] = self._by_device[key] = one
        if device.line is not None:
            self._join(one, self._path(f"path:line:{device.line}", device.line))
        if before is not None and before.at is not None:
            self.heard(one, before.at, before.line or "")
        return True

    def of(self, device: Device | None) -> Supervised | None:
        """What is expected of a device; None: nothing."""
        return self._by_device.get((device.line, device.id)) if device is not None else None

    def led_by(self, device: Device | None) -> Path | None:
        """The path that this device is."""
        return self._led.get((device.line, device.id)) if device is not None and self._led else None

    def heard(self, one: Supervised, at: datetime, line: str) -> None:
        """It gave a sign of life."""
        path = one.path
        if path is None or (one.line != line and path.leader is None):
            one.line = line
            path = self._move(one, self._path(f"path:line:{line}", line))
        if one.at is None:
            path.heard += 1
            one.at = at
        elif at > one.at:
            one.at = at
        if path.heard_at is None or at > path.heard_at:
            path.heard_at = at

    def take_over(self, before: "Supervision") -> None:
        """What the supervision by the register before knew."""
        for name, one in self.by_name.items():
            known = before.by_name.get(name)
            if known is not None and known.at is not None:
                self.heard(one, known.at, known.line or "")

    def silent_behind(self, silent: Mapping[str, Silence]) -> Mapping[str, int]:
        """Path → how many of its devices are silent (Silence.counts), without those never heard."""
        counts: Counter[str] = Counter()
        for name, silence in silent.items():
            one = self.by_name.get(name)
            if one is not None and one.path is not None and one.at is not None and silence.counts:
                counts[one.path.key] += 1
        return counts

    def shift(self, by: timedelta) -> None:
        """The wall clock stepped: every time moves with it."""
        for one in self.by_name.values():
            if one.at is not None:
                one.at += by
        for path in self.paths.values():
            if path.heard_at is not None:
                path.heard_at += by

    def counts(self, silent: Mapping[str, Silence]) -> Iterator[tuple[str, str, int]]:
        """(class, state, how many): alive, overdue, never, unknown_path. For metrics, when somebody scrapes: 10 ms for 100,000."""
        found: dict[tuple[str, str], int] = {}
        for one in self.by_name.values():
            silence = silent.get(one.name)
            if silence is not None and silence.state in ("path", "grace"):
                state = "unknown_path"
            elif one.at is None:
                state = "never"
            else:
                state = "alive" if silence is None else "overdue"
            found[one.rules.name, state] = found.get((one.rules.name, state), 0) + 1
        for name in sorted({name for name, _ in found}):
            for state in ("alive", "overdue", "never", "unknown_path"):
                yield name, state, found.get((name, state), 0)

    def longest(self, silent: Mapping[str, Silence], now: datetime) -> float:
        """Seconds past its window, of the device that is silent longest; 0 when none is."""
        late = (
            (now - one.at - one.window).total_seconds()
            for name, silence in silent.items()
            if silence.state != "grace" and (one := self.by_name.get(name)) is not None and one.at is not None
        )
        return max(0.0, max(late, default=0.0))

    def _path(self, key: str, line: str | None, leader: Device | None = None) -> Path:
        path = self.paths.get(key)
        if path is None:
            path = self.paths[key] = Path(key, line, leader)
        return path

    def _join(self, one: Supervised, path: Path) -> None:
        one.path = path
        path.members[one.name] = one

    def _move(self, one: Supervised, path: Path) -> Path:
        if one.path is not None:
            del one.path.members[one.name]
            one.path.heard -= one.at is not None
            path.heard += one.at is not None
        self._join(one, path)
        return path


def _is_zone(register: Register, device: Device) -> bool:
    account, colon, _ = device.id.partition(":")
    return bool(colon) and register.device(device.line or "", account) is not None
