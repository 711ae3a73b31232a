"""Plain text in a MESSAGE: somebody writes to the hotline. A person must read it, so it is a call for help (RFC 3428)."""

import msgspec

from drivers.bodies.handler import Reading, Received, message_identity
from drivers.contract import Signal
from drivers.sip.charset import read_text
from gateway.event import Kind, Phase

MAX_TEXT = 2_000  # characters shown; the bytes are kept whole in `raw`


class TextOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """kind: what a text means here; `help` is the lowest kind that an operator sees."""

    kind: Kind = Kind.HELP


class TextBody:
    """Takes text/plain. A text has no id of its own: its identity is the message's."""

    media_types = ("text/plain",)

    def __init__(self, options: TextOptions) -> None:
        self._kind = options.kind

    def accepts(self, content_type: str, body: bytes) -> bool:  # noqa: ARG002 - the seam is the same for all
        """Only what says it is text."""
        return content_type == "text/plain"

    def read(self, received: Received) -> Reading:
        """One text, one signal; an empty one is nothing."""
        text = read_text(received.body).strip()[:MAX_TEXT]
        if not text:
            return Reading()
        signal = Signal(
            kind=self._kind,
            phase=Phase.RAISE,
            kind_raw="text/plain",
            device=received.from_user or received.source[0],
            dedup=message_identity(received),
            detail={"text": text, "from": received.from_uri, "call_id": received.call_id},
        )
        return Reading(signals=(signal,))

    def settled(self, reading: Reading, stored: bool, now: float) -> None:
        """Nothing is remembered."""
