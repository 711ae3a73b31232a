"""One direction of each TCP connection in its order (RFC 9293): whatever order, repetition or overlap, the first copy of a byte wins.

A capture may begin in mid-connection and may miss segments: after GAP_S without the missing one the direction goes on behind the hole and
says so, so that a reader can find its feet again; it never stalls.
"""

from collections import Counter, OrderedDict
from typing import NamedTuple

from drivers.capture.pieces import Pieces

GAP_S = 1.5  # a lost segment is sent again after 0.2 to 1 s (RFC 6298); one that the mirror lost never is
IDLE_S = 7200.0  # SIP connections are kept open over quiet hours; two hours is also TCP's own keep-alive (RFC 9293, 3.8.4)
MAX_DIRECTIONS = 10_000
MAX_WAITING = 256 * 1024  # bytes behind a hole, in one direction, with what keeping them takes: a large receive window
MAX_BYTES = 32 * 1024 * 1024  # the same, of all directions
FAR = 4 * 1024 * 1024  # a sequence number this far from the expected is another connection whose SYN was missed

SYN = 0x02

Address = tuple[str, int]
Key = tuple[Address, Address]


class Stretch(NamedTuple):
    """Bytes of one direction. gap: they do not follow on from the last ones between these two: some are lost, or the connection is new."""

    source: Address
    destination: Address
    data: bytes
    gap: bool


class _Direction:
    __slots__ = ("gap_since", "is_new", "last", "pieces", "position", "sequence")

    def __init__(self, sequence: int, now: float) -> None:
        self.sequence = sequence  # of the byte at `position`
        self.position = 0
        self.pieces = Pieces()
        self.gap_since: float | None = None
        self.last = now
        self.is_new = True


class Tcp:
    """All directions. counts: tcp_gaps, tcp_evicted, tcp_repeated (bytes seen before)."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._directions: OrderedDict[Key, _Direction] = OrderedDict()
        self._waiting: OrderedDict[Key, _Direction] = OrderedDict()  # with a hole, in the order in which the holes were met
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._directions)

    def take(self, source: Address, destination: Address, sequence: int, flags: int, data: bytes, now: float) -> list[Stretch]:
        """One segment; gives what is now in order, of this direction and of others whose hole has lasted too long."""
        found = self.expire(now)
        key = (source, destination)
        if flags & SYN:
            sequence = (sequence + 1) % 2**32
        direction = self._directions.get(key)
        if direction is not None:
            ahead = _distance(direction.sequence, sequence)
            if not -FAR < ahead < FAR or (flags & SYN and ahead != -direction.position):  # at the beginning: the same SYN again
                self._forget(key)
                direction = None
        if direction is None:
            if not data and not flags & SYN:
                return found
            direction = self._directions[key] = _Direction(sequence, now)
            if len(self._directions) > MAX_DIRECTIONS:
                self._counts["tcp_evicted"] += 1
                self._forget(next(iter(self._directions)))
            ahead = 0
        else:
            self._directions.move_to_end(key)
        direction.last = now
        if not data:
            return found
        if ahead < 0:
            self._counts["tcp_repeated"] += min(-ahead, len(data))
            data, ahead = data[-ahead:], 0
            if not data:
                return found
        if ahead == 0 and not direction.pieces:  # the ordinary segment
            self._advance(direction, len(data))
            found.append(Stretch(source, destination, data, direction.is_new))
            direction.is_new = False
            return found
        held = direction.pieces.weight
        direction.pieces.add(direction.position + ahead, data)
        self._bytes += direction.pieces.weight - held
        if ahead == 0:
            found += self._drain(key, direction, gap=False)
        elif direction.gap_since is None:
            direction.gap_since = now
            self._waiting[key] = direction
        if direction.pieces and (direction.pieces.weight > MAX_WAITING or self._bytes > MAX_BYTES):
            found += self._skip(key, direction)
        return found

    def deadline(self) -> float | None:
        """When the oldest hole has lasted too long."""
        return next(iter(self._waiting.values())).gap_since + GAP_S if self._waiting else None  # type: ignore[operator]

    def expire(self, now: float) -> list[Stretch]:
        """Go on behind holes that nobody filled; forget connections that were silent for too long."""
        found: list[Stretch] = []
        while self._waiting:
            key, direction = next(iter(self._waiting.items()))
            if direction.gap_since is None or now - direction.gap_since < GAP_S:
                break
            found += self._skip(key, direction)
        while self._directions:
            key, direction = next(iter(self._directions.items()))
            if now - direction.last < IDLE_S:
                break
            self._forget(key)
        return found

    def finish(self) -> list[Stretch]:
        """The capture is over: what waits behind holes."""
        found: list[Stretch] = []
        while self._waiting:
            found += self._skip(*next(iter(self._waiting.items())))
        return found

    def _skip(self, key: Key, direction: _Direction) -> list[Stretch]:
        self._counts["tcp_gaps"] += 1
        self._advance(direction, direction.pieces.first - direction.position)
        return self._drain(key, direction, gap=True)

    def _drain(self, key: Key, direction: _Direction, *, gap: bool) -> list[Stretch]:
        held = direction.pieces.weight
        data = direction.pieces.take(direction.position)
        self._bytes -= held - direction.pieces.weight
        self._advance(direction, len(data))
        self._waiting.pop(key, None)
        if direction.pieces:  # there is one more hole: it gets its own time
            direction.gap_since = direction.last
            self._waiting[key] = direction
        else:
            direction.gap_since = None
        gap, direction.is_new = gap or direction.is_new, False
        return [Stretch(*key, data, gap)]

    def _advance(self, direction: _Direction, octets: int) -> None:
        direction.position += octets
        direction.sequence = (direction.sequence + octets) % 2**32

    def _forget(self, key: Key) -> None:
        direction = self._directions.pop(key)
        self._waiting.pop(key, None)
        self._bytes -= direction.pieces.weight


def _distance(expected: int, sequence: int) -> int:
    """How far ahead, -2^31 .. 2^31 - 1 (sequence numbers run round)."""
    return (sequence - expected + 2**31) % 2**32 - 2**31
