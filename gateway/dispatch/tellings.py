"""What devices are told leaves over the line they cried on: a text on a watch, a confirmation to a terminal, a siren switched off.

What is pending stands in the incident (gateway.core.incident.Telling.state), so nothing is kept here that a crash could lose. A device
that is not connected is tried again for a while: a watch comes back every five to eight minutes.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from drivers.downlink import Downlink, Tell, Word
from gateway.clock import utc_now
from gateway.core.incident import Incident, Telling
from gateway.dispatch.under_way import UnderWay
from gateway.dispatch.words import told_in_words
from gateway.metrics import Metrics

log = structlog.get_logger("tellings")

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 30.0
GIVE_UP = timedelta(minutes=10)  # the longest normal gap between two keep-alives of a watch is eight minutes (watch sheet, section 4)
PASSING = frozenset(("not_connected", "busy", "timeout", "lost"))
AT_ONCE = 100  # each waits for a device; an operator takes a few incidents a minute, a storm of hundreds is told in turn


class Reports(Protocol):
    """Where results go: the pipeline, which writes them down."""

    def told(self, incident: str, telling: str, reason: str) -> None: ...

    def still_telling(self, incident: str, telling: str) -> Telling | None: ...


class Tellings(UnderWay):
    """One task a pending telling, AT_ONCE of them at work; there are never more than the open incidents hold."""

    def __init__(self, line: Callable[[str], Downlink | None], reports: Reports, metrics: Metrics, language: Callable[[], str]) -> None:
        super().__init__()
        self._line = line
        self._reports = reports
        self._metrics = metrics
        self._language = language
        self._room = asyncio.Semaphore(AT_ONCE)

    def offer(self, incident: Incident) -> None:
        """Tell what is pending, unless it is under way already."""
        for telling in incident.tellings:
            if telling.state == "pending":
                self.begin(telling.id, partial(self._deliver, incident.id, telling.id))

    async def _deliver(self, incident: str, name: str) -> None:
        delay = FIRST_RETRY_S
        while (telling := self._reports.still_telling(incident, name)) is not None:
            async with self._room:
                reason = await self._attempt(telling)
            is_over = reason not in PASSING or utc_now() - telling.at > GIVE_UP
            self._metrics.tellings.labels(telling.word, "told" if not reason else "failed" if is_over else "retried").inc()
            if is_over:
                self._reports.told(incident, name, reason)
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_S)
        self.reported(name)

    async def _attempt(self, telling: Telling) -> str:
        line = self._line(telling.line)
        if line is None:
            return "not_connected"
        text = told_in_words(telling.word, self._language())
        try:
            return await line.tell(Tell(id=telling.id, device=telling.device, word=Word(telling.word), text=text))
        except Exception:  # a bug of a codec; it must not stop the other tellings
            log.exception("telling_bug", line=telling.line)
            return "failed"
