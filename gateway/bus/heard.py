"""Up to which message of each edge a shard has heard: edges number what they hand over, so one that the bus confirmed and does not give is missed.

It happens: a server of NATS 2.9 that led a stream and was cut off for half a minute can come back with a copy that lacks some messages for good, and
has others under their numbers. A reader that lives on it skips them without a word, and so does one that moves to it.
"""

import msgspec

from gateway.bus.contract import Envelope

EDGES_LIMIT = 1000  # names of edges that were ever heard; a province has some ten
KNOWN = -1


class Last(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The newest message of an edge's newest life (gateway.bus.contract.Envelope)."""

    life: str
    number: int


_decoder = msgspec.json.Decoder(dict[str, Last])


class Heard:
    """Edge → its newest message. An edge that was never heard of is believed as it comes."""

    __slots__ = ("_last",)

    def __init__(self, last: dict[str, Last] | None = None) -> None:
        self._last = dict(last or {})

    @classmethod
    def of_text(cls, text: str) -> "Heard":
        """As `text` wrote it; "" is nobody. Raises msgspec.MsgspecError."""
        return cls(_decoder.decode(text) if text else None)

    def text(self) -> str:
        return msgspec.json.encode(self._last).decode()

    def copy(self) -> "Heard":
        return Heard(self._last)

    def missing(self, envelope: Envelope) -> int:
        """How many of the same edge must have been before this one and were not heard; KNOWN: this one was. An earlier life is not judged."""
        last = self._last.get(envelope.edge)
        if not envelope.number or last is None or envelope.life < last.life:
            return 0
        if envelope.life > last.life:
            return envelope.number - 1
        return max(KNOWN, envelope.number - last.number - 1)

    def take(self, envelope: Envelope) -> None:
        """This one is heard."""
        last = self._last.get(envelope.edge)
        if not envelope.number or (last is not None and (envelope.life, envelope.number) <= (last.life, last.number)):
            return
        if last is None and len(self._last) >= EDGES_LIMIT:
            del self._last[next(iter(self._last))]
        self._last[envelope.edge] = Last(envelope.life, envelope.number)
