"""Twisted on the asyncio loop of each test, no property that fails by being slow, and no run that ends without saying why."""

import asyncio
import faulthandler
import gc
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress

import pytest
from _pytest.unraisableexception import collect_unraisable
from hypothesis import settings
from playwright import async_api, sync_api
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
for api in (async_api, sync_api):
    api.expect.set_options(timeout=30_000)  # milliseconds; a machine that does five things at once is slow, not wrong


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


# Twice what pytest-timeout allows ([tool.pytest.ini_options] timeout): its exception may be swallowed by whatever task is just running, and it no
# longer counts once a test has failed, so that what hangs while it tidies up would hang for ever.
STUCK_S = 1200.0


class Watch(threading.Thread):
    """Ends a process whose test is stuck, having said where; the run with it (--max-worker-restart=0: a new process would begin that test again)."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="stuck", daemon=True)
        self.descriptor = descriptor
        self.since: float | None = None  # monotonic seconds; None between two tests

    def run(self) -> None:
        while True:
            time.sleep(5.0)  # a pace
            if (since := self.since) is not None and time.monotonic() - since > STUCK_S:
                faulthandler.dump_traceback(self.descriptor, all_threads=True)
                with os.fdopen(self.descriptor, "w") as errors:
                    for task in (one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()):
                        task.print_stack(file=errors)
                os._exit(1)


WATCH = pytest.StashKey[Watch]()
TOLD_LINES = 12  # of a failure: enough to find its cause by


class FailuresAtOnce:
    """Names each failure of other processes when it happens: also of a first try, and of a run that is cut off."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.outcome == "rerun":
            terminal = self.config.pluginmanager.getplugin("terminalreporter")
            terminal.ensure_newline()
            word = "failed" if report.failed else "failed, and begins again"
            terminal.write_line("\n  ".join((f"{word}: {report.nodeid} ({report.when})", *report.longreprtext.splitlines()[-TOLD_LINES:])))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(FailuresAtOnce(config))
        return
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[WATCH] = Watch(os.dup(2))
    config.stash[WATCH].start()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    if not item.get_closest_marker("campaign"):
        item.config.stash[WATCH].since = time.monotonic()
    try:
        return (yield)
    finally:
        item.config.stash[WATCH].since = None


FAILURES = pytest.StashKey[list[BaseException]]()


def _behind(failures: list[BaseException]) -> Iterator[BaseException]:
    """These and all that led to them."""
    seen: set[int] = set()
    look = list(failures)
    while look:
        one = look.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            look += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
            look += one.exceptions if isinstance(one, BaseExceptionGroup) else ()


def _collect(item: pytest.Item, failures: list[BaseException]) -> None:
    """Let go of what the failures of this test hold, and of what it was given; raise what that leaves unclosed."""
    for failure in _behind(failures):
        for frame, _ in traceback.walk_tb(failure.__traceback__):
            with suppress(RuntimeError):  # it is running: one of pytest's own
                frame.clear()
                len(frame.f_locals)  # asked anew: Python 3.11 and 3.12 keep what they said before
    if given := getattr(item, "funcargs", None):
        given.clear()
    gc.collect()
    collect_unraisable(item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo is not None:
        item.stash.setdefault(FAILURES, []).append(call.excinfo.value)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[object]:
    """What a failed test leaves behind is charged to it: the garbage would else be found in whichever test runs when Python looks for garbage."""
    failures = item.stash.get(FAILURES, [])
    item.stash[FAILURES] = []  # of its second try
    try:
        result = yield
    except Exception as failure:
        try:
            _collect(item, [*failures, failure])
        except Exception as left:
            failure.add_note(f"and left behind: {left!r}")
        raise
    if failures:
        _collect(item, failures)
    return result
