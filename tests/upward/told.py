"""A room whose journal is on disk, and a feed that tells a municipal system of it: real HTTP, real SQLite, a clock of its own."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from gateway.config.upward import CounterpartConfig, SubscriberConfig
from gateway.core.reported import ReportWrite
from gateway.core.state import Draft
from gateway.store.reports import ReportBooks
from gateway.store.store import Batch, Store
from gateway.upward.adapters import adapter_of
from gateway.upward.feed import Feed
from gateway.upward.link import Link
from simulators.municipal import Municipal
from tests.core.room import Room

SECRET = b"an invented secret of a city"
KEY = b"an invented key of pseudonyms"


class StoredRoom(Room):
    """Whatever is decided is written down as the pipeline does it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.store = Store("sqlite:///gateway.db", folder)
        self.store.open()
        self.books = ReportBooks(self.store.engine)
        self._stored = 0
        self._versions: dict[str, object] = {}

    def __enter__(self) -> "StoredRoom":
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def _settle(self, draft: Draft) -> None:
        super()._settle(draft)
        incidents = [one for one in self.working.incidents.values() if self._versions.get(one.id) is not one]
        self._versions.update((one.id, one) for one in incidents)
        self.store.write(Batch(records=self.records[self._stored :], incidents=incidents))
        self._stored = len(self.records)

    async def write(self, write: ReportWrite) -> None:
        self.store.write(Batch(reports=[write]))

    async def story(self, device: str, told: "Told | None" = None) -> str:
        """An alarm from the press to the call back, fifteen minutes; gives the incident."""
        self.press(device)
        incident = max(self.working.open_incidents, key=lambda one: one.id)
        name, asked = incident.id, incident.legs[-1].responder
        await self.passes(10, told)
        self.do("acknowledge", name)
        self.answer(asked, "accept")
        await self.passes(240, told)
        self.answer(asked, "arrived")
        await self.passes(480, told)
        self.answer(asked, "done")
        self.do("resolve", name, outcome="helped")
        await self.passes(120, told)
        self.do("call_back", name, satisfaction=5)
        await self.passes(50, told)
        return name

    async def passes(self, seconds: int, told: "Told | None" = None) -> None:
        """Time goes by, and the feed may try whenever it wants to."""
        for _ in range(seconds // 10):
            self.advance(seconds=10)
            if told is not None:
                await told.keep_up()


def counterpart(port: int, **more: object) -> CounterpartConfig:
    settings = {"name": "city", "kind": "supervision", "url": f"http://127.0.0.1:{port}/reports", "secret_file": "x", "since": "all", **more}
    return CounterpartConfig(**settings)  # type: ignore[arg-type]


class Told:
    """One feed over the room, driven turn by turn at the room's time."""

    def __init__(self, room: StoredRoom, config: CounterpartConfig | SubscriberConfig, secret: bytes = SECRET) -> None:
        self.room = room
        self.config = config
        self.threads = ThreadPoolExecutor(1)
        self.link = Link(config.url, secret, config.timeout_s, lambda: room.now.timestamp(), sender="honggu")
        self.feed = Feed(config, room.books, room.write, self.link, adapter_of(config, KEY), lambda: room.now, self.threads)
        self.due: datetime = room.now
        self.turns = 0

    async def keep_up(self) -> None:
        """Every turn that is due by now."""
        while self.due <= self.room.now:
            self.turns += 1
            self.due = max(self.due, self.room.now) + timedelta(seconds=await self.feed.turn() or 0.001)

    async def drain(self, turns: int = 10_000) -> None:
        """Turn after turn until everything is told."""
        for _ in range(turns):
            await self.feed.turn()
            if self.feed.is_idle:
                return
        raise AssertionError(f"never told everything: {self.feed.failing}")

    async def __aenter__(self) -> "Told":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.link.close()
        self.threads.shutdown()


@asynccontextmanager
async def city(room: StoredRoom, **rude: object) -> AsyncIterator[Municipal]:
    """A municipal system with the room's clock."""
    one = Municipal(SECRET, clock=lambda: room.now.timestamp(), **rude)  # type: ignore[arg-type]
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
