"""Twisted on the asyncio loop of each test."""

import asyncio
from collections.abc import Callable

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor


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
