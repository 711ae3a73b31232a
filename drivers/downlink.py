"""What the gateway may tell a device: that somebody has heard, that help comes, that it is over; where the protocol can say it.

A codec that can is a `Teller`, and its line a `Downlink`. To tell is a courtesy: whether it arrives decides nothing, and is on record.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import msgspec


class Word(StrEnum):
    """What there is to tell."""

    TAKEN = "taken"  # an operator has the alarm in hand
    COMING = "coming"  # somebody is on the way
    OVER = "over"  # it is over: silence the siren, clear the display
    PROMPT = "prompt"  # are you well? Press, answer or move (watch service)


class Tell(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell one device.

    id    ours, unique; the same again when it is tried again
    text  a short sentence for a display or a voice, without personal data
    cry   `detail` of the device's last alarm, for protocols that name the message they confirm (a serial number, a zone, …)
    """

    id: str
    device: str
    word: Word
    text: str = ""
    cry: Mapping[str, Any] = {}


class Teller(Protocol):
    """The part of a codec that can tell. Results come in any order; each `tell` gets exactly one, also after the connection is gone."""

    def can_tell(self, device: str, word: Word) -> bool:
        """Is this device on this connection, and can its protocol say this?"""
        ...

    def tell(self, tell: Tell, token: int, now: float) -> None:
        """Queue the bytes; `data_to_send` drains them."""
        ...

    def told(self) -> list[tuple[int, str]]:
        """Drain (token, reason): "" = the device has confirmed it, or the protocol has no confirmation and the bytes have left;
        else refused | timeout | busy."""
        ...


@runtime_checkable
class Downlink(Protocol):
    """A line that can tell devices something."""

    name: str

    async def tell(self, tell: Tell) -> str:
        """Tell it and wait, at most 30 s. Gives "" or why not: not_connected, cannot (its protocol has no word for it), refused, timeout, busy,
        lost (the connection went). Cancelling: it may still be told."""
        ...
