"""The gateway's own telephone: every wish to an exchange goes through here. One door, one limit, no number in any log line.

The limits protect the trunk and people from a storm of dialling, whatever asks for it: a bug, a script, a hundred orders at once. Who waits
at a screen is told at once that it is too much; orders to responders wait for their turn.
"""

import asyncio
import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from drivers.telephone import Answer, Dial, Exchange, HangUp, Ring, Told, Transfer, Wish
from gateway.clock import monotonic
from gateway.config import TelephoneConfig
from gateway.errors import Refused
from gateway.event import new_id

MINUTE_S = 60.0
LINE_FREE_S = 5.0  # when all places are taken nobody knows when one will be free: ask again after this
# Numbers that a machine never rings: police, fire, ambulance, traffic police (event model, "Who orders"); an operator may.
EMERGENCY = frozenset(("110", "119", "120", "122"))
COUNTRY = re.compile(r"^(?:\+86|0086)?0?")  # before them, in a register that was filled in by hand
MAX_WAITING = 1_000  # orders to responders that wait for a turn; more than a district has responders

log = structlog.get_logger("telephone")


def as_dialled(number: str, prefix: str = "") -> str:
    """E.164 in the form that is dialled in China: mobile numbers as they are, landlines with area code and its 0, others unchanged.

    +8613812341204 → 13812341204, +869318412345 → 09318412345. `prefix`: what the exchange wants before an outside number.
    """
    if number.startswith("+86"):
        rest = number[3:]
        number = rest if len(rest) == 11 and rest[0] == "1" else f"0{rest}"
    elif number.startswith("+"):
        number = f"00{number[1:]}"
    return f"{prefix}{number}" if len(number) > 5 else number


class Telephone:
    """Dialling with limits. `exchange`: the line that can carry out wishes at this moment, or None."""

    def __init__(
        self,
        config: TelephoneConfig,
        shown: str,
        exchange: Callable[[], Exchange | None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.config = config
        self.counts: Counter[tuple[str, str]] = Counter()  # (dial | ring | hang_up | transfer | answer, outcome)
        if config.line:
            self.counts.update({("dial", "limited"): 0, ("ring", "limited"): 0})  # an alert needs a series from the start
        self._shown = config.shown or shown
        self._exchange = exchange
        self._clock = clock
        self._dialled: deque[float] = deque()  # of the last minute
        self._running = 0
        self._urgent: deque[asyncio.Future[None]] = deque()  # orders of alarms that wait for their turn …
        self._routine: deque[asyncio.Future[None]] = deque()  # … and others, which never go before them (invariant 8)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_there(self) -> bool:
        """Is any telephone configured?"""
        return bool(self.config.line)

    @property
    def is_live(self) -> bool:
        """Can the exchange be asked at this moment?"""
        return self._exchange() is not None

    @property
    def running(self) -> int:
        """Calls of ours under way."""
        return self._running

    def check_limit(self) -> None:
        """May an operator dial now? Raises Refused 429 dial_limit with `retry_s`, when to try again."""
        wait_s = self._wait_s()
        if wait_s is None or wait_s > 0 or self._urgent or self._routine:
            self.counts["dial", "limited"] += 1
            retry_s = max(1, math.ceil(wait_s or LINE_FREE_S))
            raise Refused("dial_limit", 429, per_minute=self.config.dials_per_minute, at_once=self.config.at_once, retry_s=retry_s)

    async def dial(self, extension: str, number: str, wish_id: str = "") -> Told:
        """For an operator: ring the extension, then connect it to `number` (E.164 or as it stands). Raises Refused 429 dial_limit at once.

        wish_id: under which it can be hung up, "" for any.
        """
        self.check_limit()
        self._take()
        wish = Dial(
            id=wish_id or new_id(), agent=extension, number=as_dialled(number, self.config.prefix), shown=self._shown, ring_s=self.config.ring_s
        )
        return await self._carry_out("dial", wish)

    async def ring(self, number: str, say: str, keys: tuple[str, ...], wish_id: str = "", is_urgent: bool = True) -> Told:
        """For an order: ring `number`, take a key. Waits for its turn, the urgent before all others; emergency services are never rung by
        machine. wish_id: as in `dial`."""
        dialled = as_dialled(number, self.config.prefix)
        if COUNTRY.sub("", number) in EMERGENCY:
            return Told(outcome="refused", reason="emergency_service")
        if len(self._urgent) + len(self._routine) >= MAX_WAITING:
            self.counts["ring", "limited"] += 1
            return Told(outcome="refused", reason="dial_limit")
        await self._turn(is_urgent)
        wish = Ring(id=wish_id or new_id(), number=dialled, shown=self._shown, say=say, keys=keys, ring_s=self.config.ring_s)
        return await self._carry_out("ring", wish)

    async def hang_up(self, call: str) -> Told:
        """End a call: ends nothing of an incident."""
        return await self._ask("hang_up", HangUp(call=call))

    async def transfer(self, call: str, to: str) -> Told:
        """Send a caller on to another extension."""
        return await self._ask("transfer", Transfer(call=call, to=to))

    async def answer(self, call: str, extension: str) -> Told:
        """Send the caller of a ringing call to this extension: no call of ours, so no limit holds it up."""
        return await self._ask("answer", Answer(call=call, agent=extension))

    # ---- limits

    def _wait_s(self) -> float | None:
        """How long until one more may be dialled; None: until one of those under way has ended."""
        now = self._clock()
        while self._dialled and now - self._dialled[0] >= MINUTE_S:
            self._dialled.popleft()
        if self._running >= self.config.at_once:
            return None
        return 0.0 if len(self._dialled) < self.config.dials_per_minute else self._dialled[0] + MINUTE_S - now

    def _take(self) -> None:
        """This one is dialled now."""
        self._dialled.append(self._clock())
        self._running += 1

    def _give_back(self) -> None:
        """One has ended: the next may have its turn."""
        self._running -= 1
        self._arm()

    async def _turn(self, is_urgent: bool) -> None:
        """In order of asking, the urgent first. Cancelling gives the place up."""
        if not self._urgent and not self._routine and self._wait_s() == 0:
            self._take()
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane = self._urgent if is_urgent else self._routine
        lane.append(mine)
        self._arm()
        try:
            await mine
        except asyncio.CancelledError:
            if mine in lane:
                lane.remove(mine)
            elif mine.done() and not mine.cancelled():
                self._give_back()
            raise

    def _next(self) -> None:
        """Let those go who may; wake again when the next one may."""
        self._timer = None
        while (lane := self._urgent or self._routine) and self._wait_s() == 0:
            turn = lane.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)
        self._arm()

    def _arm(self) -> None:
        wait_s = self._wait_s()
        if (self._urgent or self._routine) and wait_s is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._next)

    async def _carry_out(self, what: str, wish: Dial | Ring) -> Told:
        try:
            return await self._ask(what, wish)
        finally:
            self._give_back()

    async def _ask(self, what: str, wish: Wish) -> Told:
        exchange = self._exchange()
        told = await exchange.ask(wish) if exchange is not None else Told(outcome="lost", reason="no_telephone")
        self.counts[what, told.outcome] += 1
        if not told.is_done:
            log.warning("not_connected", what=what, outcome=told.outcome, reason=told.reason)
        return told


def dial_metrics(telephone: Telephone) -> Iterator[Metric]:
    """What was asked of the exchange, and what runs."""
    dials = CounterMetricFamily("gateway_dials", "What was asked of the telephone exchange, by what became of it", labels=["what", "outcome"])
    for (what, outcome), count in telephone.counts.items():
        dials.add_metric([what, outcome], count)
    yield dials
    yield GaugeMetricFamily("gateway_dials_running", "Calls of ours under way", value=telephone.running)
