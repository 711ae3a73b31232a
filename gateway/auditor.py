"""The auditor: compares what was due with what was done, and stops our own sign of life when something is late (service levels, rule 5).

It reads the incidents themselves, not the timers that are meant to bring them up: a timer that is lost is what it looks for. If all is well it
gives the heartbeat: to a dead man's switch, to a file, to systemd. Somebody outside who hears nothing comes and looks.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.clock import monotonic, utc_now
from gateway.config import HeartbeatConfig
from gateway.core.due import DueTimes
from gateway.core.incident import Incident
from gateway.errors import StoreDown
from gateway.event import Kind

log = structlog.get_logger("auditor")

HANGING_S = 20.0  # no turn of the pipeline for so long, as for systemd's watchdog
NAMED = 20  # late deadlines that one journal entry names; nobody reads more, and their number is counted


class Late(msgspec.Struct, frozen=True):
    """A deadline that was due and is not done."""

    incident: str
    name: str
    late_s: float


class LineState(Protocol):
    """As much of a line as decides about the beat."""

    @property
    def mandatory(self) -> bool: ...

    @property
    def state(self) -> str: ...


class Audited(Protocol):
    """What is looked at."""

    @property
    def open_incidents(self) -> Iterator[Incident]: ...

    @property
    def due(self) -> DueTimes: ...


class Pipe(Protocol):
    """The pipeline: when it last turned, whether it can write, and where a finding is journalled."""

    @property
    def beat(self) -> float: ...

    @property
    def is_store_down(self) -> bool: ...

    def note(self, kind: Kind, actor: str | None = None, **facts: object) -> Awaitable[None]: ...


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """One look. reasons: why no beat may be given, empty = all is well; late: worst first."""

    reasons: tuple[str, ...]
    late: tuple[Late, ...] = ()
    oldest_s: float = 0.0


def late_deadlines(incidents: Iterable[Incident], due: datetime | None, now: datetime, bound: timedelta) -> tuple[Late, ...]:
    """What was due more than `bound` before now, worst first. `due`: when the earliest of the times that are no incident's is due."""
    found = [
        Late(incident.id, nearest[0].partition(":")[0], (now - nearest[1]).total_seconds())
        for incident in incidents
        if (nearest := incident.next_deadline) is not None and nearest[1] + bound < now
    ]
    if due is not None and due + bound < now:
        found.append(Late("", "due", (now - due).total_seconds()))
    return tuple(sorted(found, key=lambda late: -late.late_s))


class Auditor:
    """Looks every `interval_s`. `is_well`: what the last look found; for systemd."""

    def __init__(
        self, config: HeartbeatConfig, working: Audited, pipe: Pipe, lines: Mapping[str, LineState], folder: Path, registry: CollectorRegistry
    ) -> None:
        self._config = config
        self._working = working
        self._pipe = pipe
        self._lines = lines
        self._file = folder / config.file if config.file else None
        self._known: set[tuple[str, str]] = set()  # late ones counted already
        self._told = False
        self.is_late = False
        self.missed: Callable[[], Sequence[str]] = tuple  # points of the self-test that are not seen back; given by the app
        self._client: httpx.AsyncClient | None = None
        self._oldest = Gauge("gateway_audit_oldest_overdue_seconds", "How long the deadline that is overdue longest has been", registry=registry)
        self._late = Counter("gateway_deadlines_late", "Deadlines found late by the auditor", ["deadline"], registry=registry)
        self._beats = Counter("gateway_heartbeats", "Signs of life to outside, by what became of them", ["way", "outcome"], registry=registry)
        self._withheld = Counter("gateway_heartbeats_withheld", "Looks at which no sign of life was given, by reason", ["reason"], registry=registry)

    async def run(self, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Look and beat until cancelled."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs, and this one is a secret
        self._client = httpx.AsyncClient(timeout=self._config.timeout_s, follow_redirects=False, trust_env=False)
        try:
            while True:
                await sleep(self._config.interval_s)  # first of all: what passed while we were down is done in the first second
                await self.once()
        finally:
            await self._client.aclose()

    async def once(self) -> Findings:
        """One look, and the beat if it may be given."""
        found = self.look(utc_now())
        await self._journal(found)
        if found.reasons:
            for reason in found.reasons:
                self._withheld.labels(reason.partition(":")[0]).inc()
        else:
            await self._beat()
        return found

    def look(self, now: datetime) -> Findings:
        """What is late, and what else keeps us from saying that all is well."""
        config = self._config
        bound = timedelta(seconds=config.late_s)
        late = late_deadlines(self._working.open_incidents, self._working.due.next(), now, bound)
        for one in late:
            if (one.incident, one.name) not in self._known:
                self._late.labels(one.name).inc()
        self._known = {(one.incident, one.name) for one in late}
        oldest_s = late[0].late_s if late else 0.0
        self._oldest.set(oldest_s)
        self.is_late = bool(late)
        reasons = ["late"] if late and "late" in config.withhold else []
        if monotonic() - self._pipe.beat > HANGING_S and not self._pipe.is_store_down:
            reasons.append("pipeline_hangs")
        if self._pipe.is_store_down and "store_down" in config.withhold:
            reasons.append("store_down")
        if "line_lost" in config.withhold:
            reasons += [f"line_lost:{name}" for name, line in self._lines.items() if line.mandatory and line.state == "lost"]
        if "self_test" in config.withhold:
            reasons += [f"self_test:{name}" for name in self.missed()]
        return Findings(reasons=tuple(reasons), late=late, oldest_s=oldest_s)

    async def _journal(self, found: Findings) -> None:
        """The edge, not the level: when deadlines began to be late, and when none is any more. A store that is down hears of it later."""
        if bool(found.late) is self._told:
            return
        facts: dict[str, object] = {"late": len(found.late), "bound_s": self._config.late_s}
        if found.late:
            facts |= {"oldest_s": round(found.oldest_s, 3), "incidents": [f"{one.incident} {one.name}".strip() for one in found.late[:NAMED]]}
            log.error("deadlines are late", **facts)
        else:
            log.info("no deadline is late any more")
        with contextlib.suppress(StoreDown, TimeoutError):
            async with asyncio.timeout(self._config.timeout_s):
                await self._pipe.note(Kind.AUDIT, "gateway", **facts)
            self._told = bool(found.late)

    async def _beat(self) -> None:
        config = self._config
        if self._file is not None:
            try:
                await asyncio.to_thread(_write, self._file, f"{utc_now().isoformat()}\n")
                self._beats.labels("file", "sent").inc()
            except OSError as error:
                log.warning("the heartbeat's file cannot be written", file=str(self._file), reason=error.strerror)
                self._beats.labels("file", "failed").inc()
        if config.url and self._client is not None:
            try:
                async with asyncio.timeout(config.timeout_s), self._client.stream(config.method, config.url) as response:
                    outcome = "sent" if response.is_success else f"http_{response.status_code // 100}xx"
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, TimeoutError) as error:
                outcome = "failed"
                log.warning("the heartbeat was not heard", reason=type(error).__name__)
            self._beats.labels("url", outcome).inc()


def _write(file: Path, text: str) -> None:
    """Whole or not at all: a watcher never reads half a time."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    os.replace(new, file)  # noqa: PTH105 - says what it does
