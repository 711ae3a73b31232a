"""The simulated ESPA control station against a hand-written station 2 on the other end of the pseudo-terminal."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from servers import until

from simulators.espa_panel import EspaPanel, encode_block
from simulators.noise import Noise
from simulators.pseudo_terminal import PseudoTerminal
from tests.simulators.stand_in import PagingStation, good

VECTORS = [  # ESPA 4.4.4 fact sheet, test vectors
    ({"1": "A"}, "01 31 02 31 1f 41 03 5f"),
    ({"1": "201", "2": "Room 12 call"}, "01 31 02 31 1f 32 30 31 1e 32 1f 52 6f 6f 6d 20 31 32 20 63 61 6c 6c 03 20"),
    (
        {"1": "201", "2": "Room 12 call", "3": "2", "4": "3", "5": "1", "6": "1"},
        "01 31 02 31 1f 32 30 31 1e 32 1f 52 6f 6f 6d 20 31 32 20 63 61 6c 6c 1e 33 1f 32 1e 34 1f 33 1e 35 1f 31 1e 36 1f 31 03 25",
    ),
    ({"1": "201", "4": "1"}, "01 31 02 31 1f 32 30 31 1e 34 1f 31 03 29"),
]

Playing = Callable[..., AbstractAsyncContextManager[tuple[EspaPanel, PagingStation]]]


@pytest.fixture
def playing(tmp_path: Path) -> Playing:
    @asynccontextmanager
    async def play(answer: Callable[[bytes, int], bytes] | None = None, noise: Noise | None = None) -> AsyncIterator[tuple[EspaPanel, PagingStation]]:
        terminal = PseudoTerminal(tmp_path / "panel0")
        terminal.plug()
        station = PagingStation(terminal.link, answer)
        panel = EspaPanel(terminal, poll_s=0.02, answer_s=0.15, noise=noise)
        running = asyncio.create_task(panel.run())
        try:
            yield panel, station
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            station.close()
            terminal.unplug()

    return play


@pytest.mark.parametrize(("records", "block"), VECTORS)
def test_blocks_are_those_of_the_fact_sheet(records: dict[str, str], block: str) -> None:
    assert encode_block(records) == bytes.fromhex(block)


async def test_polls_and_sends_a_call_until_it_is_taken(playing: Playing) -> None:
    async with playing() as (panel, station):
        await until(lambda: panel.polls_answered >= 2, "polls answered")
        call = panel.press("201", "Room 201 call")
        await until(lambda: call.confirmed, "the call is taken")
        assert station.blocks == [call.block]
        assert (call.blocks_sent, call.refusals, panel.confirmed) == (1, [], 1)


async def test_after_nak_it_repeats_twice_then_offers_again(playing: Playing) -> None:
    async with playing(lambda block, number: b"2\x15" if number <= 4 else b"\x06") as (panel, station):
        call = panel.press("201", "Room 201 call")
        await until(lambda: call.confirmed, "taken at the fifth block")
        assert call.blocks_sent == 5  # three in the first selection, two in the second
        assert call.refusals == ["2nak"] * 4
        assert len(set(station.blocks)) == 1


async def test_silence_after_a_block_is_no_receipt(playing: Playing) -> None:
    async with playing(lambda block, number: b"" if number == 1 else b"\x06") as (panel, _station):
        call = panel.press("202", "Room 202 call")
        await until(lambda: call.confirmed, "taken the second time")
        assert call.blocks_sent == 2


async def test_lost_ack_sends_the_same_block_again(playing: Playing) -> None:
    async with playing() as (panel, station):
        call = panel.press("202", "Room 202 call", again=True)
        await until(lambda: call.blocks_sent == 2 and len(station.blocks) == 2, "sent twice")
        assert station.blocks[0] == station.blocks[1]


async def test_noise_is_refused_and_every_call_arrives_whole(playing: Playing) -> None:
    async with playing(noise=Noise(seed=3, flip=0.5)) as (panel, station):
        calls = [panel.press(str(200 + number), f"Room {200 + number} call") for number in range(6)]
        await until(lambda: all(call.confirmed for call in calls), "all taken in spite of the noise")
        taken = [block for block in station.blocks if good(block)]
        assert {call.block for call in calls} <= set(taken)
        assert panel.noise.damaged > 0


async def test_unplugged_and_back(playing: Playing, tmp_path: Path) -> None:
    async with playing() as (panel, _station):
        await until(lambda: panel.polls_answered, "live")
        panel.terminal.unplug()
        assert not (tmp_path / "panel0").is_symlink()
        call = panel.press("201", "Room 201 call")
        panel.terminal.plug()
        again = PagingStation(tmp_path / "panel0")
        await until(lambda: call.confirmed, "taken after the cable is back")
        assert again.blocks == [call.block]
        again.close()


def test_noise_is_the_same_for_the_same_seed() -> None:
    def damage(seed: int) -> list[bytes]:
        noise = Noise(seed=seed, flip=0.5, garbage=0.5)
        return [noise.damage(b"20;01;EV1527;ID=1;") for _ in range(20)]

    assert damage(1) == damage(1)
    assert damage(1) != damage(2)
