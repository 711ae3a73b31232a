"""What the user agent hands a received MESSAGE to: the contract of a body handler.

The user agent owns the wire (transactions, digest, receipts after the commit); a handler owns the meaning of one kind of body. To add
one: write a module with a handler and its options, and a row in `table`.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from drivers.contract import Rejected, Signal
from drivers.sip.message import Message


class Received(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One MESSAGE, after all that SIP itself wants of it has been checked.

    from_user, from_uri: as the sender says; nobody has proved them unless `user` is set. contact: its Contact URI, "" when it gave none.
    source: the address the bytes came from; transport: udp, tcp or tls. user: who authenticated by digest, "" for nobody.
    content_type: media type in lower case without parameters; the whole header, and all others, are in `message`.
    body: the octets of the body. raw: the whole message as it came, for Signal.raw. now: monotonic seconds; received_at: aware UTC.
    integrity: what a signal of this message must carry: verified, unauthenticated, or unverified where authentication is off.
    """

    from_user: str
    from_uri: str
    to_user: str
    contact: str
    call_id: str
    cseq: int
    source: tuple[str, int]
    transport: str
    user: str
    integrity: str
    content_type: str
    body: bytes
    raw: bytes
    now: float
    received_at: datetime
    message: Message


# sip-ua.md, section 3: a request is repeated for 32 s (64 × T1). The same Call-ID and CSeq later are a device that began to count anew.
REPEATED_S = 32.0


def message_identity(received: Received) -> str:
    """The `dedup` of a message that has no id of its own: the same sender, Call-ID, CSeq and octets, within the same half minute."""
    told = f"{received.from_uri}\0{received.call_id}\0{received.cseq}\0".encode("utf-8", "surrogateescape")
    digest = hashlib.blake2b(told + received.body, digest_size=12).hexdigest()
    return f"{digest}:{int(received.received_at.timestamp() // REPEATED_S)}"


class Part(msgspec.Struct, frozen=True):
    """A body of ours with its Content-Type."""

    body: bytes
    content_type: str


class Reading(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a handler makes of one MESSAGE.

    signals: stored in one commit, before anything of the following is sent. The user agent sets their `integrity`, and their `raw` where
    it is empty; `device`, `dedup` and the rest are the handler's. Empty when there is nothing new (a duplicate by application id).
    status: the final answer once they are stored: 200, 202, or a refusal such as 400 or 415 (which is sent all the same, when what was
    rejected is kept). reason: its words, "" for the usual ones. reply: a body inside that answer (SCAIP's variant).
    follow_up: a MESSAGE of ours to the sender, after the commit. refused_follow_up: the same for when the store refused; usually None,
    as the sender's own fall-back begins with our 503 and nothing else.
    token: the handler's own handle, for `settled`.
    """

    signals: Sequence[Signal | Rejected] = ()
    status: int = 200
    reason: str = ""
    reply: Part | None = None
    follow_up: Part | None = None
    refused_follow_up: Part | None = None
    token: object = None


class BodyHandler(Protocol):
    """Sans-I/O: no socket, clock or log. Bytes never make it raise. One object for the life of its line, so it may remember ids (bounded)."""

    @property
    def media_types(self) -> tuple[str, ...]:
        """What goes into our Accept header; accepts() may take more (a wrong Content-Type with the right root element)."""
        ...

    def accepts(self, content_type: str, body: bytes) -> bool:
        """Is this body its own? Asked in the order of the line's `bodies`; the first that says so reads it. Nobody: 415 with Accept."""
        ...

    def read(self, received: Received) -> Reading:
        """Read it. Retransmissions never come here (RFC 3261, 17.2); a request repeated with a new Call-ID does."""
        ...

    def settled(self, reading: Reading, stored: bool, now: float) -> None:
        """The commit is over. Not stored: forget that it was ever seen, as the sender will come again."""
        ...
