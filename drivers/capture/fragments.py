"""IP fragments put together (RFC 791, 3.2; RFC 8200, 4.5): any order, first copy wins, bounded in time, number and bytes."""

from collections import Counter, OrderedDict

from drivers.capture.pieces import Pieces

HOLD_S = 30.0  # RFC 791 asks for 15 s at least, Linux waits 30
MAX_DATAGRAMS = 1024  # begun at a time; a large INVITE has two or three fragments and is whole within a millisecond
MAX_PIECES = 256  # of one datagram: 64 KiB in the smallest packets that IPv4 allows (576) are 119
MAX_BYTES = 16 * 1024 * 1024  # of all that wait: the table full of 16 KiB each
MAX_DATAGRAM = 65_535

Key = tuple[bytes, bytes, int, int]  # source, destination, identification, protocol


class _Datagram:
    __slots__ = ("began", "header", "pieces", "total")

    def __init__(self, began: float) -> None:
        self.began = began
        self.pieces = Pieces()
        self.total: int | None = None
        self.header: int | None = None


class Fragments:
    """counts: fragments_expired, fragments_evicted, fragments_bad."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._begun: OrderedDict[Key, _Datagram] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._begun)

    def take(self, key: Key, protocol: int, offset: int, more: bool, data: bytes, now: float) -> tuple[int, bytes] | None:
        """One fragment: `offset` in octets. (protocol, payload) once the datagram is whole; the protocol is the first fragment's."""
        self._expire(now)
        if not data or offset + len(data) > MAX_DATAGRAM or (more and len(data) % 8):
            self._counts["fragments_bad"] += 1
            return None
        datagram = self._begun.get(key)
        if datagram is None:
            datagram = self._begun[key] = _Datagram(now)
        before = datagram.pieces.weight
        datagram.pieces.add(offset, data)
        self._bytes += datagram.pieces.weight - before
        if offset == 0 and datagram.header is None:
            datagram.header = protocol
        if not more and datagram.total is None:
            datagram.total = offset + len(data)
        whole = self._whole(key, datagram)
        if whole is None:
            if len(datagram.pieces) > MAX_PIECES:
                self._drop(key, "fragments_bad")
            while len(self._begun) > MAX_DATAGRAMS or self._bytes > MAX_BYTES:
                self._drop(next(iter(self._begun)), "fragments_evicted")
        return whole

    def _whole(self, key: Key, datagram: _Datagram) -> tuple[int, bytes] | None:
        pieces, total = datagram.pieces, datagram.total
        if total is None or datagram.header is None or pieces.size < total:
            return None
        held = pieces.weight
        data = pieces.take(0)  # pieces do not overlap: as many bytes as the total, from 0 on, have no hole unless some lie behind the end
        self._bytes -= held
        del self._begun[key]
        if len(data) < total:
            self._counts["fragments_bad"] += 1
            return None
        return datagram.header, data[:total]

    def _expire(self, now: float) -> None:
        while self._begun:
            key = next(iter(self._begun))
            if now - self._begun[key].began < HOLD_S:
                return
            self._drop(key, "fragments_expired")

    def _drop(self, key: Key, why: str) -> None:
        self._bytes -= self._begun.pop(key).pieces.weight
        self._counts[why] += 1
