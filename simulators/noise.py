"""Seeded damage to bytes on a cable: flipped bits and garbage, as a bad earth or a motor next to the line gives."""

import random
from dataclasses import dataclass, field

GARBAGE_BYTES = 6  # at most, in one burst


@dataclass(slots=True)
class Noise:
    """Damages what passes. `flip` and `garbage` are chances per message, 0 (a good cable) to 1.

    One bit in one byte is flipped at a time: the check byte of ESPA finds each of those, so that no wrong call can look right.
    """

    seed: object = 0
    flip: float = 0.0
    garbage: float = 0.0
    damaged: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(f"noise:{self.seed}")

    def damage(self, message: bytes) -> bytes:
        """The message, perhaps with one bit flipped, perhaps with garbage before it."""
        before = self.garbage_burst()
        if message and self._random.random() < self.flip:
            place = self._random.randrange(len(message))
            flipped = message[place] ^ 1 << self._random.randrange(7)
            message = message[:place] + bytes([flipped]) + message[place + 1 :]
            self.damaged += 1
        return before + message

    def garbage_burst(self) -> bytes:
        """A few random bytes, or none. Line feeds are spared: between text lines they would end a line that is not there."""
        if self._random.random() >= self.garbage:
            return b""
        self.damaged += 1
        return bytes(self._random.choice(range(0x20, 0x7F)) for _ in range(self._random.randint(1, GARBAGE_BYTES)))
