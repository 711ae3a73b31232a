"""What a simulated device has said, and what it heard back: the record by which an outsider judges the gateway."""

import json
import time
from collections import deque
from dataclasses import dataclass, field

MAX_SENT = 100_000  # remembered by one device family; a campaign has some thousand
MAX_ANSWERS = 20  # of one message


@dataclass(slots=True)
class Sent:
    """One message. device: as a register names it; what: press, restore, battery, alive …

    pressed_at: wall clock, seconds since 1970; confirmed: monotonic seconds of the first answer that lets the device forget it, None before;
    tries: how often it went out; answers: the newest of what came back, in the protocol's words; refused: it was told never to send it again.
    """

    device: str
    what: str = "press"
    pressed_at: float = field(default_factory=time.time)
    confirmed: float | None = None
    tries: int = 0
    answers: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_ANSWERS))
    refused: bool = False

    @property
    def over(self) -> bool:
        """Will the device not send it any more?"""
        return self.confirmed is not None or self.refused

    def confirm(self, answer: str) -> None:
        """The receiver has taken it over."""
        self.answers.append(answer)
        if self.confirmed is None:
            self.confirmed = time.monotonic()

    def to_json(self) -> str:
        outcome = "confirmed" if self.confirmed is not None else "refused" if self.refused else "unanswered"
        return json.dumps({"device": self.device, "what": self.what, "outcome": outcome, "tries": self.tries, "answers": list(self.answers)})


def new_record() -> deque[Sent]:
    """Bounded, so that a simulator can run for days."""
    return deque(maxlen=MAX_SENT)
