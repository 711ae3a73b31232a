"""The reactor of the tests: a new loop for each test, and Twisted's timers run on it."""

import asyncio

import pytest
from waiting import WAIT_S


@pytest.mark.parametrize("turn", [1, 2, 3])
async def test_timers_run_on_the_loop_of_each_test(turn: int) -> None:
    from twisted.internet import reactor

    fired = asyncio.Event()
    reactor.callLater(0.001, fired.set)
    reactor.callLater(60, fired.set)  # left behind on purpose
    await asyncio.wait_for(fired.wait(), WAIT_S)
