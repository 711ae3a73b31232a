"""What a probe is: steps of bytes, and how its receipts look; filled in for one device, number and time."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

Receipt = Callable[[bytes], bool]
"""Is the answer to a step whole, in all that has been read since it was sent? A refusal is no receipt."""


class Step(msgspec.Struct, frozen=True):
    """`data` is sent; the next step waits for `receipt`. None: this protocol answers nothing, the next step follows at once."""

    data: bytes
    receipt: Receipt | None = None


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One synthetic alarm.

    device  the address under which the codec tells it; token: what stands in the raw bytes of its event and in no earlier one's (b"": nothing)
    steps   of a wire; the receipt of the whole is that of the last step that has one
    after   said when all is over, whatever came of it: a call that is hung up again
    topic   of a broker: the one step is published there
    """

    device: str
    steps: tuple[Step, ...]
    token: bytes = b""
    after: tuple[bytes, ...] = ()
    topic: str = ""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Of one probe: which it is, and when. at: aware UTC; source, target: of a socket, host and port, where a protocol has them in its text."""

    number: int
    at: datetime
    source: tuple[str, int] = ("127.0.0.1", 0)
    target: tuple[str, int] = ("127.0.0.1", 0)
    is_stream: bool = False

    @property
    def ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.at.timestamp() * 1000)


class Maker(Protocol):
    """Makes the probe of a codec. options: those of the line; hotline: a number of ours, for calls. Raises Unsayable."""

    def __call__(self, device: str, moment: Moment, options: object, hotline: str) -> Probe: ...


class Unsayable(ValueError):
    """This line's options leave no words that its codec would understand; the text says why."""
