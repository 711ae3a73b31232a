"""Speaks to systemd, if it is there: ready, watchdog, stopping, status (sd_notify(3)). Without NOTIFY_SOCKET nothing is sent."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable


class Notifier:
    """One per process. Reads NOTIFY_SOCKET and WATCHDOG_USEC once, as systemd sets them."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # "@": abstract namespace, unix(7)
        self.watchdog_s = _watchdog_s()

    def notify(self, *fields: str) -> bool:
        """Send the fields, such as `READY=1`; False when there is nobody to tell. A lost datagram must not hurt the house."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.connect(self._address)
                sock.send("\n".join(fields).encode())
        except OSError:
            return False
        return True

    def ready(self, status: str = "") -> None:
        """The page answers, and each line stands or was tried."""
        self.notify("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        """We have begun to stop: no more watchdog until we are gone."""
        self.notify("STOPPING=1", "STATUS=stopping")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; no personal data."""
        self.notify(f"STATUS={text}")

    async def watch(self, healthy: Callable[[], bool], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Send WATCHDOG=1 at half the interval (sd_watchdog_enabled(3)) for as long as `healthy` says so; until cancelled.

        It runs in the one event loop on purpose: a loop that hangs sends nothing, and systemd starts the house again.
        """
        if self.watchdog_s is None:
            return
        while True:
            if healthy():
                self.notify("WATCHDOG=1")
            await sleep(self.watchdog_s / 2)


def _watchdog_s() -> float | None:
    """The interval systemd expects, seconds; None when there is no watchdog or it watches another process."""
    interval = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not interval.isdigit() or int(interval) == 0 or owner != str(os.getpid()):
        return None
    return int(interval) / 1_000_000
