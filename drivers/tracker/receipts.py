"""One answer to a frame that said several things: owed when all of them are kept, and never once one of them was refused."""

from collections.abc import Iterable
from typing import Any

import msgspec

from drivers.contract import Rejected, Signal


class Receipt:
    """What is owed to the sender of one frame. It stands as token in everything that the frame said."""

    __slots__ = ("_left", "answer")

    def __init__(self, answer: Any, signals: int) -> None:
        self.answer = answer
        self._left = signals

    def is_due(self) -> bool:
        """One more of its signals is kept: is the answer to be given now?"""
        self._left -= 1
        return self._left == 0

    def void(self) -> None:
        """One of its signals was refused: the sender hears nothing and repeats the whole."""
        self._left = -1


def owing(answer: Any, found: Iterable[Signal | Rejected]) -> list[Signal | Rejected]:
    """The same, with the answer (None: no answer) owed for all of it together."""
    found = list(found)
    if answer is None:
        return found
    receipt = Receipt(answer, len(found))
    return [msgspec.structs.replace(one, token=receipt) for one in found]
