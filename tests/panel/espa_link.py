"""ESPA 4.4.4 for tests, built by hand from the standard, and a cable with two ends that both run our codec."""

from functools import reduce
from operator import xor

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel.espa_calls import CallBook
from drivers.panel.espa_end import EspaEnd

EOT, ENQ, ACK, NAK = b"\x04", b"\x05", b"\x06", b"\x15"
CALL = bytes.fromhex("01 31 02 31 1f 32 30 31 1e 32 1f 52 6f 6f 6d 20 31 32 20 63 61 6c 6c 03 20")  # 201, "Room 12 call"


def block(header: str, *records: str, lead: str = "") -> bytes:
    """A block built by hand, apart from the codec."""
    body = f"{header}\x02{lead}{chr(0x1E).join(record[0] + chr(0x1F) + record[1:] for record in records)}\x03".encode("latin-1")
    return b"\x01" + body + bytes([reduce(xor, body)])


def on_line() -> Surroundings:
    """Within a line: polls are made and missed."""
    return Surroundings(line="link", session="s", memory=CallBook())


class Cable:
    """Two codecs wired together under one clock: what one sends the other reads; signals are kept as a line keeps them."""

    def __init__(self, one: EspaEnd, other: EspaEnd) -> None:
        self.ends = (one, other)
        self.heard: tuple[list[Signal | Rejected], list[Signal | Rejected]] = ([], [])
        self.now = 0.0
        self.down = False
        for end in self.ends:
            end.connected(0.0)

    def run(self, seconds: float) -> None:
        """Let both talk until this much time has passed."""
        until = self.now + seconds
        while True:
            if not self._move():
                times = [due for end in self.ends if (due := end.deadline()) is not None]
                due = min(times, default=until)
                if due > until:
                    self.now = until
                    return
                self.now = max(self.now, due) + 0.001
                for at, end in enumerate(self.ends):
                    self._keep(at, end.handle_deadline(self.now))

    def _move(self) -> bool:
        moved = False
        for at, end in enumerate(self.ends):
            data = end.data_to_send()
            if data and not self.down:
                moved = True
                self._keep(1 - at, self.ends[1 - at].receive_data(data, self.now))
        return moved

    def _keep(self, at: int, found: list[Signal | Rejected]) -> None:
        for one in found:
            self.heard[at].append(one)
            self.ends[at].confirm(one)
