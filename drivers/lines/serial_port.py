"""A line on one serial port: `serial:/dev/ttyUSB0:baudrate=9600:bytesize=7:parity=E:stopbits=2`.

pyserial beneath Twisted. Opened for ourselves alone, without flow control by characters: check characters may look like XOFF.
A pseudo-terminal accepts any speed and frame; they mean nothing there.
"""

import errno
import os
import re
import termios
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import serial
from twisted.internet.serialport import SerialPort

from drivers.contract import Codec, Emit, Report
from drivers.lines.connection import Connection
from drivers.lines.conversation import Conversation
from drivers.lines.conversing import ConversingLine
from gateway.config import LineConfig
from gateway.errors import LineError


class SerialSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The words of the endpoint string after the device."""

    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1
    rtscts: bool = False


def read_endpoint(listen: str) -> tuple[str, SerialSettings]:
    """(device, settings). A colon in the device's path is written `\\:`. Raises ValueError naming the word."""
    _, device, *words = [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", listen)]
    given = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is not key=value; write for instance baudrate=9600")
        given[key] = value
    try:
        settings = msgspec.convert(given, SerialSettings, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}; known words: baudrate, bytesize, parity, stopbits, rtscts") from error
    allowed = (
        ("baudrate", settings.baudrate > 0, "a speed above 0"),
        ("bytesize", settings.bytesize in (7, 8), "7 or 8"),
        ("parity", settings.parity in tuple("NEOMS"), "N, E, O, M or S"),
        ("stopbits", settings.stopbits in (1, 1.5, 2), "1, 1.5 or 2"),
    )
    for key, is_good, remedy in allowed:
        if not is_good:
            raise ValueError(f"{key}={given[key]}: write {remedy}")
    if not device:
        raise ValueError("no device; write for instance serial:/dev/ttyUSB0:baudrate=9600")
    return device, settings


def check_endpoint(listen: str) -> list[str]:
    """What is wrong with a `serial:` endpoint string; empty when nothing is."""
    try:
        read_endpoint(listen)
    except ValueError as error:
        return [str(error)]
    return []


class ExclusivePort(SerialPort):
    """Nobody else may open the port meanwhile: two readers would each get half of the bytes."""

    _serialFactory = staticmethod(partial(serial.Serial, exclusive=True))

    def __init__(self, *what: Any, **how: Any) -> None:
        """Whoever fails halfway holds nothing: the port would be ours, and locked to us, until somebody collects it."""
        try:
            super().__init__(*what, **how)  # type: ignore[no-untyped-call]
        except BaseException:
            if hasattr(self, "_serial"):
                self._serial.close()
            raise


class SerialLine(ConversingLine):
    """One port, one codec; a new codec after each loss, since half a block is worth nothing."""

    def __init__(self, config: LineConfig, new_codec: Callable[[], Codec]) -> None:
        super().__init__(config, new_codec)
        self._device, self._settings = read_endpoint(config.listen or "")

    async def run(self, emit: Emit, report: Report) -> None:
        """Until cancelled. Raises LineError, the port closed, when it cannot be opened or is unplugged; a codec's error as it is (our bug)."""
        self._begin(emit, report)
        try:
            conversation = self._open()
            report.live()
            reason = await self._hold(conversation)
        finally:
            await self._close()
        raise LineError(f"{self._device}: {reason}")

    def _open(self) -> Conversation:
        from twisted.internet import reactor

        connection = Connection(lambda wire: self._converse(wire, self._take_held()))
        try:
            ExclusivePort(connection, self._device, reactor, **msgspec.structs.asdict(self._settings))
        except (OSError, ValueError, serial.SerialException, termios.error) as error:
            raise LineError(f"cannot open {self._device}: {_reason(error)}") from error
        assert connection.conversation is not None
        return connection.conversation


def _reason(error: Exception) -> str:
    """Why, in the system's own words: pyserial's text names the port twice more and quotes the system's error inside its own."""
    number = error.args[0] if isinstance(error, termios.error) else getattr(error, "errno", None)
    if number == errno.EAGAIN:
        return "another program has it open"
    return os.strerror(number) if isinstance(number, int) else str(error)
