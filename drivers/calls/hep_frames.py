"""Cuts a TCP or TLS byte stream into HEP packets by their own length field (hep3.md, Transports). No socket, no clock.

There is nothing to find the next packet by once one was broken: the connection is closed, and the peer opens another.
"""

from drivers.calls.hep3 import HEAD_SIZE, MAGIC


class HepFrames:
    """One connection. fault: why it must be closed ("" = go on): not_hep or bad_length. A packet is at most 65,535 octets, and so is the buffer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.fault = ""

    def receive_data(self, data: bytes) -> list[bytes]:
        """Any fragment; the packets that it completed, in order."""
        if self.fault:
            return []
        self._buffer += data
        found: list[bytes] = []
        at, buffer = 0, self._buffer
        while len(buffer) - at >= HEAD_SIZE:
            if buffer[at : at + 4] not in MAGIC:
                self.fault = "not_hep"
                break
            size = buffer[at + 4] << 8 | buffer[at + 5]
            if size < HEAD_SIZE:
                self.fault = "bad_length"
                break
            if len(buffer) - at < size:
                break
            found.append(bytes(buffer[at : at + size]))
            at += size
        del buffer[:at]
        if not self.fault and not any(magic.startswith(bytes(buffer[:4])) for magic in MAGIC):
            self.fault = "not_hep"  # no need to wait for the sixth octet
        return found

    @property
    def is_between(self) -> bool:
        """Is no packet half here?"""
        return not self._buffer
