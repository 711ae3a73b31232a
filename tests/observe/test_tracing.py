"""Traces: a whole gateway tells a real OTLP receiver of an alarm's way, names nobody, and neither a dead nor a hanging receiver harms an alarm."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from house import District, House
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from waiting import free_port

from gateway.config import examine_config
from gateway.config.tracing import TracingConfig
from gateway.core.incident import Incident, State
from gateway.event import Kind, Severity
from gateway.tracing import Tracing, ids_of
from simulators.stations import Behaviour, Stations
from simulators.wearables import Fleet

NOW = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
INCIDENT = Incident(
    id="I100001", key="k", kind=Kind.SOS, severity=Severity.CRITICAL, state=State.RAISED, opened_at=NOW, changed_at=NOW, last_event_at=NOW, ts=0
)


@dataclass(slots=True)
class Receiver:
    """An OTLP collector over HTTP: keeps every span, and the headers."""

    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    url: str = ""

    @contextlib.contextmanager
    def listening(self) -> Iterator["Receiver"]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                for resource in request.resource_spans:
                    outer.services |= {one.value.string_value for one in resource.resource.attributes if one.key == "service.name"}
                    outer.spans += [span for scope in resource.scope_spans for span in scope.spans]
                body = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def attributes(span: Span) -> dict[str, object]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def with_tracing(house: House, lines: str) -> None:
    """And critical alarms are ordered at once, as the house of the tests has it."""
    house.config.write_text(house.config.read_text(encoding="utf-8") + f"[tracing]\n{lines}\n", encoding="utf-8")


@contextlib.asynccontextmanager
async def crying(house: House) -> "contextlib.AbstractAsyncContextManager[Fleet]":
    stations = Stations(
        house.address, choose=lambda *_: Behaviour("silent", answer_after=(0.0, 0.1), travel=(1.0, 1.0)), seed=1, identifier="stations"
    )
    fleet = Fleet(house.address, prefix="wearables-of-the-test")
    tasks = [asyncio.create_task(part.run()) for part in (stations, fleet)]
    try:
        yield fleet
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def counted(house: House, spans: int) -> bool:
    return await house.metric("gateway_traces_total", result="sent") >= spans


async def true(value: object) -> bool:
    return bool(value)


async def test_an_alarm_from_its_first_byte_to_its_order(tmp_path: Path) -> None:
    with Receiver().listening() as receiver:
        async with House(tmp_path, District(wearables=3, rooms=1, buttons=1, callers=1)) as house:
            (tmp_path / "token").write_text("invented-token\n")
            with_tracing(house, f'endpoint = "{receiver.url}"\ntoken_file = "token"')
            house.start()
            await house.ready()
            await house.lines_live("wearables")
            async with crying(house) as fleet:
                fleet.send(house.district.wearable(0), "sos")
                await house.sees(lambda: true(receiver.named("dispatch")), "the order is told")
                fleet.send(house.district.wearable(0), "sos")  # a second cry is part of the same incident
                await house.sees(lambda: true(len(receiver.named("alarm")) == 2), "the second cry is told")
            await house.sees(lambda: counted(house, 5), "they are counted, once the collector has thanked")
            assert await house.stop() == 0

    first, second = sorted(receiver.named("alarm"), key=lambda span: span.start_time_unix_nano)
    order = min(receiver.named("dispatch"), key=lambda span: span.start_time_unix_nano)
    assert {span.trace_id for span in receiver.spans} == {first.trace_id}
    assert not first.parent_span_id
    assert second.parent_span_id == order.parent_span_id == first.span_id
    steps = {span.name: span for span in receiver.spans if span.parent_span_id == first.span_id and span.name in ("receive", "decide", "commit")}
    assert set(steps) == {"receive", "decide", "commit"}
    times = [time for name in ("receive", "decide", "commit") for time in (steps[name].start_time_unix_nano, steps[name].end_time_unix_nano)]
    assert times == sorted(times)
    assert (first.start_time_unix_nano, first.end_time_unix_nano) == (times[0], times[-1])
    assert times[-1] - times[0] < 10e9
    assert order.end_time_unix_nano >= first.end_time_unix_nano
    assert attributes(first) == {"gateway.line": "wearables", "gateway.kind": "sos", "gateway.incident": "I100001"}
    assert attributes(order)["gateway.channel"] == "mqtt"
    assert receiver.services == {"gateway-12349"}
    assert {one["authorization"] for one in receiver.headers} == {"Bearer invented-token"}
    told = b"".join(span.SerializeToString() for span in receiver.spans)
    for name in (house.district.wearable(0), "pw-0", "home-pw-0", "某人", "station-"):
        assert name.encode() not in told


@pytest.mark.parametrize("how", ["dead", "hanging"])
async def test_a_collector_that_is_away_harms_nothing(tmp_path: Path, how: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)  # takes connections and never answers
        port = free_port() if how == "dead" else silent.getsockname()[1]
        async with House(tmp_path, District(wearables=40, rooms=1, buttons=1, callers=1)) as house:
            with_tracing(house, f'endpoint = "http://127.0.0.1:{port}/v1/traces"\ntimeout_s = 0.5')
            house.start()
            await house.ready()
            await house.lines_live("wearables")
            async with crying(house) as fleet:
                messages = [fleet.send(house.district.wearable(number), "sos") for number in range(40)]
                await house.sees(lambda: true(all(one.confirmed for one in messages)), "every alarm has its receipt")
                await house.sees(lambda: true(house.said("the collector takes no traces")), "it is said")
            assert house.said("the collector takes no traces") == 1  # the edge, not the level
            assert await house.unbalanced() == {}
            assert await house.stop() == 0  # and the end does not wait for it


def test_a_trace_is_the_incident_whatever_happens_between() -> None:
    assert ids_of(INCIDENT) == ids_of(Incident(**{name: getattr(INCIDENT, name) for name in INCIDENT.__struct_fields__}))
    other = Incident(**{**{name: getattr(INCIDENT, name) for name in INCIDENT.__struct_fields__}, "id": "I100002"})
    assert ids_of(other)[0] != ids_of(INCIDENT)[0]
    assert all(0 < one < 1 << 128 for one in ids_of(INCIDENT))


def test_a_share_takes_the_same_incidents_always() -> None:
    from prometheus_client import CollectorRegistry

    from gateway.core.incident import Leg, LegState

    leg = Leg(delivery="d", responder="r", channel="mqtt", state=LegState.SENT, ordered_at=NOW, reply_by=NOW, ts=0)
    fields = {name: getattr(INCIDENT, name) for name in INCIDENT.__struct_fields__}
    incidents = [Incident(**{**fields, "id": f"I{number}"}) for number in range(100_000, 101_000)]
    told: dict[float, list[str]] = {}
    for share in (0.0, 0.25, 1.0):
        taken: list[str] = []
        tracing = Tracing(
            TracingConfig(endpoint="http://127.0.0.1:1", share=share),
            Path(),
            CollectorRegistry(),
            lambda span, taken=taken: taken.append(str(span.attributes["gateway.incident"])),
        )
        for incident in incidents:
            tracing.dispatched(incident, leg, "mqtt")
        told[share] = taken
    assert (len(told[0.0]), len(told[1.0])) == (0, 1000)
    assert 180 < len(told[0.25]) < 320
    assert set(told[0.25]) < set(told[1.0])


def test_what_is_missing_is_told_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.toml"

    def told(lines: str) -> set[str]:
        file.write_text(f"[tracing]\n{lines}\n")
        return {problem.partition(": ")[2] for problem in examine_config(file)[1] if "tracing." in problem}

    assert told('endpoint = "collector:4318"') == {"tracing.endpoint: is no web address; write http://HOST:4318/v1/traces"}
    files = told('endpoint = "http://127.0.0.1:4318/v1/traces"\nca_file = "none.pem"\ntoken_file = "none"')
    assert {problem.partition(":")[0] for problem in files} == {"tracing.ca_file", "tracing.token_file"}
    monkeypatch.setattr("gateway.config.tracing.find_spec", lambda _: None)
    assert told('endpoint = "http://127.0.0.1:4318/v1/traces"') == {
        "tracing.endpoint: the packages are missing; install the extra `tracing`, or leave it empty"
    }
