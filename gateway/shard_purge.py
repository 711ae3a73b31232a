"""Erasing where there are several shards: each owner erases what is its own, beside its alarms; all are asked by a console or by `gateway purge`.

A run takes seconds to hours and an answer three seconds at most: so a question has a key, and who asks again under it hears of the same run.
A shard that moves meanwhile has forgotten the run; the new owner begins it again, and finds what is left.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from gateway.bus.together import end
from gateway.core.register import Register
from gateway.errors import GatewayError, Refused, StoreDown
from gateway.event import new_id
from gateway.mirror_asking import Asking
from gateway.retention import Counts, Retention
from gateway.store.store import reason_of

VERB = "purge"
WAIT_S = 1.0  # so long an answer waits for the end of the run: below mirror_asking.ONCE_S
RUNS_KEPT = 16  # whose outcome may still be asked for


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """What is to be erased: all about a person, else what was kept long enough. only_look: say whether it may be, and erase nothing."""

    key: str
    actor: str
    reason: str = ""
    person: str = ""
    only_look: bool = False


class Owner(Protocol):
    """As much of gateway.app.House as erasing wants."""

    retention: Retention

    @property
    def register(self) -> Register: ...


class Runs:
    """Of the owner of a shard. forgotten: called when a person was erased, so that no console goes on showing what it has read."""

    def __init__(self, house: Owner, forgotten: Callable[[], None]) -> None:
        self._house = house
        self._forgotten = forgotten
        self._runs: dict[str, asyncio.Task[Counts]] = {}

    async def answer(self, body: bytes) -> Counts | None:
        """What was erased; None: it is still being done. Raises Refused as gateway.retention.Purge.person, StoreDown."""
        wanted = msgspec.msgpack.decode(body, type=Wanted)
        if wanted.only_look:
            await self._house.retention.look(wanted.person, self._house.register)
            return Counts()
        run = self._runs.get(wanted.key)
        if run is None:
            run = self._runs[wanted.key] = asyncio.create_task(self._run(wanted), name=f"purge {wanted.key}")
            for key in [key for key, one in self._runs.items() if one.done()][:-RUNS_KEPT]:
                del self._runs[key]
        done, _ = await asyncio.wait((run,), timeout=WAIT_S)
        if not done:
            return None
        if run.exception() is not None:
            self._runs.pop(wanted.key, None)  # whoever asks again lets it be tried again; two may have waited
        return run.result()

    async def _run(self, wanted: Wanted) -> Counts:
        retention = self._house.retention
        try:
            if not wanted.person:
                return await retention.old(wanted.actor)
            counts = await retention.person(wanted.person, self._house.register, wanted.actor, wanted.reason)
        except SQLAlchemyError as error:
            raise StoreDown(f"the database does not answer ({reason_of(error)}); try again") from error
        self._forgotten()
        return counts

    async def close(self) -> None:
        """The shard goes: what is left the next run erases."""
        await end(list(self._runs.values()))


async def purge_all(asking: Asking, shards: int, actor: str, person: str = "", reason: str = "") -> Counts:
    """Erase in every shard. Of a person nothing is erased unless all owners are there and none has an incident open or a device registered.

    Raises Refused as gateway.retention.Purge.person, StoreDown naming the shards that did not do it; the others did, and asked again do no harm.
    """
    wanted = Wanted(new_id(), actor, reason, person)

    async def work(shard: int) -> Counts:
        found: Counts | None = None
        while found is None:
            found = await asking.ask(shard, VERB, wanted, Counts | None)
        return found

    if person:
        look = msgspec.structs.replace(wanted, only_look=True)
        _raise(await asyncio.gather(*(asking.ask(shard, VERB, look, Counts) for shard in range(shards)), return_exceptions=True))
    found = await asyncio.gather(*(work(shard) for shard in range(shards)), return_exceptions=True)
    _raise(found)
    counts = Counts()
    for one in found:
        if isinstance(one, Counts):
            for name in Counts.__struct_fields__:
                setattr(counts, name, getattr(counts, name) + getattr(one, name))
    return counts


def _raise(answers: Sequence[Counts | BaseException]) -> None:
    """What all of those say that did not do it: refusals before what is only away."""
    refused = sorted((one for one in answers if isinstance(one, Refused)), key=lambda one: one.reason != "still_open")  # as one gateway says first
    if refused:
        incidents = sorted({str(name) for one in refused if one.reason == refused[0].reason for name in _listed(one.facts.get("incidents"))})
        raise Refused(refused[0].reason, refused[0].status, **{**refused[0].facts, **({"incidents": incidents} if incidents else {})})
    other = next((one for one in answers if isinstance(one, BaseException) and not isinstance(one, GatewayError)), None)
    if other is not None:
        raise other
    down = [shard for shard, one in enumerate(answers) if isinstance(one, BaseException)]
    if down:
        why = {str(answers[shard]).replace(f"shard {shard} ", "it ") for shard in down}
        names = f"shard {down[0]}" if len(down) == 1 else f"shards {', '.join(map(str, down))}"
        rest = f"; the other {len(answers) - len(down)} have answered" if len(down) < len(answers) else ""
        raise StoreDown(f"{names}: {'; '.join(sorted(why))}{rest}. Start the cores (systemctl start gateway-core), and ask again: twice does no harm")


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
