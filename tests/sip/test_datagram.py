"""The UDP line on a real socket: in order, nothing lost when the store is away, silence noticed, restart restored."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from waiting import WAIT_S, free_port, wait_until

from drivers.calls.hep import HepCodec, HepOptions
from drivers.contract import STORED, Rejected, Verdict
from drivers.lines import hold
from drivers.lines.datagram import DatagramLine, parse_listen
from drivers.registry import build_line, check_line
from gateway.clock import utc_now
from gateway.config import CallsConfig, LineConfig
from gateway.errors import LineError
from gateway.event import Event
from tests.sip.sip_wire import CALLER, PROXY, Dialog, hep3

CALL = Dialog()


class Pipeline:
    """Takes what it is given, or says "store down" as often as it is told to."""

    def __init__(self) -> None:
        self.kept: list[Event | Rejected] = []
        self.down = 0
        self.batches = 0

    async def emit(self, events: Sequence[Event | Rejected]) -> list[Verdict]:
        self.batches += 1
        await asyncio.sleep(0)
        if self.down:
            self.down -= 1
            return [Verdict("refused", "store_down", retry=True)] * len(events)
        self.kept += events
        return [STORED] * len(events)

    @property
    def kinds(self) -> list[str]:
        return [item.kind.value if isinstance(item, Event) else item.reason for item in self.kept]


class Told:
    def __init__(self) -> None:
        self.states: list[str] = []

    def live(self) -> None:
        self.states.append("live")

    def heard(self) -> None:
        pass

    def suspect(self, reason: str) -> None:
        self.states.append(reason)


@contextlib.asynccontextmanager
async def running(line: DatagramLine, pipeline: Pipeline, told: Told | None = None) -> AsyncIterator[socket.socket]:
    told = told or Told()
    task = asyncio.create_task(line.run(pipeline.emit, told))
    await wait_until(lambda: told.states or task.done(), "the line is live")
    if task.done():
        task.result()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", line.port))
        try:
            yield sender
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def a_line(restore: Iterable[dict[str, object]] = (), *, silence_s: float | None = None, port: int = 0, **options: object) -> DatagramLine:
    config = LineConfig(name="pbx", codec="hep", listen=f"udp:{port}:interface=127.0.0.1", silence_s=silence_s)
    return DatagramLine(config, HepCodec(HepOptions(**options), CallsConfig(hotlines=("12349",))), lambda: restore)  # type: ignore[arg-type]


def now_packet(message: bytes) -> bytes:
    return hep3(message, CALLER, PROXY, utc_now().timestamp())


async def test_a_call_over_a_real_socket() -> None:
    line, pipeline = a_line(), Pipeline()
    async with running(line, pipeline) as pbx:
        for message in (CALL.request(), CALL.response(180), CALL.response(200), CALL.request("BYE", tagged=True, cseq=2)):
            pbx.send(now_packet(message))
        pbx.send(b"noise")
        await wait_until(lambda: len(pipeline.kept) == 5, "five items")
        assert pipeline.kinds == ["call_offered", "call_ringing", "call_answered", "call_ended", "not_hep"]
        assert all(item.line == "pbx" for item in pipeline.kept)
        first = pipeline.kept[0]
        assert isinstance(first, Event)
        assert (first.device, first.time_source) == ("+8613893100001", "device")
        assert line.counts["datagrams"] == 5
        assert line.kernel_drops() == 0
    assert line.held == 0


async def test_the_largest_datagram_is_read_whole() -> None:
    pipeline = Pipeline()
    async with running(a_line(), pipeline) as pbx:
        pbx.send(now_packet(CALL.request() + b"x" * 60_000))
        await wait_until(lambda: pipeline.kept, "the call")
        assert pipeline.kinds == ["call_offered"]


async def test_what_could_not_be_stored_is_emitted_again_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "RETRY_S", (0.01, 0.02))
    line, pipeline = a_line(), Pipeline()
    pipeline.down = 3
    async with running(line, pipeline) as pbx:
        pbx.send(now_packet(CALL.request()))
        await wait_until(lambda: pipeline.batches, "a first try")
        pbx.send(now_packet(CALL.response(180)))
        pbx.send(now_packet(CALL.response(200)))
        await wait_until(lambda: len(pipeline.kept) == 3, "all three")
        assert pipeline.kinds == ["call_offered", "call_ringing", "call_answered"]


async def test_the_hold_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "HOLD_EVENTS", 5)
    monkeypatch.setattr(hold, "RETRY_S", (0.01, 0.02))
    line, pipeline = a_line(), Pipeline()
    pipeline.down = 1_000_000
    async with running(line, pipeline) as pbx:
        for index in range(20):
            pbx.send(now_packet(Dialog(call_id=f"c{index}", from_tag=f"t{index}").request()))
        pbx.send(b"noise is the first to go")
        await wait_until(lambda: line.counts["datagrams"] == 21, "all arrived")
        assert line.held <= 6
        assert line.counts["dropped"] >= 15
        pipeline.down = 0
        await wait_until(lambda: line.held == 0, "the rest is stored")
        assert "not_hep" not in pipeline.kinds
        assert pipeline.kept[-1].detail["call_id"] == "c19"  # type: ignore[index]


async def test_rubbish_pushes_out_no_call_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "HOLD_EVENTS", 8)
    monkeypatch.setattr(hold, "RETRY_S", (0.01, 0.02))
    line, pipeline = a_line(), Pipeline()
    pipeline.down = 1_000_000
    async with running(line, pipeline) as pbx:
        pbx.send(now_packet(Dialog(call_id="first", from_tag="t").request()))
        await wait_until(lambda: line.held == 1, "a call that nobody else tells us of")
        for index in range(50):
            pbx.send(b"rubbish %d" % index)
        for index in range(5):
            pbx.send(now_packet(Dialog(call_id=f"c{index}", from_tag=f"t{index}").request()))
        await wait_until(lambda: line.counts["datagrams"] == 56, "all arrived")
        pipeline.down = 0
        await wait_until(lambda: line.held == 0, "the rest is stored")
        assert pipeline.kinds.count("call_offered") == 6
        assert pipeline.kinds.count("not_hep") == 2


async def test_silence_is_noticed_and_its_end_too() -> None:
    told, pipeline = Told(), Pipeline()
    async with running(a_line(silence_s=0.1), pipeline, told) as pbx:
        await wait_until(lambda: "silent for 0.1 s" in told.states, "silence")
        pbx.send(b"noise proves nothing")
        await wait_until(lambda: pipeline.kept, "the noise")
        assert told.states == ["live", "silent for 0.1 s"]
        pbx.send(now_packet(CALL.request()))
        await wait_until(lambda: told.states.count("live") == 2, "live again")


async def test_the_codecs_timers_run_while_nothing_arrives() -> None:
    pipeline = Pipeline()
    async with running(a_line(ring_guard_s=0.05), pipeline) as pbx:
        pbx.send(now_packet(CALL.request()))
        await wait_until(lambda: len(pipeline.kept) == 2, "the guard")
        assert pipeline.kinds == ["call_offered", "call_missed"]


async def test_live_calls_are_taken_up_after_a_restart() -> None:
    before, after = Pipeline(), Pipeline()
    async with running(a_line(), before) as pbx:
        pbx.send(now_packet(CALL.request()))
        await wait_until(lambda: before.kept, "offered")
    [offered] = before.kept
    assert isinstance(offered, Event)
    async with running(a_line([offered.detail], restart_guard_s=0.05), after):
        await wait_until(lambda: after.kept, "given up")
    [missed] = after.kept
    assert isinstance(missed, Event)
    assert (missed.kind.value, missed.detail["reason"]) == ("call_missed", "not_confirmed_after_restart")
    assert missed.device == "+8613893100001"


async def test_what_is_held_outlives_a_restart_of_the_line() -> None:
    line, away, back = a_line(), Pipeline(), Pipeline()
    away.down = 1_000_000
    async with running(line, away) as pbx:
        pbx.send(now_packet(CALL.request()))
        await wait_until(lambda: away.batches, "a first try")
    async with running(line, back):
        await wait_until(lambda: back.kept, "stored at last")
    assert back.kinds == ["call_offered"]


async def test_a_port_in_use_is_a_line_error() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(LineError, match=str(port)):
            await a_line(port=port).run(Pipeline().emit, Told())


async def test_a_codec_that_raises_ends_the_line() -> None:
    line = a_line()

    def broken(*_: object) -> list[Rejected]:
        raise ZeroDivisionError

    line.codec.receive_message = broken  # type: ignore[method-assign, assignment]
    told = Told()
    task = asyncio.create_task(line.run(Pipeline().emit, told))
    await wait_until(lambda: told.states, "the line is live")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", line.port or 0))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(task, WAIT_S)


def test_endpoint() -> None:
    assert parse_listen("udp:9060") == (9060, "")
    assert parse_listen("udp:9060:interface=127.0.0.1") == (9060, "127.0.0.1")
    assert parse_listen("udp:9060:interface=\\:\\:1") == (9060, "::1")
    for wrong in ("tcp:9060", "udp:", "udp:x", "udp:70000", "udp:9060:backlog=5", "udp:9060:interface="):
        with pytest.raises(ValueError, match="udp"):
            parse_listen(wrong)


def test_configured_from_a_table_row() -> None:
    line = build_line(LineConfig(name="pbx", codec="hep", listen="udp:9060:interface=127.0.0.1"), CallsConfig(), [])
    assert (line.name, line.codec_name) == ("pbx", "hep")
    faults = check_line(LineConfig(name="pbx", codec="hep", listen="udp:x", options={"trusted": ["nowhere"]}))
    assert any("listen" in fault for fault in faults) or any("trusted" in fault for fault in faults)
    assert "answer_on" in check_line(LineConfig(name="pbx", codec="hep", listen="udp:1", options={"answer_on": "maybe"}))[0]


async def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    key = tmp_path / "hep.key"
    config = LineConfig(name="pbx", codec="hep", listen="udp:0:interface=127.0.0.1", options={"auth_key_file": str(key)})
    assert "auth_key_file" in check_line(config)[0]
    key.write_text("s3cret\n")
    line, pipeline = build_line(config, CallsConfig(hotlines=("12349",))), Pipeline()
    assert isinstance(line, DatagramLine)
    async with running(line, pipeline) as pbx:
        pbx.send(now_packet(CALL.request()))
        pbx.send(hep3(CALL.request(), key=b"s3cret"))
        await wait_until(lambda: len(pipeline.kept) == 2, "both")
    assert pipeline.kinds == ["missing_key", "call_offered"]
