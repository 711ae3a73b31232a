"""Hosts whose connections bring nothing but what must be refused: let in again after a growing time, never for long, never one that is believed.

For TCP alone: who can make a connection is where it says. A UDP address is whatever its sender wrote, and refusing it would let anybody silence a
panel by writing nonsense in its name; there only the number of datagrams is bounded (drivers.lines.datagram_peers).

A host from which a sound message came within the last day, or stands on a connection now, is never refused: thousands of watches share the address
of their mobile network, and one broken device among them must cost the others nothing.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping

FAILURES = 5  # connections in a row that brought nothing but refused messages: somebody who tries keys, or a device that was set up wrongly
FIRST_S = 1.0
LONGEST_S = 300.0  # a device that was set right is heard again within five minutes, without anybody doing anything here
SOUND_S = 26 * 3600.0  # panels that test once a day (EN 50136-1, 25 h), behind the address of one that was set up wrongly: heard when they cry
MAX_HOSTS = 10_000  # the one that failed longest ago is forgotten


class Quarantine:
    """Bounded, in memory; whoever is believed stays so through a restart (`believed`, `believe`). `now`: monotonic seconds."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # host → failures in a row, until when it is refused
        self._sound: OrderedDict[str, float] = OrderedDict()  # host → when its last sound connection ended, or began
        self._standing: Counter[str] = Counter()

    def sound(self, host: str, now: float) -> None:
        """A connection of this host brought a sound message for the first time. Its `ended` must follow."""
        self._standing[host] += 1
        self._failed.pop(host, None)
        self._note(host, now)

    def ended(self, host: str, now: float) -> None:
        """A connection that was told of by `sound` is over."""
        self._standing[host] -= 1
        if self._standing[host] <= 0:
            del self._standing[host]
        self._note(host, now)

    def failed(self, host: str, now: float) -> float:
        """A connection brought nothing but refused messages; for so many seconds the next ones are refused, 0 for none."""
        if self._is_believed(host, now):
            return 0.0
        failures = self._failed.pop(host, (0, 0.0))[0] + 1
        refused_s = 0.0 if failures < FAILURES else min(FIRST_S * 2.0 ** min(failures - FAILURES, 20), LONGEST_S)
        self._failed[host] = failures, now + refused_s
        if len(self._failed) > MAX_HOSTS:
            self._failed.popitem(last=False)
        return refused_s

    def refuses(self, host: str, now: float) -> bool:
        """Is a new connection of it refused?"""
        known = self._failed.get(host)
        return known is not None and now < known[1] and not self._is_believed(host, now)

    def believed(self, now: float) -> dict[str, float]:
        """host → for how many seconds nothing sound has come from it, of those that are never refused."""
        found = {host: now - at for host, at in self._sound.items() if now - at < SOUND_S}
        return found | dict.fromkeys(self._standing, 0.0)

    def believe(self, hosts: Mapping[str, float], now: float) -> None:
        """What `believed` said before a restart, that much older."""
        for host, ago_s in sorted(hosts.items(), key=lambda one: -one[1])[-MAX_HOSTS:]:
            if host not in self._sound and 0 <= ago_s < SOUND_S:
                self._sound[host] = now - ago_s

    def _is_believed(self, host: str, now: float) -> bool:
        return host in self._standing or now - self._sound.get(host, -SOUND_S) < SOUND_S

    def _note(self, host: str, now: float) -> None:
        self._sound.pop(host, None)
        self._sound[host] = now
        if len(self._sound) > MAX_HOSTS:
            self._sound.popitem(last=False)
