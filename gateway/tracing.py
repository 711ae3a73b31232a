"""Traces (OpenTelemetry, optional): the way of an alarm through the house, from its first byte to the order that a channel took.

A trace is an incident. Its id is reckoned from the incident, so nothing is kept: what happens after a restart, or on another machine, joins it.
Spans: `alarm` (first byte to commit) with `receive`, `decide` and `commit`; `dispatch` for each order. Attributes name line, kind, incident and
channel; no person, device, responder or number. Spans are made after the commit and leave by a thread of their own; 2,048 wait at most.
"""

import asyncio
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from gateway import __version__
from gateway.clock import monotonic, utc_now
from gateway.config.tracing import TracingConfig
from gateway.core.incident import Incident, Leg
from gateway.core.state import Draft
from gateway.secrets import secret_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

log = structlog.get_logger("tracing")

WAITING: Final = 2048  # spans at most; some 500 alarms. Beyond, the oldest go
AT_ONCE: Final = 512  # in one request: 100 kB
EVERY_MS: Final = 1000.0  # as soon as anybody looks at a trace
STOP_S: Final = 2.0  # at the end, for what still waits; a collector that is away must not hold the house
SHARES: Final = 1 << 64

Attributes = dict[str, str | int]


def ids_of(incident: Incident) -> tuple[int, int]:
    """Trace id (16 octets) and id of the first span (8) of an incident; the same on every machine. Neither is ever 0, which both formats forbid."""
    digest = hashlib.blake2b(f"{incident.id} {incident.opened_at.isoformat()}".encode(), digest_size=24).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:]) or 1


class Tracing:
    """Give it each commit and each order that left. `take`: where finished spans go, in place of the collector (tests)."""

    def __init__(
        self, config: TracingConfig, folder: Path, registry: CollectorRegistry, take: "Callable[[ReadableSpan], None] | None" = None
    ) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._limit = int(config.share * SHARES)
        self._resource = Resource({"service.name": "gateway-12349", "service.version": __version__})
        self._scope = InstrumentationScope("gateway", __version__)
        self._processor: BatchSpanProcessor | None = None
        if take is None:
            logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it tells each failed attempt; we tell the edge
            self._processor = BatchSpanProcessor(_exporter(config, folder, registry), WAITING, EVERY_MS, AT_ONCE)
            take = self._processor.on_end
        self._take = take

    def committed(self, draft: Draft, began: float, decided: float, written: float) -> None:
        """A batch is on disk and not yet settled. Monotonic seconds: when deciding began and ended, and when the commit had ended."""
        now, at = time.time_ns(), monotonic()
        times = [now - int((at - when) * 1e9) for when in (began, decided, written)]
        fresh = {name for name in draft.incidents.written if name not in draft.base.incidents}
        for record in draft.records:
            incident = draft.incidents.written.get(record.incident) if record.line and record.incident else None
            if incident is None:
                continue
            trace, root = ids_of(incident)
            if trace % SHARES >= self._limit:
                continue
            attributes: Attributes = {"gateway.line": record.line or "", "gateway.kind": record.kind.value, "gateway.incident": incident.id}
            is_first = incident.id in fresh
            fresh.discard(incident.id)
            span, received = root if is_first else _new_id(), min(_nanos(record.at), times[0])
            self._tell("alarm", trace, span, 0 if is_first else root, received, times[2], attributes)
            steps = ("receive", received, times[0]), ("decide", times[0], times[1]), ("commit", times[1], times[2])
            for name, since, until in steps:
                self._tell(name, trace, _new_id(), span, since, until, {"gateway.batch": len(draft.records)} if name != "receive" else attributes)

    def dispatched(self, incident: Incident, leg: Leg, channel: str) -> None:
        """A channel took an order."""
        trace, root = ids_of(incident)
        if trace % SHARES < self._limit:
            attributes: Attributes = {"gateway.incident": incident.id, "gateway.channel": channel, "gateway.repeat": leg.repeat}
            self._tell("dispatch", trace, _new_id(), root, _nanos(leg.ordered_at), _nanos(utc_now()), attributes)

    async def run(self) -> None:
        """Until cancelled; then what still waits has STOP_S to leave."""
        try:
            await asyncio.Event().wait()
        finally:
            if self._processor is not None:
                ending = threading.Thread(target=self._processor.shutdown, name="tracing-end", daemon=True)
                ending.start()
                await asyncio.to_thread(ending.join, STOP_S)

    def _tell(self, name: str, trace: int, span: int, parent: int, since: int, until: int, attributes: Attributes) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, TraceFlags

        flags = TraceFlags(TraceFlags.SAMPLED)
        self._take(
            ReadableSpan(
                name,
                SpanContext(trace, span, is_remote=False, trace_flags=flags),
                SpanContext(trace, parent, is_remote=False, trace_flags=flags) if parent else None,
                self._resource,
                attributes,
                start_time=since,
                end_time=max(since, until),
                instrumentation_scope=self._scope,
            )
        )


def _new_id() -> int:
    return int.from_bytes(os.urandom(8)) or 1


def _nanos(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000


def _exporter(config: TracingConfig, folder: Path, registry: CollectorRegistry) -> "SpanExporter":
    """To the collector; counts, and says once when it does not take them and once when it does again."""
    import requests
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    told = Counter("gateway_traces", "Spans told to the collector, by what became of them", ["result"], registry=registry)
    session = requests.Session()
    session.trust_env = False  # no proxy of the environment
    if config.token_file:
        session.headers["Authorization"] = f"Bearer {secret_of('tracing.token_file', folder / config.token_file).decode()}"
    authority = str(folder / config.ca_file) if config.ca_file else None

    class Telling(SpanExporter):
        def __init__(self) -> None:
            self._wire = OTLPSpanExporter(config.endpoint, authority, timeout=config.timeout_s, session=session)
            self._is_away = False

        def export(self, spans: "Sequence[ReadableSpan]") -> SpanExportResult:
            result = self._wire.export(spans)
            is_away = result is not SpanExportResult.SUCCESS
            told.labels("failed" if is_away else "sent").inc(len(spans))
            if is_away is not self._is_away:
                self._is_away = is_away
                if is_away:
                    log.warning("the collector takes no traces; nothing else is touched by it", endpoint=config.endpoint)
                else:
                    log.info("the collector takes traces again", endpoint=config.endpoint)
            return result

        def shutdown(self) -> None:
            self._wire.shutdown()  # type: ignore[no-untyped-call]

    return Telling()


if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
