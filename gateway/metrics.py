"""Metrics: what `/metrics` shows. Names are stable, labels are bounded, no personal data.

One `Metrics` a process, made by the app and handed to whoever counts. The alarm path counts in plain integers (`Books`), which a
collector reads at scrape time; histograms are observed once a batch, or once an order.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.clock import utc_now
from gateway.event import Event
from gateway.service_level import Outcome, ServiceLevels, Step

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of no use here

# Every bound that an answering or arrival profile quotes (GB/T 33358, TSA, NENA, NFPA, the fifteen-minute circle), seconds.
PEOPLE = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 64.0, 90.0),
    *(106.0, 120.0, 180.0, 300.0, 900.0, 1800.0, 2700.0, 3600.0),
)
# The machine's own clocks: the same bounds up to 10 s, and finer ones below, as a commit takes a fraction of a millisecond.
MACHINE = (0.0005, 0.001, 0.0025, *PEOPLE[:11])
BATCH = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)

log = structlog.get_logger("metrics")

LINE_STATES = ("connecting", "live", "suspect", "lost")


class Books:
    """The books of one line: received = accepted + duplicate + rejected + in flight, always (invariant 2). Plain integers, one thread.

    received    counted when the line hands a message over; in_flight until its fate is committed
    rejected    by reason, from the codec's closed list
    tested      of the accepted: synthetic alarms of our own, which say nothing of whether anybody else speaks on the line
    """

    __slots__ = ("accept_seconds", "accepted", "duplicate", "in_flight", "line", "received", "rejected", "state", "tested")

    def __init__(self, line: str, accept_seconds: Histogram) -> None:
        self.line = line
        self.received = 0
        self.accepted = 0
        self.tested = 0
        self.duplicate = 0
        self.rejected: dict[str, int] = {}
        self.in_flight = 0
        self.state = LINE_STATES[0]
        self.accept_seconds = accept_seconds

    def receive(self, count: int = 1) -> None:
        """So many were handed over; they are in flight."""
        self.received += count
        self.in_flight += count

    def accept(self, count: int = 1) -> None:
        """So many were committed as new."""
        self.accepted += count
        self.in_flight -= count

    def fold(self, count: int = 1) -> None:
        """So many were known already."""
        self.duplicate += count
        self.in_flight -= count

    def reject(self, reason: str) -> None:
        """One was rejected, for this reason."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.in_flight -= 1

    def give_back(self, count: int = 1) -> None:
        """So many were refused for our own fault (store down, busy): the line will hand them over again, so they were never received."""
        self.received -= count
        self.in_flight -= count

    @property
    def heard(self) -> int:
        """Messages of others whose fate is committed: what says that the line is not silent."""
        return self.accepted - self.tested + self.duplicate + sum(self.rejected.values())

    @property
    def unaccounted(self) -> int:
        """0, or something was lost or counted twice."""
        return self.received - self.accepted - self.duplicate - sum(self.rejected.values()) - self.in_flight


class Registry(CollectorRegistry):
    """One collector that fails does not take the page with it: what the others tell is needed most then. It is counted, and logged."""

    def __init__(self) -> None:
        super().__init__()
        self._failed: dict[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            collectors = list(self._collector_to_names)
        for collector in collectors:
            try:
                found = list(collector.collect())  # whole or not at all: of half a family nobody knows that it is one
            except Exception:
                name = type(collector).__name__
                self._failed[name] = self._failed.get(name, 0) + 1
                log.exception("metrics_bug", collector=name)
            else:
                yield from found
        failed = CounterMetricFamily(
            "gateway_metrics_failed",
            "Scrapes at which what one part has to tell could not be told; the rest was (metrics_bug in the log says why)",
            labels=["collector"],
        )
        for name, count in self._failed.items():
            failed.add_metric([name], count)
        yield failed


class _BooksCollector(Collector):
    """Reads the books when somebody scrapes."""

    def __init__(self, books: dict[str, Books]) -> None:
        self._books = books

    def collect(self) -> Iterator[Metric]:
        received = CounterMetricFamily("gateway_received", "Messages handed over by a line", labels=["line"])
        events = CounterMetricFamily("gateway_events", "Messages whose fate is committed, by outcome", labels=["line", "outcome"])
        rejected = CounterMetricFamily("gateway_rejected", "Rejected messages, by reason", labels=["line", "reason"])
        in_flight = GaugeMetricFamily("gateway_in_flight", "Messages handed over and not yet committed", labels=["line"])
        unaccounted = GaugeMetricFamily("gateway_unaccounted", "Received less accepted, duplicate, rejected and in flight: always 0", labels=["line"])
        state = GaugeMetricFamily("gateway_line_state", "1 for the state a line is in", labels=["line", "state"])
        for name, books in self._books.items():
            received.add_metric([name], books.received)
            events.add_metric([name, "accepted"], books.accepted)
            events.add_metric([name, "duplicate"], books.duplicate)
            events.add_metric([name, "rejected"], sum(books.rejected.values()))
            for reason, count in books.rejected.items():
                rejected.add_metric([name, reason], count)
            in_flight.add_metric([name], books.in_flight)
            unaccounted.add_metric([name], books.unaccounted)
            for word in LINE_STATES:
                state.add_metric([name, word], float(word == books.state))
        yield from (received, events, rejected, in_flight, unaccounted, state)


class CallBooks(Collector):
    """Calls as callers live them: who was answered, how soon, who waits now. Windows are summed when somebody scrapes, 2 ms with three hotlines.

    live: (line, hotline, waiting since or None) of each call that is going on.
    """

    def __init__(self, answer_seconds: Histogram, calls: Counter) -> None:
        self.levels = ServiceLevels(())
        self._live: Callable[[], Iterable[tuple[str, str, datetime | None]]] = tuple
        self._answer_seconds = answer_seconds
        self._calls = calls

    def measure(self, levels: ServiceLevels, live: Callable[[], Iterable[tuple[str, str, datetime | None]]]) -> None:
        """What is measured from now on; every series is there from the start."""
        self.levels = levels
        self._live = live
        for hotline in levels.wanted:
            self._answer_seconds.labels(hotline)
            for outcome in Outcome:
                self._calls.labels(hotline, outcome.value)

    def see(self, step: Step | Event) -> None:
        """A step of a call is on disk."""
        fate = self.levels.see(step, utc_now())
        if fate is None or fate.before is not None or fate.hotline not in self.levels.wanted:
            return  # a correction changes the window; counters only go up
        self._calls.labels(fate.hotline, fate.outcome.value).inc()
        if fate.outcome is Outcome.ANSWERED:
            self._answer_seconds.labels(fate.hotline).observe(fate.waited_s)

    def collect(self) -> Iterator[Metric]:
        now = utc_now()
        levels = self.levels

        def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, text, labels=labels)

        answered = gauge("gateway_call_answered_share", "Share of calls answered within so many seconds", "hotline", "profile", "within")
        met = gauge("gateway_call_profile_met", "1 while all that the profile asks is reached, in its window", "hotline", "profile")
        beyond = gauge(
            "gateway_calls_beyond", "Calls that waited longer than the profile allows without a look into each, in its window", "hotline", "profile"
        )
        for hotline, profile, tally in levels.levels(now):
            reached = tally.meets(profile)
            if reached is not None:
                met.add_metric([hotline, profile.name], float(reached))
            for target in profile.target:
                share = tally.share_within(target.within_s)
                if share is not None:
                    answered.add_metric([hotline, profile.name, f"{target.within_s:g}"], share)
            if profile.list_beyond_s is not None:
                beyond.add_metric([hotline, profile.name], tally.beyond.get(profile.list_beyond_s, 0))
        connect = gauge("gateway_call_connect_share", "Share of calls answered at all, in 24 hours", "hotline")
        abandoned = gauge("gateway_call_abandoned_share", "Share of calls given up by the caller, in 24 hours", "hotline")
        waiting = gauge("gateway_calls_waiting", "Calls offered and not yet answered", "hotline")
        longest = gauge("gateway_call_longest_waiting_seconds", "How long the one that waits longest has waited", "hotline")
        live = gauge("gateway_calls_live", "Calls going on, waiting or talking", "line")
        since: dict[str, list[datetime]] = {hotline: [] for hotline in levels.wanted}
        lines: dict[str, int] = {}
        for line, hotline, waits_since in self._live():
            lines[line] = lines.get(line, 0) + 1
            if waits_since is not None and hotline in since:
                since[hotline].append(waits_since)
        for hotline, times in since.items():
            day = levels.day(hotline, now)
            for family, share in ((connect, day.connect_share), (abandoned, day.abandoned_share)):
                if share is not None:
                    family.add_metric([hotline], share)
            waiting.add_metric([hotline], len(times))
            longest.add_metric([hotline], max(0.0, (now - min(times)).total_seconds()) if times else 0.0)
        for line, count in lines.items():
            live.add_metric([line], count)
        yield from (answered, met, beyond, connect, abandoned, waiting, longest, live)


def own_version() -> str:
    """The version that runs."""
    return __version__


class Metrics:
    """All series of the process. Keep the children you observe (`metrics.orders.labels("mqtt", "sent")`): looking one up costs a lock."""

    def __init__(self) -> None:
        self.registry = registry = Registry()
        self._books: dict[str, Books] = {}

        def histogram(name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        self._accept_seconds = histogram("gateway_accept_seconds", "Last byte of a message to its commit; the oldest of a batch", MACHINE, ("line",))
        self.commit_seconds = histogram("gateway_commit_seconds", "One transaction", MACHINE)
        self.decide_seconds = histogram("gateway_decide_seconds", "Deciding one batch, routing included", MACHINE)
        self.batch_size = histogram("gateway_batch_size", "Events in one transaction", BATCH)
        self.deadline_late_seconds = histogram("gateway_deadline_late_seconds", "Deadline due to deadline handled", PEOPLE)
        self.order_seconds = histogram("gateway_order_seconds", "Event received to order confirmed by the channel", PEOPLE, ("channel",))
        self.orders = Counter("gateway_orders_total", "Attempts to deliver an order, by result", ("channel", "result"), registry=registry)
        self.config_reload = Counter("gateway_config_reload_total", "Reloads of the configuration, by result", ("result",), registry=registry)
        self.config_info = Gauge("gateway_config_info", "1 for the version of the configuration in force", ("version",), registry=registry)
        self.store_down = Gauge("gateway_store_down", "1 while nothing can be written", registry=registry)
        self.consoles = Gauge("gateway_consoles", "Consoles connected", registry=registry)
        self.clock_steps = Counter("gateway_clock_steps", "Steps of the wall clock by more than 2 s", registry=registry)
        build = Gauge("gateway_build_info", "1 for the version that runs", ("version", "python"), registry=registry)
        build.labels(own_version(), platform.python_version()).set(1)
        self.calls = CallBooks(
            histogram("gateway_call_answer_seconds", "Call offered to call answered by a person", PEOPLE, ("hotline",)),
            Counter("gateway_calls_total", "Calls whose fate is known, by outcome", ("hotline", "outcome"), registry=registry),
        )
        self.notices = Counter("gateway_notices_total", "Attempts to tell family or a home district", ("moment", "result"), registry=registry)
        self.tellings = Counter("gateway_tellings_total", "Attempts to tell a device something", ("word", "result"), registry=registry)
        self.hand_overs = Counter(
            "gateway_hand_overs_total", "Attempts to hand a matter over, and matters taken over", ("hotline", "result"), registry=registry
        )
        for result in ("ok", "failed"):
            self.config_reload.labels(result)  # so that an alert on `failed` has a series from the start
        registry.register(_BooksCollector(self._books))
        registry.register(self.calls)
        ProcessCollector(registry=registry)

    def books(self, line: str) -> Books:
        """The books of this line, opened at the first call; keep the reference."""
        found = self._books.get(line)
        if found is None:
            found = self._books[line] = Books(line, self._accept_seconds.labels(line))
        return found

    @property
    def all_books(self) -> list[Books]:
        """Those of every line, by name."""
        return [self._books[name] for name in sorted(self._books)]

    def close_books(self, line: str) -> None:
        """The line was taken out of the configuration."""
        self._books.pop(line, None)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """(body, content type) for a scrape with this Accept header."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def config_version(self, name: str) -> None:
        """The configuration in force; the one before it disappears."""
        self.config_info.clear()
        self.config_info.labels(name).set(1)
