"""A real browser for the tests of the page, and a house in memory to look at: in a thread for tests, in a process for pictures."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Page, expect
from prometheus_client import CollectorRegistry

from gateway.console.http import make_app, serve
from tests.console.fake_house import STATIC, FakeHouse
from tests.waiting import WAIT_S, free_port

START_S = 60.0  # a cold start of the interpreter on a busy machine takes a few seconds

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium_arguments() -> dict[str, Any]:
    """Launch arguments for Debian's Chromium. Missing: fails in CI, skips elsewhere."""
    executable = shutil.which("chromium")
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed: apt-get install chromium")
        pytest.skip("chromium is not installed: the console's browser tests were NOT run")
    return {"executable_path": executable, "args": list(CHROMIUM_FLAGS)}


@contextmanager
def served_house(*arguments: str, module: str = "tests.console.fake_house") -> Iterator[str]:
    """A house of invented people in a process of its own; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}/"
            give_up = time.monotonic() + START_S
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError(f"the house did not start: {command}")
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.wait(10)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


Result = TypeVar("Result")

# Answers are waited for until the test loses patience: the page gives one up after five seconds, which on a machine that does five things at once is
# any of them.
PATIENT = """
window.waits = [];
AbortSignal.timeout = () => { const wait = new AbortController(); window.waits.push(wait); return wait.signal; };
"""
LOSE_PATIENCE = "window.waits.splice(0).forEach((wait) => wait.abort(new DOMException('', 'TimeoutError')))"

TAKEN = re.compile(r"^(?!.*\bsending\b).*\backnowledged\b")  # the class of a row that is taken, and the server has said so

CALL_S = 10.0  # far above what anything asked of the house takes
SIZE = {"width": 1366, "height": 768}  # the smallest screen the console is drawn for

# Loudspeaker of the tests: writes down what would be heard.
DEAF = """
window.heard = [];
class Param { setValueAtTime() {} linearRampToValueAtTime() {} }
class Voice { frequency = {value: 0}; connect(to) { return to; } start(at) { window.heard.push(this.frequency.value); } stop() {} }
window.AudioContext = class {
  state = window.blocked ? 'suspended' : 'running'; currentTime = 0; destination = {};
  async resume() { if (!window.blocked) this.state = 'running'; }
  createOscillator() { return new Voice(); }
  createGain() { return {gain: new Param(), connect(to) { return to; }}; }
};
"""


class ServedHouse:
    """A FakeHouse with its console on a port. Everything asked of the house is done in its own loop."""

    def __init__(self, house: FakeHouse | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start(house or FakeHouse())

    def start(self, house: FakeHouse) -> None:
        self.house = house
        self._loop = asyncio.new_event_loop()
        app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
        self._serving = self._loop.create_task(serve(app, "127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._run, name="served-house")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serving)
        except asyncio.CancelledError:
            pass
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left) if left else asyncio.sleep(0))
            for transport in list(getattr(self._loop, "_transports", {}).values()):  # a browser that is slow to close its end is not waited for
                transport.abort()
            for _ in range(3):  # they close in the turns after
                self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(CALL_S)
        assert not self._thread.is_alive()

    def do(self, wish: Coroutine[Any, Any, Result]) -> Result:
        """Do it in the loop of the house; its result."""
        return asyncio.run_coroutine_threadsafe(wish, self._loop).result(CALL_S)

    def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        done: Future[Result] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(function(*arguments)))
        return done.result(CALL_S)


def wait_for(page: Page, condition: Callable[[], object], what: str) -> None:
    """Let the page and the house go on until `condition()` is true."""
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up, f"never came true: {what}"
        page.wait_for_timeout(20)


def at_work(page: Page) -> None:
    """The queue is there, with everything in it that the server knew, and the link is live."""
    expect(page.locator(".queue")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_role("grid")).to_be_visible()
    expect(page.locator(".bar .link")).to_have_class("link live")


Operator = Callable[..., Page]
