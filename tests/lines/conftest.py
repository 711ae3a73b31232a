"""The codec `tiny` in the table of drivers, and lines that end with their test."""

from collections.abc import AsyncIterator, Callable

import pytest

from drivers import registry
from tests.lines import tiny
from tests.lines.tiny import House


@pytest.fixture
async def a_house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., House]]:
    """Build houses of the codec `tiny`."""
    monkeypatch.setattr(registry, "DRIVERS", dict(registry.DRIVERS))
    tiny.install()
    houses: list[House] = []

    def build(options: dict[str, object] | None = None, **config: object) -> House:
        houses.append(House(options, **config))
        return houses[-1]

    yield build
    for house in houses:
        await house.stop()
