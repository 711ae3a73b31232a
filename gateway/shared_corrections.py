"""Corrections of the register on several machines: the owner of shard 0 writes them, and every part lays them over its own register.

One writer, as in one process: a correction may take a person from one shard to another, and their numbers say which is the later. What was
written is told over the bus at once, so that an edge needs no database; every second the mark of all of them is told, and who has others asks
for them whole.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from gateway.bus.contract import Bus, BusDown
from gateway.bus.shard_words import DONE, Corrected, CorrectionPage, answer_of, corrected_of, packed
from gateway.core.corrections import Correction
from gateway.core.shards import CATCH_ALL
from gateway.correcting import Corrections, to_nobody
from gateway.errors import Refused

log = structlog.get_logger("corrections")

SUBJECT = "corrections"
VERB = "corrections"  # asked of shard 0: {after} → CorrectionPage
BEAT_S = 1.0
PAGE_BYTES = 500_000  # of one answer: below the 1 MiB that a NATS server takes
ASK_S = 2.0
AGAIN_S = 2.0  # after a question that nobody could answer
HEARD_LIMIT = 1_000  # changes that wait while a register is read; past it all are asked for


def page(corrections: Corrections, after: int) -> CorrectionPage:
    """The corrections behind this number, as many as one answer takes."""
    rows: list[Correction] = []
    size = 0
    for number in sorted(number for number in corrections.all if number > after):
        one = corrections.all[number]
        size += len(packed(one))
        if rows and size > PAGE_BYTES:
            return CorrectionPage(tuple(rows), True)
        rows.append(one)
    return CorrectionPage(tuple(rows))


async def tell(bus: Bus, corrections: Corrections) -> None:
    """The owner of shard 0: every change, and every second their mark. Until cancelled."""
    waiting: deque[Corrected] = deque()
    wake = asyncio.Event()

    def note(written: tuple[Correction, ...], forgotten: tuple[int, ...]) -> None:
        waiting.append(Corrected(corrections.mark, written, forgotten))
        wake.set()

    async def leave() -> None:
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    await wake.wait()
            except TimeoutError:
                waiting.append(Corrected(corrections.mark))
            wake.clear()
            while waiting:
                said = waiting.popleft()
                data = packed(said)
                try:
                    await bus.tell(SUBJECT, data if len(data) <= PAGE_BYTES else packed(Corrected(said.mark)))
                except BusDown:
                    pass  # the next beat has the mark

    corrections.told = note
    try:
        await _again(leave)
    finally:
        corrections.told = to_nobody


async def _again(run: Callable[[], Awaitable[None]]) -> None:
    """Alarms can do without: a bug in it is logged, and it begins again; it ends neither shard nor edge (invariant 9)."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("part_bug", part="corrections")
            await asyncio.sleep(AGAIN_S)


class Following:
    """The corrections of a part that does not write them. is_writer: we do at the moment, and know better."""

    def __init__(self, bus: Bus, corrections: Corrections, is_writer: Callable[[], bool] = lambda: False) -> None:
        self._bus = bus
        self._corrections = corrections
        self._is_writer = is_writer
        self._heard: deque[Corrected] = deque(maxlen=HEARD_LIMIT)
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        end = await self._bus.listen(SUBJECT, self._note)
        try:
            await _again(self._follow)
        finally:
            await end()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._is_writer():
                self._heard.clear()
            else:
                await self._catch_up()

    def _note(self, _subject: str, body: bytes) -> None:
        try:
            self._heard.append(corrected_of(body))
        except msgspec.MsgspecError as error:
            log.warning("unreadable_news", subject=SUBJECT, reason=str(error))
            return
        self._wake.set()

    async def _catch_up(self) -> None:
        corrections = self._corrections
        try:
            mark = corrections.mark
            while self._heard:
                told = self._heard.popleft()
                mark = told.mark
                if mark != corrections.mark and (told.written or told.forgotten):
                    await self._lay(told)
            if mark != corrections.mark and await self._ask():
                log.info("corrections_read", count=len(corrections.all), register=corrections.version)
        except Refused as refused:
            self._tell_faulty(refused)
            await asyncio.sleep(AGAIN_S)

    def _tell_faulty(self, refused: Refused) -> None:
        """Our files have faults at the moment: what is in force stays in force."""
        log.error("corrections_wait: the files of the register have faults here", reason=refused.reason)

    async def _lay(self, told: Corrected) -> None:
        try:
            await self._corrections.follow(told.written, told.forgotten)
        except Refused:
            pass  # what cannot be laid over our files alone is read with everything, and left out if need be
        else:
            log.info("corrected", corrections=[one.number for one in told.written], register=self._corrections.version)

    async def asked(self) -> bool:
        """Ask their writer for all of them, at the start. False: nobody answers, or our files cannot be read any more."""
        try:
            return await self._ask()
        except Refused as refused:
            self._tell_faulty(refused)
            return False

    async def _ask(self) -> bool:
        """False: nobody answers. Raises Refused: files_faulty."""
        rows: list[Correction] = []
        while True:
            try:
                body = packed(rows[-1].number if rows else 0)
                answer = answer_of(await self._bus.ask(f"shard.{CATCH_ALL}.{VERB}", body, ASK_S))
                if answer.outcome != DONE:
                    return False
                found = msgspec.msgpack.decode(answer.body, type=CorrectionPage)
            except (BusDown, msgspec.MsgspecError):
                return False
            rows += found.rows
            if not found.more:
                await self._corrections.renew(rows)
                return True
