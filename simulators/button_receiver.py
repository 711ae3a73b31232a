"""A 433 MHz button receiver in RFLink style on a pseudo-terminal: a version line, then each press several times with a counter.

Wire: `20;SS;PROTOCOL;ID=hex;SWITCH=x;CMD=ON;` CR LF; 57600 8N1; SS two hexadecimal digits that wrap at FF. It has no receipts and no check value.
"""

import asyncio
import time
from dataclasses import dataclass, field

from simulators.noise import Noise
from simulators.pseudo_terminal import PseudoTerminal

VERSION_LINE = "20;00;Nodo RadioFrequencyLink - RFLink Gateway V1.1 - R48;"
COPIES = 4  # a button sends for as long as it is held: four copies is a short press
COPY_PAUSE_S = 0.06


@dataclass(slots=True)
class Press:
    """One press. `pressed_at` is the wall clock, ms since 1970; `first_sent` monotonic seconds."""

    device: str
    pressed_at: int
    first_sent: float
    lines: list[str] = field(default_factory=list)


class ButtonReceiver:
    """The receiver: prints its version when plugged in and a line for every copy it hears."""

    def __init__(self, terminal: PseudoTerminal, *, noise: Noise | None = None, copies: int = COPIES) -> None:
        self.terminal = terminal
        self.noise = noise or Noise()
        self.copies = copies
        self.presses: list[Press] = []
        self.lines_sent = 0
        self._counter = 0

    def greet(self) -> None:
        """The version line, as the board prints it after power-up; its counter starts at 00."""
        self._counter = 1
        self._write(VERSION_LINE, clean=True)

    async def press(self, device: str, *, protocol: str = "EV1527", command: str = "ON") -> Press:
        """A button is pressed. `device` is "ID" or "ID:SWITCH", as the register has it."""
        identifier, switch = split_address(device)
        press = Press(device, time.time_ns() // 1_000_000, time.monotonic())
        self.presses.append(press)
        for copy in range(self.copies):
            line = f"20;{self._counter:02X};{protocol};ID={identifier};SWITCH={switch};CMD={command};"
            self._counter = (self._counter + 1) % 256
            press.lines.append(line)
            self._write(line, clean=copy == self.copies - 1)  # a motor does not disturb for the whole length of a press
            await asyncio.sleep(COPY_PAUSE_S)
        return press

    def _write(self, line: str, *, clean: bool = False) -> None:
        self.lines_sent += 1
        data = line.encode("ascii") + b"\r\n"
        self.terminal.write(data if clean else self.noise.damage(data))


def split_address(device: str) -> tuple[str, str]:
    """(ID, SWITCH) of a registered button address: the two parted by any of : - / . or _, the switch 1 when not named."""
    for separator in ":-/._":
        if separator in device:
            *_, identifier, switch = device.split(separator)
            return identifier, switch
    return device, "1"
