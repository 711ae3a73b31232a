"""A serial port made of a pseudo-terminal: a path to open on one side, bytes on the other; it can be unplugged and plugged in again."""

import asyncio
import contextlib
import os
import termios
import tty
from pathlib import Path

READ_SIZE = 4096  # the kernel's own buffer of a pseudo-terminal


class PseudoTerminal:
    """One end of a serial cable. The other end is the path `link`, a symbolic link to the terminal's name.

    `unplug()` closes both ends, as pulling out a USB converter does: who holds the port open reads an error or the end of file.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self._master = -1
        self._slave = -1
        self._arrived = bytearray()
        self._news = asyncio.Event()

    @property
    def plugged(self) -> bool:
        return self._master >= 0

    def plug(self) -> None:
        """Make the terminal, raw (no echo, no line editing), and put the link in place in one step."""
        if self.plugged:
            return
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)  # we keep the slave end open, or the master would read errors until somebody opens it
        os.set_blocking(self._master, False)
        self.link.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.link.with_name(f".{self.link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.link)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def unplug(self) -> None:
        """Close both ends and take the link away."""
        if not self.plugged:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self._arrived.clear()
        self._news.set()

    def write(self, data: bytes) -> None:
        """Send. What does not fit is lost, as on a cable that nobody listens to."""
        if self.plugged:
            with contextlib.suppress(BlockingIOError, OSError):
                os.write(self._master, data)

    def forget_unread(self) -> None:
        """Throw away what the other side never read: a real cable does not keep old polls for a late opener."""
        if self.plugged:
            termios.tcflush(self._slave, termios.TCIFLUSH)

    def discard_input(self) -> None:
        """Forget what has arrived and was not looked at."""
        self._arrived.clear()

    async def read_byte(self, timeout_s: float) -> int | None:
        """The next byte, or None when none came in time or the port is unplugged."""
        if not self._arrived:
            self._news.clear()
            if self.plugged:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self._news.wait()
        return self._arrived.pop(0) if self._arrived else None

    def _read(self) -> None:
        try:
            self._arrived += os.read(self._master, READ_SIZE)
        except (BlockingIOError, OSError):
            return
        self._news.set()
