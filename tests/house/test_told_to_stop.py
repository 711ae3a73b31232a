"""A gateway that is told to stop ends, whenever it is told: before it hears signals by the signal itself, afterwards in order."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import until

from tests.house.house import House

MOMENTS: dict[str, Callable[[House], object]] = {
    "at once": lambda _: True,
    "as soon as its database is there": lambda house: any(house.folder.rglob("gateway.db")),
    "as soon as it writes to its log": lambda house: house.log.stat().st_size > 0,
    "as soon as it says that it is ready": lambda house: house.said('"ready"') > 0,
}


@pytest.fixture
def heeded() -> Iterator[None]:
    """Whoever started us may ignore SIGINT (nohup, a job in the background), and children inherit that: what comes before we listen is lost."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_never_lost(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    async with House(tmp_path) as house:
        house.start()
        assert house.process is not None
        process = house.process
        await until(lambda: MOMENTS[moment](house), moment)
        process.send_signal(number)
        await until(lambda: process.poll() is not None, f"it ends after {number.name} {moment}")
        by_itself = (0,) if moment.endswith("ready") else (0, 130, -number)
        assert process.returncode in by_itself, house.tail()
