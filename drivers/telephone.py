"""What the gateway may ask of a telephone exchange: dial, hang up, transfer, ring somebody and take a key press as the answer.

A line that can do this (AMI, ESL) is an `Exchange`; its codec is a `TelephoneCodec`. Numbers are as the exchange dials them; they appear
in no log line.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from drivers.contract import ClientCodec


class Dial(msgspec.Struct, frozen=True, kw_only=True):
    """Ring the agent's extension first; when it is taken, dial `number` and connect the two. `shown`: the number the callee sees.

    id: ours, unique; the exchange carries it on every leg, so that what we dial is not taken for a call at the hotline.
    """

    id: str
    agent: str
    number: str
    shown: str = ""
    ring_s: float = 30

    @property
    def rings_s(self) -> float:
        """How long it may ring in all: at the agent, and then at the number."""
        return 2 * self.ring_s


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """Ring a number, say the message, take one key. keys: those that count as an answer; say: words for a speaking exchange."""

    id: str
    number: str
    shown: str = ""
    say: str = ""
    keys: tuple[str, ...] = ("1", "2")
    ring_s: float = 30

    @property
    def rings_s(self) -> float:
        """How long it may ring in all."""
        return self.ring_s


class HangUp(msgspec.Struct, frozen=True, kw_only=True):
    """End a call. call: the key under which its events came (`detail["call"]`), or the id of a Dial or Ring of ours."""

    call: str


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Send the caller of a call to another extension or number."""

    call: str
    to: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Send the caller of a ringing call to the telephone of who answers it: that rings then, or takes the call by itself where it is told to.

    agent: the extension.
    """

    call: str
    agent: str


Wish = Dial | Ring | HangUp | Transfer | Answer


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wish.

    outcome: done (Dial: both talk; Ring: a key was pressed) | busy | no_answer |
    no_key (it was taken, nobody pressed) | refused (the exchange said no: `reason` says what) | unknown_call | lost (connection gone) | failed.
    """

    outcome: str
    key: str = ""
    reason: str = ""

    @property
    def is_done(self) -> bool:
        return self.outcome == "done"


class TelephoneCodec(ClientCodec, Protocol):
    """A client codec that can also ask. Results come in any order; each wish gets exactly one, also after `disconnected` (lost)."""

    def ask(self, wish: Wish, token: int, now: float) -> None:
        """Queue the bytes for it. Before `is_ready` it is answered at once with `lost`."""
        ...

    def answers(self) -> list[tuple[int, Told]]:
        """Drain what wishes have come to."""
        ...


@runtime_checkable
class Exchange(Protocol):
    """A line that can carry out wishes."""

    name: str

    async def ask(self, wish: Wish) -> Told:
        """Carry it out and wait for what it came to (never longer than the wish's rings_s and 30 s). Cancelling: it may still be carried out."""
        ...


@runtime_checkable
class Texter(Protocol):
    """A line that can send a text to a SIP address (RFC 3428)."""

    name: str

    async def send_text(self, address: str, body: bytes, content_type: str) -> str:
        """Send one MESSAGE to `sip:…`; gives "" when it was accepted (2xx), else the reason: `sip_486`, `timeout`, `no_route`, …"""
        ...


class ShortText(msgspec.Struct, frozen=True, kw_only=True):
    """One short message. id: ours, under which its fate is told; "" when nobody wants to know."""

    id: str
    number: str
    text: str


@runtime_checkable
class ShortTexter(Protocol):
    """A line that can send short messages (a GSM modem). on_fate: called with the id of one that will not arrive, as the network reports."""

    name: str
    on_fate: Callable[[str], None]

    async def send_short(self, text: ShortText) -> str:
        """Send all its parts; gives "" when the network has taken them, else the reason: `cms_38`, `no_network`, `busy`, `timeout`, `lost`, …"""
        ...
