"""What an edge finds out about itself: whether alarms come through its lines (self-test), and the sign of life that it gives outside.

A probe is seen back when the bus has it and, asked over the bus, the owner of its shard says that it is on disk there; with a test station
(self_test.station), when the owner's order to that has arrived (gateway.shard_station).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from prometheus_client import CollectorRegistry

from drivers.contract import STORED, TESTED, Rejected, Verdict
from drivers.supervisor import LineStatus
from gateway.auditor import Auditor
from gateway.bus.contract import Bus, BusDown
from gateway.bus.shard_words import DONE, MARKED, REFUSED, UNMARKED, Answer, Noted, Probed, ProbeOrder, Reached, answer_of, packed
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.config.heartbeat import of_part
from gateway.core.due import DueTimes
from gateway.core.incident import Incident
from gateway.core.shards import CATCH_ALL
from gateway.core.state import Seen
from gateway.dispatch.contract import DeliveryError
from gateway.errors import Refused, StoreDown
from gateway.event import Event, Kind
from gateway.self_test.self_test import SelfTest

ASK_S = 2.0  # the owner waits for its commit for half of it before it answers
AGAIN_S = 0.1
NOTE_S = 5.0
TELL_S = 2.0
PROBE = "probe"

_said: msgspec.msgpack.Decoder[str | Reached] = msgspec.msgpack.Decoder(str | Reached)
Receive = Callable[[Sequence[Event | Rejected]], Awaitable[Sequence[Verdict]]]


def word_of(edge: str) -> str:
    """In a subject of the bus."""
    return edge or "edge"


class EdgeWatch:
    """Self-test and heartbeat of one edge. shard_of: where an event goes; is_stuck: does the bus keep nothing at the moment?"""

    def __init__(
        self,
        config: Config,
        name: str,
        lines: Mapping[str, LineStatus],
        receive: Receive,
        bus: Bus,
        shard_of: Callable[[Event], int],
        is_stuck: Callable[[], bool],
        seen: Mapping[str, Seen],
        registry: CollectorRegistry,
    ) -> None:
        self._bus = bus
        self._test = config.self_test
        self._word = word_of(name)
        self._shard_of = shard_of
        self._is_stuck = is_stuck
        self.seen = seen
        self.due = DueTimes()
        mine = msgspec.structs.replace(config, line=tuple(line for line in config.line if line.name in lines))
        self.self_test = SelfTest(mine, self, lines, dict, receive, self.note, registry, self, self._is_test)
        heartbeat = of_part(config.heartbeat, f"edge-{name}" if name else "edge")
        self.auditor = Auditor(heartbeat, self, self, lines, config.data_folder, registry)
        self.auditor.missed = self.self_test.withholding

    def resume(self, told: Collection[str]) -> None:
        """What was told of our points before the start."""
        self.self_test.resume(told)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.self_test.run(), name="self_test")
            group.create_task(self.auditor.run(), name="auditor")
            group.create_task(self._tell(), name="self_test_news")

    async def _tell(self) -> None:
        """To the consoles, what came of the last probes; and probe at once when one asks."""
        end = await self._bus.answer(f"edge.{self._word}.{PROBE}", self._probed)
        try:
            while True:
                try:
                    await self._bus.tell(f"self_test.{self._word}", packed(self.self_test.rows()))
                except BusDown:
                    pass  # the next one tells the same
                await asyncio.sleep(TELL_S)
        finally:
            await end()

    async def _probed(self, body: bytes) -> bytes:
        try:
            (row,) = await self.self_test.at_once(msgspec.msgpack.decode(body, type=str))
        except Refused as refused:
            return packed(Answer(REFUSED, reason=refused.reason, status=refused.status))
        return packed(Answer(DONE, packed(row)))

    async def _is_test(self, line: str, device: str) -> bool:
        """The owner decides by its register, which may be newer than ours."""
        now = utc_now()
        event = Event(kind=Kind.SOS, line=line, device=device, received_at=now, occurred_at=now)
        return await self._say(event, Probed(line, device, None)) == MARKED

    async def committed(self, event: Event) -> Verdict:
        """Of a probe's event that the bus has: asked until it is on disk."""
        return TESTED if await self._say(event, Probed(event.line, event.device or "", event.received_at)) == MARKED else STORED

    async def reach(self, event: Event, delivery: str, point: str, at: datetime, within_s: float) -> float:
        """The test order, by the channel of the shard's owner. Raises DeliveryError; gateway.self_test.trial.Far has the rest."""
        order = ProbeOrder(delivery, point, at, self._test.station, self._test.channel, within_s)
        said = await self._say(event, Probed(event.line, event.device or "", event.received_at, order), within_s)
        shard = self._shard_of(event)
        if isinstance(said, Reached):
            if not said.is_there:
                raise DeliveryError(said.reason)
            return said.listened_s
        if said == UNMARKED:
            raise DeliveryError(f"the core of shard {shard} does not know the device as a test device")
        raise DeliveryError(f"the core of shard {shard} is of a version that sends no test orders: update it")

    async def _say(self, event: Event, question: Probed, timeout_s: float = ASK_S) -> str | Reached:
        """Ask the owner of its shard until it says MARKED (with `at`: and it is on disk), UNMARKED or what became of the test order.

        Whoever asks bounds the time.
        """
        body = packed(question)
        while True:
            try:
                answer = answer_of(await self._bus.ask(f"shard.{self._shard_of(event)}.probed", body, timeout_s))
                said = _said.decode(answer.body) if answer.body else None
            except (BusDown, msgspec.MsgspecError):
                said = None
            if isinstance(said, Reached) or said in (MARKED, UNMARKED):
                return said
            await asyncio.sleep(AGAIN_S)

    # --- what the auditor looks at -----------------------------------------------------------------------------------

    @property
    def open_incidents(self) -> Iterator[Incident]:
        """Incidents are with the cores, whose own auditors look at them."""
        return iter(())

    @property
    def beat(self) -> float:
        """Whoever asks runs in the loop of the lanes: they turn."""
        return monotonic()

    @property
    def is_store_down(self) -> bool:
        return self._is_stuck()

    async def note(self, kind: Kind, actor: str | None = None, **facts: object) -> None:
        """In the journal of the shard that has what is nobody's. Raises StoreDown."""
        noted = Noted(kind.value, actor, msgspec.json.encode(facts))
        try:
            await self._bus.ask(f"shard.{CATCH_ALL}.note", packed(noted), NOTE_S)
        except BusDown as down:
            raise StoreDown(str(down)) from down
