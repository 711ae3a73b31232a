"""The home units of a scenario: one for each person who presses, and the voice call after an alarm that was taken over."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from simulators.home_link import Receiver
from simulators.home_unit import HomeUnit, Said
from simulators.sip_text import Address

# What a unit can say: message type, device type, status code (docs/guide/scaip.md).
MESSAGES = {
    "alarm": ("ME", "0003", "0010"),
    "fall": ("ME", "0005", "0009"),
    "low_battery": ("IN", "0002", "0014"),
    "heartbeat": ("PI", "0002", ""),
    "reset": ("RE", "0002", "0092"),
}
MAX_PRESSED = 10_000  # remembered; an evening has a few dozen


@dataclass(slots=True)
class Pressed:
    """One thing said by a unit. talk_s: so long does its voice call last, 0 for none. Times monotonic seconds."""

    cid: str
    what: str
    talk_s: float
    at: float = field(default_factory=time.monotonic)
    said: Said | None = None
    has_called: bool = False

    @property
    def confirmed(self) -> bool:
        """Has the receiver taken it over, with status number 0?"""
        return self.said is not None and self.said.outcome == "confirmed"

    def lacks(self) -> str:
        """What the unit still waits for, or ""."""
        if self.said is None or not self.confirmed:
            numbers = [one.snu for one in self.said.tries] if self.said else []
            return f"no <mrs> with status number 0 (SIP {[one.code for one in self.said.tries] if self.said else []}, snu {numbers})"
        if self.talk_s and not (self.has_called and 200 <= self.said.call < 300):
            return f"its voice call came to {self.said.call or 'nothing yet'}"
        return ""


class Homes:
    """receiver: where alarms go; voice: the exchange's SIP address, asked when a call is to be made (None: there is none)."""

    def __init__(self, receiver: Receiver, voice: Callable[[], Address | None]) -> None:
        self.pressed: deque[Pressed] = deque(maxlen=MAX_PRESSED)
        self._receiver = receiver
        self._voice = voice
        self._units: dict[str, HomeUnit] = {}
        self._starting = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Homes":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def press(self, cid: str, what: str, talk_s: float) -> Pressed:
        """Note it; `play` sends it."""
        pressed = Pressed(cid, what, talk_s)
        self.pressed.append(pressed)
        return pressed

    async def play(self, pressed: Pressed) -> None:
        """Say it until it is taken over, then call if that is wanted."""
        unit = await self._unit(pressed.cid)
        mty, dty, stc = MESSAGES[pressed.what]
        pressed.said = await unit.say(mty, dty=dty, stc=stc, crd=f"sip:{pressed.cid}@home.example")
        voice = self._voice()
        if pressed.talk_s and pressed.confirmed and voice is not None:
            answer = pressed.said.answer
            pressed.said.call = await unit.call(voice, answer.get("tnu", "") if answer.get("cre") == "62" else "", pressed.talk_s)
            pressed.has_called = True

    async def _unit(self, cid: str) -> HomeUnit:
        async with self._starting:
            if cid not in self._units:
                self._units[cid] = await self._stack.enter_async_context(HomeUnit(cid, [self._receiver]))
            return self._units[cid]
