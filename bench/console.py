"""What the operators' page costs, beside its budgets (console design, 12): `python bench/console.py [SECONDS]`; writes bench/results/console.md.

A whole gateway with 2,000 open incidents of which 200 change a second, a real Chromium, normal and with its CPU slowed four times, and 49 more
consoles on the feed. Everything shares this machine's cores, so each figure is an upper bound. SECONDS: of each phase of load, 20 if not said.
"""

import asyncio
import contextlib
import gzip
import json
import multiprocessing
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import httpx
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from playwright.async_api import Browser, CDPSession, Page, async_playwright
from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[1]
sys.path[:1] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "house")]  # not bench/ itself: bench.py would hide the folder

from house import District, House  # noqa: E402

from bench.loads import cpu_s, percentile, rss  # noqa: E402
from simulators.mqtt_link import BrokerAddress  # noqa: E402
from tests.console.browser import chromium_arguments  # noqa: E402

OPEN, CHANGES_PER_S, CONSOLES = 2_000, 200, 50
PROBES = 40  # new critical incidents, each timed to the screen and taken by key
SLOWED = 4
TWICE_S = 0.6  # F2 sooner after the one before counts as the same press (app.js, TWICE_MS)
RESULT = ROOT / "bench" / "results" / "console.md"
DESK = {"name": "李娜", "extension": None}

# Before anything of the page runs: when the first frame came, when rows appeared, how long commands took, how far apart frames were drawn.
WATCH = """
(() => {
  const seen = (window.measured = { frame: null, row: null, critical: [], intervals: [], commands: [], pressed: null });
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", () => { seen.frame ??= performance.now(); });
    }
  };
  const known = new Set();
  const look = () => {
    for (const row of document.querySelectorAll(".queue [data-id]")) {
      if (known.has(row.dataset.id)) continue;
      known.add(row.dataset.id);
      seen.row ??= performance.now();
      if (row.className.includes("critical")) requestAnimationFrame(() => seen.critical.push(Date.now()));
    }
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-id", "class"] });
  let last = null;
  const frame = (at) => {
    if (last !== null) seen.intervals.push(at - last);
    last = at;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  document.addEventListener("keydown", () => { seen.pressed = performance.now(); }, true);
  const ask = window.fetch;
  window.fetch = async (path, ...rest) => {
    const answer = await ask(path, ...rest);
    if (String(path).endsWith("/acknowledge")) seen.commands.push([answer.status, performance.now() - seen.pressed]);
    return answer;
  };
})();
"""


class Figure(NamedTuple):
    """One line of the table. value and budget in the same unit."""

    measure: str
    value: float
    budget: float
    unit: str

    @property
    def line(self) -> str:
        verdict = "kept" if self.value <= self.budget else "MISSED"
        return f"| {self.measure} | {self.value:.0f} {self.unit} | {self.budget:.0f} {self.unit} | {verdict} |"


def changes(url: str, devices: int, rate: float, stop: Any) -> None:
    """Presses of people who have an open incident, until told to stop."""
    address = BrokerAddress.parse(url)
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)
    client.connect(address.host, address.port)
    client.loop_start()
    chance, begin, sent = random.Random(12349), time.monotonic(), 0
    while not stop.is_set():
        while sent < (time.monotonic() - begin) * rate:
            body = json.dumps({"kind": "help", "ts": time.time_ns() // 1_000_000})
            client.publish(f"wearables/w-{chance.randrange(devices):06}/event", body, qos=1)
            sent += 1
        time.sleep(0.005)
    client.disconnect()
    client.loop_stop()


def audience(address: str, consoles: int, started: Any, stop: Any) -> None:
    """So many consoles that read what the feed sends, as browsers do."""

    async def read() -> None:
        async with connect(f"{address.replace('http', 'ws')}/api/v1/feed?since=0&epoch=", max_size=None, compression="deflate") as socket:
            async for _ in socket:
                pass

    async def all_of_them() -> None:
        readers = [asyncio.create_task(read()) for _ in range(consoles)]
        started.set()
        while not stop.is_set():  # noqa: ASYNC110 an event of another process
            await asyncio.sleep(0.1)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    asyncio.run(all_of_them())


@contextlib.contextmanager
def beside(target: Any, *arguments: object) -> Iterator[None]:
    """A process of its own for as long as the block lasts."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=target, args=(*arguments, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(20)


async def fill(house: House) -> None:
    """2,000 people with an open incident each, as a bad evening has them: few urgent, many not."""
    async with aiomqtt.Client(house.address.host, house.address.port) as mouth:
        for number in range(OPEN):
            kind = "fall_suspected" if number % 20 == 0 else "help"
            await mouth.publish(f"wearables/w-{number:06}/event", json.dumps({"kind": kind, "ts": time.time_ns() // 1_000_000}), qos=1)
    async with httpx.AsyncClient(base_url=house.console, trust_env=False) as client:
        for _ in range(600):
            items = (await client.get("/api/v1/changes", params={"since": 0})).json()["items"]
            if sum(item["type"] == "incident" for item in items) >= OPEN:
                return
            await asyncio.sleep(0.1)
    raise AssertionError("the incidents did not open")


async def changes_per_s(house: House, seconds: float) -> float:
    """How many rows really changed, as the feed counts them."""
    async with httpx.AsyncClient(base_url=house.console, trust_env=False) as client:
        before, begin = (await client.get("/api/v1/changes", params={"since": 0})).json(), time.monotonic()
        await asyncio.sleep(seconds)
        params = {"since": before["rev"], "epoch": before["epoch"]}
        return float((await client.get("/api/v1/changes", params=params)).json()["rev"] - before["rev"]) / (time.monotonic() - begin)


async def share_of_core(house: House, seconds: float) -> float:
    before, begin = cpu_s(house.process.pid), time.monotonic()
    await asyncio.sleep(seconds)
    return 100 * (cpu_s(house.process.pid) - before) / (time.monotonic() - begin)


class Desk:
    """One page of the console, measured."""

    def __init__(self, page: Page, debugger: CDPSession) -> None:
        self.page, self.debugger = page, debugger

    @classmethod
    async def at(cls, browser: Browser, console: str) -> "Desk":
        page = await (await browser.new_context(viewport={"width": 1920, "height": 1080}, locale="zh-CN")).new_page()
        await page.add_init_script(WATCH)
        await page.goto(console)
        await page.locator("#duty-name").fill("李娜")
        await page.keyboard.press("Enter")
        await page.locator(".queue [data-id]").first.wait_for()
        debugger = await page.context.new_cdp_session(page)
        await debugger.send("Performance.enable")
        return cls(page, debugger)

    async def slow(self, rate: int) -> None:
        await self.debugger.send("Emulation.setCPUThrottlingRate", {"rate": rate})

    async def measured(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.page.evaluate("measured")
        return found

    async def start_again(self) -> tuple[float, float]:
        """ms from the address to the first row, and from the snapshot to it."""
        await self.page.reload()
        await self.page.locator(".queue [data-id]").first.wait_for()
        seen = await self.measured()
        return seen["row"], seen["row"] - seen["frame"]

    async def busy(self, seconds: float) -> tuple[float, float]:
        """Per cent of the main thread's time, and the p95 of the time between two frames, ms."""
        await self.page.evaluate("measured.intervals.length = 0")
        before, begin = await self._task_s(), time.monotonic()
        await asyncio.sleep(seconds)
        used = 100 * (await self._task_s() - before) / (time.monotonic() - begin)
        return used, percentile((await self.measured())["intervals"], 0.95)

    async def _task_s(self) -> float:
        metrics = (await self.debugger.send("Performance.getMetrics"))["metrics"]
        return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")

    async def cries(self, house: House) -> tuple[list[float], list[float]]:
        """ms from a press to its row on the screen, and from the key that takes it to the server's answer."""
        shown: list[float] = []
        async with aiomqtt.Client(house.address.host, house.address.port) as mouth:
            for number in range(PROBES):
                before = len((await self.measured())["critical"])
                at = time.time() * 1000
                await mouth.publish(f"wearables/w-{OPEN + number:06}/event", json.dumps({"kind": "sos", "ts": int(at)}), qos=1)
                await self.page.wait_for_function(f"() => measured.critical.length > {before}", polling=20)
                shown.append((await self.measured())["critical"][before] - at)
                await self.page.keyboard.press("F2")
                pressed = time.monotonic()
                await self.page.wait_for_function(f"() => measured.commands.length > {number}", polling=20)
                await asyncio.sleep(max(0.0, pressed + TWICE_S - time.monotonic()))
        commands = (await self.measured())["commands"]
        assert all(status == 200 for status, _ in commands), commands
        return shown, [took for _, took in commands]

    async def weight(self) -> tuple[float, float, float]:
        """KB of the JavaScript that was loaded, compressed: without the map, and of the map; and how many nodes the queue has."""
        loaded = await self.page.evaluate("performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)")
        static = ROOT / "gateway" / "console" / "static"
        scripts = {path for path in loaded if path.endswith((".js", ".mjs"))}
        sizes = {path: len(gzip.compress((static / path.removeprefix("/static/")).read_bytes(), 6)) / 1024 for path in scripts}
        of_map = sum(size for path, size in sizes.items() if path.endswith("/leaflet.js"))
        nodes: float = await self.page.evaluate("document.querySelectorAll('.queue *').length")
        return sum(sizes.values()) - of_map, of_map, nodes


async def measure(house: House, browser: Browser, seconds: float) -> list[Figure]:
    figures: list[Figure] = []
    await fill(house)
    with beside(changes, house.broker.url, OPEN, CHANGES_PER_S):
        await asyncio.sleep(2)
        alone, memory = await share_of_core(house, seconds), rss(house.process.pid) / 2**20
        desk = await Desk.at(browser, house.console)
        usable, painted = await desk.start_again()
        busy, frame = await desk.busy(seconds)
        changed = await changes_per_s(house, seconds)
        assert changed > 0.8 * CHANGES_PER_S, f"only {changed:.0f} rows changed a second"
        shown, taken = await desk.cries(house)
        scripts, of_map, nodes = await desk.weight()
        await desk.slow(SLOWED)
        _, painted_slowed = await desk.start_again()
        busy_slowed, frame_slowed = await desk.busy(seconds)
        await desk.slow(1)
        context = multiprocessing.get_context("spawn")
        started = context.Event()
        with beside(audience, house.console, CONSOLES - 1, started):
            await asyncio.to_thread(started.wait, 20)
            await asyncio.sleep(2)
            together, more = await share_of_core(house, seconds), rss(house.process.pid) / 2**20
    figures += [
        Figure("decision → row on screen, p99", percentile(shown, 0.99), 500, "ms"),
        Figure("acknowledge key → confirmed, p95", percentile(taken, 0.95), 300, "ms"),
        Figure("main thread busy", busy, 20, "%"),
        Figure(f"main thread busy, CPU slowed {SLOWED} ×", busy_slowed, 50, "%"),
        Figure("frame, p95", frame, 40, "ms"),
        Figure(f"frame, p95, CPU slowed {SLOWED} ×", frame_slowed, 40, "ms"),
        Figure("snapshot → painted", painted, 800, "ms"),
        Figure(f"snapshot → painted, CPU slowed {SLOWED} ×", painted_slowed, 800, "ms"),
        Figure("page to usable", usable, 1500, "ms"),
        # The design has 130 KB in all, the map's library (42 KB) among them. It comes when a map is first drawn, so it is counted apart.
        Figure("JavaScript before the queue can be worked, compressed", scripts, 130, "KB"),
        Figure("the same and the map's, which keeps nobody waiting", scripts + of_map, 170, "KB"),
        Figure("DOM nodes in the queue", nodes, 700, ""),
        Figure(f"server, {CONSOLES} consoles: CPU above none", together - alone, 25, "% of a core"),
        Figure(f"server, {CONSOLES} consoles: memory above none", more - memory, 80, "MB"),
    ]
    return figures


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="console-") as name:
        house = House(Path(name), District(wearables=OPEN + PROBES, rooms=1, buttons=1, callers=1))
        async with house, async_playwright() as playwright:
            house.start()
            await house.ready()
            await house.lines_live("wearables")
            browser = await playwright.chromium.launch(**chromium_arguments())
            figures = await measure(house, browser, seconds)
            await browser.close()
            assert await house.stop() == 0
    lines = ["| measure | here | budget | |", "|---|---|---|---|", *(figure.line for figure in figures)]
    print("\n".join(lines))
    head = f"# The operators' page beside its budgets\n\n{OPEN:,} open incidents, {CHANGES_PER_S} changes a second, Chromium, {platform.machine()}, "
    RESULT.write_text(f"{head}two cores shared by all. Made by `python bench/console.py`.\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20))
