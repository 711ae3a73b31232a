"""Byte ranges that arrived in any order. Where two overlap the first copy stands: a later one cannot rewrite what was seen."""

from bisect import bisect_left, bisect_right

OVERHEAD = 128  # octets that Python needs beside those of a range


class Pieces:
    """Sorted ranges without overlap. `size`: bytes held; `len`: ranges."""

    __slots__ = ("_data", "_starts", "size")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._data: dict[int, bytes] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def weight(self) -> int:
        """Memory it takes, about: for limits that many small ranges must not get round."""
        return self.size + OVERHEAD * len(self._starts)

    @property
    def first(self) -> int:
        """Where the lowest range begins. IndexError when nothing is held."""
        return self._starts[0]

    def add(self, start: int, data: bytes) -> None:
        """Keep what of these bytes is new."""
        starts = self._starts
        before = bisect_right(starts, start) - 1
        if before >= 0:
            covered = starts[before] + len(self._data[starts[before]]) - start
            if covered > 0:
                start, data = start + covered, data[covered:]
        while data:
            at = bisect_left(starts, start)
            room = starts[at] - start if at < len(starts) else len(data)
            if piece := data[:room]:
                starts.insert(at, start)
                self._data[start] = piece
                self.size += len(piece)
            if room >= len(data):
                return
            skip = room + len(self._data[start + room])
            start, data = start + skip, data[skip:]

    def take(self, position: int) -> bytes:
        """Everything that follows on from `position` without a hole; it is forgotten here. Ranges that begin before it must be gone."""
        found = []
        while self._starts and self._starts[0] == position:
            piece = self._data.pop(self._starts.pop(0))
            self.size -= len(piece)
            position += len(piece)
            found.append(piece)
        return b"".join(found)
