"""Memory is given back in quiet moments, and only then."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from gateway import tidying
from tests.dispatch.text_house import gateway, web


class Circle:
    """What only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The collector does nothing by itself, and tidying is soon due."""
    monkeypatch.setattr(tidying, "EVERY_S", 0.01)
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def running() -> AsyncIterator[None]:
    task = asyncio.create_task(tidying.tidy())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def circle() -> weakref.ref[Circle]:
    return weakref.ref(Circle())


@pytest.mark.usefixtures("running")
async def test_circles_go_in_a_calm_moment() -> None:
    for _ in range(3):
        left = circle()
        await wait_until(lambda left=left: left() is None, "the circle is freed")


@pytest.mark.usefixtures("running")
async def test_whoever_has_work_to_do_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that is busy the whole time: every timer is late."""
    looked = 0
    is_calm = tidying._is_calm

    async def looks() -> bool:
        nonlocal looked
        looked += 1
        return await is_calm()

    monkeypatch.setattr(tidying, "LOOKS", 3)
    monkeypatch.setattr(tidying, "_is_calm", looks)
    monkeypatch.setattr(tidying, "CALM_S", -1.0)  # nothing is so punctual: as if every timer came late
    left = circle()
    await wait_until(lambda: looked >= 4, "it has looked again and again")
    assert left() is not None
    monkeypatch.setattr(tidying, "CALM_S", 3600.0)
    await wait_until(lambda: left() is None, "it is calm, and the circle is freed")


async def test_a_late_timer_is_no_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "LOOKS", 1)
    looking = asyncio.create_task(tidying._is_calm())
    await asyncio.sleep(0)  # one turn: its timer runs
    time.sleep(tidying.LOOK_S + tidying.CALM_S + 0.05)  # noqa: ASYNC251  the loop works, and hears nobody
    assert await looking is False


async def test_the_gateway_does_it(tmp_path: Path) -> None:
    settings = '[[dispatch.robot]]\nname = "group"\nkind = "wecom"\nurl_file = "group.url"\n'
    with web() as server:
        (tmp_path / "group.url").write_text(f"{server.url}/robot\n")
        async with gateway(tmp_path, "robot", settings, station="group", centre="group"):
            left = circle()
            await wait_until(lambda: left() is None, "the circle is freed")
