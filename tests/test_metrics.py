"""The metrics: books that balance and say so when they do not; names that outside scripts rely on; no label without a bound."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from drivers.contract import DUPLICATE, STORED, TESTED
from gateway.event import Event, Kind
from gateway.inbox import Incoming, Submission
from gateway.metrics import LINE_STATES, MACHINE, PEOPLE, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Everything exposed, read back by prometheus' own parser."""
    body, content_type = metrics.expose()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


async def test_a_synthetic_alarm_of_our_own_does_not_hide_that_a_line_is_silent() -> None:
    """The warning of a silent line goes by `heard`: a probe every minute would keep every line talking."""
    books = Metrics().books("wearables")
    at = datetime(2026, 3, 14, tzinfo=UTC)
    event = Event(kind=Kind.TEST, line="wearables", device="self-test", received_at=at, occurred_at=at)
    for verdict, heard in ((TESTED, 0), (STORED, 1), (TESTED, 1), (DUPLICATE, 2)):
        one = Incoming(Submission(1, asyncio.get_running_loop().create_future()), 0, event, books)
        books.receive()
        assert (books.heard, books.unaccounted) == (heard - (verdict in (STORED, DUPLICATE)), 0), "not before its fate is committed"
        one.verdict = verdict
        one.settled()
        assert (books.heard, books.unaccounted) == (heard, 0)


def test_books_balance_through_every_fate() -> None:
    metrics = Metrics()
    books = metrics.books("corridor-panel")
    books.receive(6)
    assert (books.in_flight, books.unaccounted) == (6, 0)
    books.accept(2)
    books.fold()
    books.reject("bad_crc")
    books.reject("bad_crc")
    books.give_back()
    assert (books.received, books.accepted, books.duplicate, books.rejected, books.in_flight) == (5, 2, 1, {"bad_crc": 2}, 0)
    assert books.unaccounted == 0
    assert metrics.books("corridor-panel") is books
    seen = samples(metrics)
    line = ("line", "corridor-panel")
    assert seen["gateway_received_total", frozenset([line])] == 5
    assert seen["gateway_events_total", frozenset([line, ("outcome", "accepted")])] == 2
    assert seen["gateway_events_total", frozenset([line, ("outcome", "duplicate")])] == 1
    assert seen["gateway_events_total", frozenset([line, ("outcome", "rejected")])] == 2
    assert seen["gateway_rejected_total", frozenset([line, ("reason", "bad_crc")])] == 2
    assert seen["gateway_in_flight", frozenset([line])] == 0
    assert seen["gateway_unaccounted", frozenset([line])] == 0


def test_a_lost_message_shows() -> None:
    metrics = Metrics()
    books = metrics.books("wearables")
    books.receive()
    books.in_flight = 0  # somebody forgot it
    assert samples(metrics)["gateway_unaccounted", frozenset([("line", "wearables")])] == 1


def test_a_line_is_in_one_state() -> None:
    metrics = Metrics()
    metrics.books("calls").state = "suspect"
    seen = samples(metrics)
    assert {state: seen["gateway_line_state", frozenset([("line", "calls"), ("state", state)])] for state in LINE_STATES} == {
        "connecting": 0,
        "live": 0,
        "suspect": 1,
        "lost": 0,
    }


def test_a_line_taken_out_disappears() -> None:
    metrics = Metrics()
    metrics.books("old-panel")
    metrics.close_books("old-panel")
    assert not [labels for name, labels in samples(metrics) if ("line", "old-panel") in labels and name == "gateway_received_total"]


def test_names_and_buckets_others_rely_on() -> None:
    metrics = Metrics()
    books = metrics.books("wearables")
    books.accept_seconds.observe(0.004)
    metrics.orders.labels("mqtt", "sent").inc()
    metrics.order_seconds.labels("mqtt").observe(61)
    metrics.config_version("a")
    metrics.config_version("b")
    seen = samples(metrics)
    names = {name for name, _ in seen}
    assert names >= {
        "gateway_accept_seconds_bucket",
        "gateway_batch_size_bucket",
        "gateway_build_info",
        "gateway_commit_seconds_bucket",
        "gateway_config_info",
        "gateway_config_reload_total",
        "gateway_consoles",
        "gateway_deadline_late_seconds_bucket",
        "gateway_order_seconds_bucket",
        "gateway_orders_total",
        "gateway_decide_seconds_bucket",
        "gateway_store_down",
        "process_resident_memory_bytes",
    }
    assert not [name for name in names if name.endswith("_created")]
    assert [dict(labels)["version"] for name, labels in seen if name == "gateway_config_info"] == ["b"]
    assert seen["gateway_config_reload_total", frozenset([("result", "failed")])] == 0
    bounds = {float(dict(labels)["le"]) for name, labels in seen if name == "gateway_order_seconds_bucket"}
    assert bounds == {*PEOPLE, float("inf")}
    # GB/T 33358 15 s; TSA 60 and 180 s; NENA 20 s; NFPA 64, 90 and 106 s; the fifteen-minute circle: each is a bound, so a share can be read off
    assert {15, 20, 60, 64, 90, 106, 180, 900} <= bounds
    assert len(MACHINE) < len(PEOPLE)


def test_what_one_part_cannot_tell_does_not_hide_what_the_others_tell() -> None:
    metrics = Metrics()

    class Walks(Collector):
        """Over what somebody else changes meanwhile."""

        def collect(self) -> Iterator[Metric]:
            yield GaugeMetricFamily("half", "Told before it failed", value=1)
            raise RuntimeError("dictionary changed size during iteration")

    metrics.registry.register(Walks())
    metrics.books("wearables").receive()
    with capture_logs() as logged:
        found = samples(metrics)
    assert found["gateway_received_total", frozenset({("line", "wearables")})] == 1
    assert found["gateway_metrics_failed_total", frozenset({("collector", "Walks")})] == 1
    assert not any(name == "half" for name, _ in found)
    assert [(entry["event"], entry["collector"]) for entry in logged] == [("metrics_bug", "Walks")]
