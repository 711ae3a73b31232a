"""A mapping line at a real broker: one faulty profile is told of and the others read on; devices are told something."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog
from servers import Mosquitto, Outsider, mosquitto, outsider, until  # noqa: F401

from drivers.contract import STORED, Rejected, Signal, Verdict
from drivers.downlink import Tell, Word
from drivers.lines.broker import BrokerLine
from drivers.mqtt.mapping import MAX_FAULTS, OFF_S
from drivers.registry import build_line
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind, Phase
from tests.mqtt.mapping_samples import BUTTON, codec, hear


class Report:
    def live(self) -> None: ...

    def heard(self) -> None: ...

    def suspect(self, reason: str) -> None: ...


async def test_a_line_with_one_faulty_profile(mosquitto: Mosquitto, outsider: Outsider, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "broken.toml").write_text('name = "broken"\n[[rule]]\nname = "r"\ntopic = "a/{device}"\n[[rule.event]]\nkind = "sosss"\n')
    options = {"mappings": [str(tmp_path / "broken.toml"), "zigbee2mqtt"]}
    line = build_line(LineConfig(name="z", codec="mapping", broker=f"mqtt://127.0.0.1:{mosquitto.port}", options=options), CallsConfig())
    events: list[Event | Rejected] = []

    async def emit(given: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        events.extend(given)
        return [STORED] * len(given)

    with structlog.testing.capture_logs() as logged:
        running = asyncio.create_task(line.run(emit, Report()))
        await until(lambda: len(events) >= 2, "the line told how its profiles do")
    try:
        [warning] = [one for one in logged if one["event"].startswith("profile_")]
        assert (warning["event"], warning["log_level"], warning["line"], warning["profile"]) == ("profile_refused", "warning", "z", "broken")
        assert warning["fault"] == f"{tmp_path}/broken.toml:6: rule[1].event[1].kind"
        told = [(one.kind, one.phase, one.device, one.edge) for one in events if isinstance(one, Event)]
        assert told == [(Kind.FAULT, Phase.RAISE, "profile:broken", "profile"), (Kind.FAULT, Phase.CLEAR, "profile:zigbee2mqtt", "profile")]
        assert isinstance(events[0], Event)
        assert "broken.toml:6: rule[1].event[1].kind: 'sosss' is no kind" in str(events[0].detail["fault"])
        await outsider.publish("zigbee2mqtt/0x01", '{"action":"emergency"}')
        await until(lambda: len(events) == 3, "the press")
        assert isinstance(events[2], Event)
        assert (events[2].kind, events[2].device) == (Kind.SOS, "0x01")
        witness = await Outsider(mosquitto.port, subscribe="zigbee2mqtt/0x01/set").ready()
        assert await line.tell(Tell(id="1", device="0x01", word=Word.OVER)) == ""  # type: ignore[attr-defined]
        await until(lambda: witness.received != [], "the siren was told")
        assert witness.received == [("zigbee2mqtt/0x01/set", b'{"warning":{"mode":"stop"}}')]
        witness.close()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_a_profile_shut_off_is_logged_once_and_without_the_message() -> None:
    line = build_line(LineConfig(name="z", codec="mapping", broker="mqtt://127.0.0.1", options={"mappings": ["zigbee2mqtt"]}), CallsConfig())
    assert isinstance(line, BrokerLine)
    failing = codec(BUTTON.replace("btn == 'L'", "max(btn) == 'L'"))
    heard = [one for _ in range(MAX_FAULTS) for one in hear(failing, "acme/b1/up", '{"btn":"secret words"}')]
    heard += hear(failing, "acme/b1/up", '{"btn":["L"]}', now=OFF_S + 1)
    news = [one for one in heard if isinstance(one, Signal) and one.edge == "profile"]
    assert "secret words" in str(news[0].detail["fault"]), "what must not be logged"
    with structlog.testing.capture_logs() as logged:
        for signal in (news[0], news[0], news[1], news[1]):
            line.log_profile(signal)
    off, on = logged
    assert (off["event"], off["line"], off["profile"]) == ("profile_off", "z", "acme")
    assert "max(btn)" in off["fault"]
    assert "secret" not in str(logged)
    assert on["event"] == "profile_on"
