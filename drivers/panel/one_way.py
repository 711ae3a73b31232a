"""What codecs share whose protocol has no receipts: there is nothing to confirm, and nothing to refuse."""

from drivers.contract import Rejected, Signal


class OneWay:
    """The part of a codec that answers nothing. What it says by its own doing it puts into `_outgoing`."""

    peer_repeats = False  # the line holds what cannot be stored

    def __init__(self) -> None:
        self._outgoing = bytearray()

    def confirm(self, signal: Signal | Rejected) -> None:
        """The protocol has no receipts."""

    def refuse(self, signal: Signal | Rejected, reason: str) -> None:
        """Nothing can be refused."""

    def data_to_send(self) -> bytes:
        """Drain the queue of bytes that may leave now."""
        out = bytes(self._outgoing)
        self._outgoing.clear()
        return out
