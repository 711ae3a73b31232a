"""An owner that takes long, or whose answer is lost, is asked again: what was wanted is done once all the same."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import wait_until

from gateway import mirror_asking, shard_once
from gateway.bus.contract import BusDown, Handler
from gateway.bus.shard_words import Noted, Notice
from gateway.bus.together import end
from gateway.errors import StoreDown
from gateway.mirror_asking import Asking
from gateway.shard_once import until_done
from gateway.shard_requests import serve

PATIENCE_S = 60.0


class OneBus:
    """Of one process. lose: so many answers do not arrive."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.asked = self.lose = 0
        self._answering: set[asyncio.Task[bytes]] = set()

    async def ask(self, subject: str, body: bytes, timeout_s: float) -> bytes:
        self.asked += 1
        answering = asyncio.ensure_future(self.handlers[subject](body))
        self._answering.add(answering)
        done, _ = await asyncio.wait((answering,), timeout=timeout_s)
        if self.lose or not done:
            self.lose -= bool(done)
            raise BusDown("no answer")
        return answering.result()

    async def answer(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        self.handlers[subject] = handler

        async def over() -> None:
            del self.handlers[subject]

        return over

    async def tell(self, subject: str, body: bytes) -> None: ...


class Owner:
    """As much of a house as is asked here."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.told: list[str] = []
        self.noted: list[dict[str, object]] = []
        self.is_down = False
        self.register = SimpleNamespace(responders={"station": SimpleNamespace(id="station")})
        self.store = SimpleNamespace(ownership=SimpleNamespace(epoch=1))
        self.pipeline = SimpleNamespace(mirror=None)

    def machinery(self) -> dict[str, object]:
        return {"rejected": [], "queues": {}}

    async def tell_stations(self, notice: str, _text: str, stations: list[Any]) -> dict[str, int]:
        self.told += [f"{notice}-{one.id}" for one in stations]
        await self.goes_on.wait()
        return {"told": 1}

    async def note(self, _kind: object, _actor: str, **facts: object) -> None:
        if self.is_down:
            raise StoreDown("the store takes nothing")
        self.noted.append(facts)


async def _at_once(_shard: int, _epoch: int, _number: int, _timeout_s: float) -> None: ...


async def test_stations_are_told_once_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_asking, "ONCE_S", 0.1)
    monkeypatch.setattr(shard_once, "WAIT_S", 0.02)
    bus: Any = OneBus()
    owner: Any = Owner()
    serving = asyncio.create_task(serve(bus, 0, owner))
    try:
        await wait_until(lambda: "shard.0.tell_stations" in bus.handlers, "it answers")
        telling = asyncio.create_task(until_done(Asking(bus, _at_once), 0, "tell_stations", Notice("notice-1", "fog", ("station",)), dict[str, int]))
        await wait_until(lambda: bus.asked > 3, "it is asked again")
        owner.goes_on.set()
        assert await telling == {"told": 1}
        assert owner.told == ["notice-1-station"]
    finally:
        await end([serving])


async def test_what_is_noted_is_one_entry_though_its_answer_was_lost() -> None:
    bus: Any = OneBus()
    owner: Any = Owner()
    serving = asyncio.create_task(serve(bus, 0, owner))
    try:
        await wait_until(lambda: "shard.0.note" in bus.handlers, "it answers")
        asking = Asking(bus, _at_once)
        bus.lose = 2
        await asking.ask(0, "note", Noted("audit", "Li Na", b'{"what":"reveal"}', key="k1"), Any, patience_s=PATIENCE_S)
        assert (bus.asked, owner.noted) == (3, [{"what": "reveal"}])
        await asking.ask(0, "note", Noted("audit", "Li Na", b'{"what":"reveal"}', key="k2"), Any, patience_s=PATIENCE_S)
        assert len(owner.noted) == 2, "another one is another entry"
        owner.is_down = True
        noting = asyncio.create_task(asking.ask(0, "note", Noted("audit", "Li Na", b"{}", key="k3"), Any, patience_s=PATIENCE_S))
        await wait_until(lambda: bus.asked > 5, "it is asked again")
        owner.is_down = False
        await noting
        assert len(owner.noted) == 3, "what could not be written is tried again"
    finally:
        await end([serving])
