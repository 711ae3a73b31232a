"""Responders who get their orders by telephone: they pick up after a moment and press the key for yes."""

import random
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from simulators.exchange.desk import Answerer
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import Exchange

ACCEPT = "1"  # dispatch.phone.accept_key, its default
PICKS_UP_S = (0.5, 1.5)
PRESSES_S = (0.5, 1.5)
MAX_RINGS = 5_000  # remembered, as orders are


@dataclass(frozen=True, slots=True)
class Ring:
    """A responder's telephone was rung by the gateway; monotonic seconds."""

    responder: str
    at: float


class RungStations:
    """A face of the exchange. numbers: as dialled → responder."""

    def __init__(self, exchange: Exchange, numbers: Mapping[str, str], seed: object) -> None:
        self.rings: deque[Ring] = deque(maxlen=MAX_RINGS)
        self.keys = 0
        self._numbers = dict(numbers)
        for number in numbers:
            chance = random.Random(f"rung:{seed}:{number}")
            exchange.answerers[number] = Answerer(after_s=chance.uniform(*PICKS_UP_S), key=ACCEPT, key_after_s=chance.uniform(*PRESSES_S))
        exchange.faces.append(self)

    def __call__(self, happening: Happening) -> None:
        call, leg = happening.call, happening.leg
        if call.outbound and leg is call.incoming and leg.number in self._numbers:
            if happening.what is What.DIALLING:
                self.rings.append(Ring(self._numbers[leg.number], time.monotonic()))
            elif happening.what is What.KEY_TAKEN and happening.text("digit"):
                self.keys += 1
