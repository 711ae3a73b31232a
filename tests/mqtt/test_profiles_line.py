"""All shipped profiles on one line at a real broker: what their samples say arrives, under the names that the profiles give."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from servers import Mosquitto, Outsider, mosquitto, outsider, until  # noqa: F401

from drivers.contract import STORED, Rejected, Verdict
from drivers.mappings import SHIPPED, load_profile, shipped_names
from drivers.registry import build_line
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind, Phase


class Report:
    def live(self) -> None: ...

    def heard(self) -> None: ...

    def suspect(self, reason: str) -> None: ...


async def test_every_sample_arrives(mosquitto: Mosquitto, outsider: Outsider) -> None:  # noqa: F811
    names = sorted(shipped_names())
    samples = []
    wanted: Counter[str] = Counter()
    for name in names:
        profile = load_profile(str(SHIPPED / f"{name}.toml")).profile
        assert profile is not None
        for test in profile.tests:
            if not test.retain and test.payload and all("kind" in one for one in test.expect):
                samples.append((test.topic, test.payload))
                wanted.update(one["kind"] for one in test.expect)
    assert len(samples) > 100
    config = LineConfig(name="all", codec="mapping", broker=f"mqtt://127.0.0.1:{mosquitto.port}", options={"mappings": names})
    line = build_line(config, CallsConfig())
    events: list[Event] = []
    faults: list[Event] = []

    async def emit(given: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        for one in given:
            if isinstance(one, Event):
                (faults if one.kind is Kind.FAULT else events).append(one)
        return [STORED] * len(given)

    running = asyncio.create_task(line.run(emit, Report()))
    try:
        await until(lambda: len(faults) == len(names), "the line told how its profiles do")
        assert all(one.phase is Phase.CLEAR for one in faults)
        for topic, payload in samples:
            await outsider.publish(topic, payload)
        await outsider.publish("buttons/last/up", '{"event":"tamper"}')
        await until(lambda: any(one.device == "last" for one in events), "the last message")
        found = Counter(str(one.kind) for one in events)
        assert {kind: count for kind, count in wanted.items() if found[kind] < count} == {}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
