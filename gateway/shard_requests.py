"""What consoles ask of a shard, answered by the core that owns it: its pipeline decides, as if the console were in the same process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gateway.app import House
from gateway.bus.contract import Bus, Handler, unpacked
from gateway.bus.shard_words import DONE, DOWN, MARKED, REFUSED, UNMARKED, WAITING, Answer, Beat, Noted, Notice, OpenMatter, Probed, packed
from gateway.clock import monotonic, utc_now
from gateway.core.absence import Wish
from gateway.core.command import Command
from gateway.core.incident import Action
from gateway.core.self_test import is_marked, row_of
from gateway.core.shards import CATCH_ALL
from gateway.core.standing import Ruling
from gateway.correcting import Author
from gateway.correcting import Wish as Correcting
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.shard_once import Once
from gateway.shard_purge import VERB as PURGE
from gateway.shard_purge import Runs
from gateway.shard_station import ShardStation
from gateway.shard_telling import Teller, beat_of
from gateway.shared_corrections import VERB, page

Do = Callable[[bytes], Awaitable[object]]
PROBED_S = 1.0  # so long the answer about a probe waits for the commit that makes it true
LOOK_S = 0.02


async def serve(bus: Bus, shard: int, house: House, core: str = "", lag_s: Callable[[], float] = lambda: 0.0) -> None:
    """Tell and answer until cancelled. core: our name; lag_s: how far behind the bus this shard is."""
    since = utc_now()

    def beat() -> Beat:
        return beat_of(core, since, lag_s(), house.machinery())

    teller = Teller(bus, shard, house.store.ownership.epoch, beat)
    house.pipeline.mirror = teller.note
    runs, once, station = Runs(house, teller.skip), Once(), ShardStation(shard, lambda: house.config, lambda: house.channels)
    ends = []
    try:
        for verb, do in (_verbs(house, shard, once, station) | {PURGE: runs.answer}).items():
            ends.append(await bus.answer(f"shard.{shard}.{verb}", _answering(do, teller)))
        await teller.run()
    finally:
        house.pipeline.mirror = None
        for end in ends:
            await end()
        await runs.close()
        await once.close()
        await station.close()


def _answering(do: Do, teller: Teller) -> Handler:
    """The answer leaves after the changes that it made, so that who asked sees them."""

    async def answer(body: bytes) -> bytes:
        try:
            done = packed(await do(body))
        except Refused as refused:
            facts: dict[str, Any] = msgspec.to_builtins(refused.facts)
            return packed(Answer(REFUSED, reason=refused.reason, status=refused.status, facts=facts, epoch=teller.epoch, number=await teller.tell()))
        except StoreDown as down:
            return packed(Answer(DOWN, reason=str(down)))
        return packed(Answer(DONE, done, epoch=teller.epoch, number=await teller.tell()))

    return answer


def _verbs(house: House, shard: int, once: Once, station: ShardStation) -> dict[str, Do]:
    decode = msgspec.msgpack.decode

    async def command(body: bytes) -> object:
        wanted = decode(body, type=Command)
        await house.recall(wanted.incident)
        merged = house.incidents.get(wanted.incident)
        if wanted.action is Action.UNMERGE and merged is not None and merged.merged_into is not None:
            await house.recall(merged.merged_into)
        return await house.command(wanted)

    async def absence(body: bytes) -> object:
        await house.absence(decode(body, type=Wish))
        return None

    async def rule(body: bytes) -> object:
        return await house.rule(decode(body, type=Ruling))

    async def note(body: bytes) -> object:
        noted = decode(body, type=Noted)
        facts = msgspec.json.decode(noted.facts, type=dict[str, Any])
        kind, actor, write = Kind(noted.kind), noted.actor, noted.write

        async def write_down() -> None:
            if write is None:
                await house.note(kind, actor or "", **facts)
            else:
                await house.access(kind, actor, write, **facts)

        if not await once.do(noted.key, write_down):
            raise StoreDown("it is not on disk yet; try again")
        return None

    async def receive(body: bytes) -> object:
        return list(await house.receive(unpacked(body).content))

    async def tell_stations(body: bytes) -> object:
        wanted = decode(body, type=Notice)
        known = house.register.responders
        stations = [known[name] for name in wanted.responders if name in known]
        return await once.do(wanted.notice, lambda: house.tell_stations(wanted.notice, wanted.text, stations))

    async def text_report(body: bytes) -> object:
        name, failed = decode(body, type=tuple[str, bool])
        return house.text_report(name, failed=failed)

    async def probed(body: bytes) -> object:
        wanted = decode(body, type=Probed)
        working = house.working
        if not is_marked(working.test_devices, working.register, wanted.line, wanted.device):
            return UNMARKED
        if wanted.at is None:
            return MARKED
        give_up = monotonic() + PROBED_S
        while (row := working.seen.get(row_of(wanted.line, wanted.device))) is None or row.at < wanted.at:
            if monotonic() > give_up:
                return WAITING
            await asyncio.sleep(LOOK_S)
        return MARKED if wanted.order is None else await station.reach(wanted.order, wanted.device)

    async def open_orders(body: bytes) -> object:
        channel, responders = decode(body, type=tuple[str, frozenset[str]])
        found = (
            OpenMatter(one.id, tuple(leg for leg in one.legs if leg.channel == channel and leg.responder in responders))
            for one in house.working.open_incidents
        )
        return [one for one in found if one.legs]

    async def undelivered(body: bytes) -> object:
        delivery, repeat, reason = decode(body, type=tuple[str, int, str])
        house.pipeline.delivered((delivery, repeat, "order"), reason)
        return None

    async def upward(_body: bytes) -> object:
        return await house.upward()

    async def correct(body: bytes) -> object:
        author, wish = decode(body, type=tuple[Author, Correcting])
        return await house.corrections.correct(author, wish)

    async def take_back(body: bytes) -> object:
        author, number, reason, asked = decode(body, type=tuple[Author, int, str, str])
        return await house.corrections.take_back(author, number, reason, asked)

    async def decide(body: bytes) -> object:
        author, number, keep, reason, asked = decode(body, type=tuple[Author, int, bool, str, str])
        return await house.corrections.decide(author, number, keep, reason, asked)

    async def corrections(body: bytes) -> object:
        return page(house.corrections, decode(body, type=int))

    verbs: dict[str, Do] = {
        "command": command,
        "absence": absence,
        "rule": rule,
        "note": note,
        "receive": receive,
        "tell_stations": tell_stations,
        "text_report": text_report,
        "probed": probed,
        "open_orders": open_orders,
        "undelivered": undelivered,
        "upward": upward,
    }
    if shard == CATCH_ALL:
        verbs |= {"correct": correct, "take_back": take_back, "decide": decide, VERB: corrections}
    return verbs
