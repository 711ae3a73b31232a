"""Correcting the register at a console of several machines: asked of the owner of shard 0, in force here as soon as it has answered."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

import msgspec

from gateway.core.corrections import Correction, CorrectionWrite, RecordKind
from gateway.core.register import Register
from gateway.core.shards import CATCH_ALL
from gateway.core.state import Record
from gateway.correcting import Author, Corrections, Wish
from gateway.errors import Refused
from gateway.event import new_id
from gateway.mirror_asking import Asking
from gateway.register_import import Preview

PATIENCE_S = 60.0  # what concerns responders reads the register of a province whole, which takes half a minute


class FarCorrections(Corrections):
    """Shows what is corrected as in one process; what people say leaves for its one writer."""

    def __init__(
        self,
        asking: Asking,
        folder: Callable[[], Path],
        channels: Callable[[], Collection[str] | None],
        register: Callable[[], Register],
        swap: Callable[[Register, Sequence[str], Sequence[tuple[str | None, str]]], Awaitable[None]],
        swap_whole: Callable[[Register], Awaitable[None]],
    ) -> None:
        super().__init__(folder, channels, register, _elsewhere, swap, swap_whole)
        self._asking = asking

    async def correct(self, author: Author, wish: Wish) -> Correction:
        """As Corrections."""
        return await self._ask("correct", (author, msgspec.structs.replace(wish, asked=new_id())))

    async def take_back(self, author: Author, number: int, reason: str, asked: str = "") -> Correction:
        """As Corrections."""
        return await self._ask("take_back", (author, number, reason, asked or new_id()))

    async def decide(self, author: Author, number: int, keep: bool, reason: str, asked: str = "") -> Correction:
        """As Corrections."""
        return await self._ask("decide", (author, number, keep, reason, asked or new_id()))

    async def take_file(self, author: Author, kind: RecordKind, data: bytes, digest: str, reason: str) -> Preview:  # noqa: ARG002
        """The files lie on every machine: no console can replace them all. Raises Refused."""
        raise Refused("files_on_every_machine", 409)

    async def _ask(self, verb: str, asked: object) -> Correction:
        one: Correction = await self._asking.ask(CATCH_ALL, verb, asked, Correction, patience_s=PATIENCE_S)
        try:
            await self.follow((one,), ())
        except Refused:
            pass  # our files are others than theirs at the moment: what is told next brings it, or says why not
        return one


async def _elsewhere(_entry: Record, _write: CorrectionWrite) -> None:
    """A console writes nothing."""
    raise Refused("not_in_cluster", 409)
