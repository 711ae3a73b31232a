"""Who can be rung: the agents' telephones, and how simulated outside numbers behave."""

from dataclasses import dataclass

from simulators.sip_text import Address


@dataclass(slots=True, eq=False)
class Desk:
    """One agent's telephone. sip: where a real SIP peer plays the agent; None: simulated."""

    extension: str
    name: str
    sip: Address | None = None
    busy: bool = False
    taken: int = 0
    last_call: int = 0
    rung_last: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """How a simulated number behaves that the exchange dials on request. does: answers | busy | declines | nothing; key "": none is pressed."""

    does: str = "answers"
    after_s: float = 0.5
    key: str = "1"
    key_after_s: float = 0.5
    talk_s: float = 5.0
