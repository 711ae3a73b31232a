"""What every test may need: Twisted on the asyncio loop of the test, a free port, and waiting for a condition without sleeping blindly."""

import asyncio
import socket
from collections.abc import Callable

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor

WAIT_S = 10.0  # far above anything a test waits for: reaching it means "never"


class ReactorOfTheTest(AsyncioSelectorReactor):
    """Follows the running loop: pytest gives each test a loop of its own, Twisted allows one reactor a process."""

    _loop: asyncio.AbstractEventLoop

    @property
    def _asyncioEventloop(self) -> asyncio.AbstractEventLoop:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return self._loop
        if running is not self._loop:
            self._loop = running
            self._scheduledAt = self._timerHandle = None
            for call in self.getDelayedCalls():  # left behind by the test before
                call.cancel()
        return running

    @_asyncioEventloop.setter
    def _asyncioEventloop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def callLater(self, delay: float, call: Callable[..., object], *args: object, **kwargs: object) -> object:
        _ = self._asyncioEventloop  # change loops before the call is queued, not after
        return super().callLater(delay, call, *args, **kwargs)


_before_the_first_test = asyncio.new_event_loop()
installReactor(ReactorOfTheTest(_before_the_first_test))


def pytest_unconfigure() -> None:
    _before_the_first_test.close()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_until(condition: Callable[[], object], what: str = "", timeout_s: float = WAIT_S) -> None:
    """Give the loop turns until `condition()` is true; AssertionError naming `what` when it never is."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + timeout_s
    while not condition():
        if loop.time() > give_up:
            raise AssertionError(f"never came true: {what or condition}")
        await asyncio.sleep(0.005)
