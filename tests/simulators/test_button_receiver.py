"""The simulated 433 MHz receiver: what a program that opens its port reads."""

import os
import re
from pathlib import Path

import pytest
from servers import until

from simulators.button_receiver import COPIES, ButtonReceiver, split_address
from simulators.pseudo_terminal import PseudoTerminal


async def test_version_line_then_each_press_several_times_with_a_counter(tmp_path: Path) -> None:
    terminal = PseudoTerminal(tmp_path / "buttons0")
    terminal.plug()
    reader = os.open(terminal.link, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    receiver = ButtonReceiver(terminal)
    receiver.greet()
    await receiver.press("0000A1:2")
    heard = bytearray()

    def all_heard() -> bool:
        try:
            heard.extend(os.read(reader, 4096))
        except BlockingIOError:
            pass
        return heard.count(b"\r\n") == COPIES + 1

    await until(all_heard, "five lines")
    lines = heard.decode("ascii").split("\r\n")[:-1]
    assert lines[0].startswith("20;00;Nodo RadioFrequencyLink")
    assert all(re.fullmatch(rf"20;{number:02X};EV1527;ID=0000A1;SWITCH=2;CMD=ON;", line) for number, line in enumerate(lines[1:], 1))
    os.close(reader)
    terminal.unplug()


async def test_counter_wraps_at_ff(tmp_path: Path) -> None:
    receiver = ButtonReceiver(PseudoTerminal(tmp_path / "nowhere"), copies=1)
    receiver._counter = 255
    first, second = await receiver.press("A"), await receiver.press("A")
    assert (first.lines[0][3:5], second.lines[0][3:5]) == ("FF", "00")


@pytest.mark.parametrize(("address", "parts"), [("000005:2", ("000005", "2")), ("EV1527-00A1-3", ("00A1", "3")), ("0000A2", ("0000A2", "1"))])
def test_registered_address(address: str, parts: tuple[str, str]) -> None:
    assert split_address(address) == parts
