"""What devices at a broker publish: a test by its name, so that it raises nothing even where nobody knows that it is one."""

import json
from typing import Any

from drivers.mqtt import generic as wearable
from drivers.mqtt import station_reply as station
from drivers.probe.contract import Moment, Probe, Step


def _topic(topics: tuple[str, ...], usual: tuple[str, ...], device: str) -> str:
    return (topics or usual)[0].replace("+", device)


def generic(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001  one signature for all
    """`{"kind": "test", "ts", "seq"}` as a wearable would."""
    payload = json.dumps({"kind": "test", "ts": moment.ms, "seq": moment.number}, separators=(",", ":")).encode()
    return Probe(device=device, steps=(Step(payload),), token=payload, topic=_topic(options.topics, wearable.TOPICS, device))


def station_reply(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001
    """An answer to an order that nobody gave, by a station that is none."""
    payload = json.dumps({"delivery": f"self-test-{moment.number}-{moment.ms}", "answer": "accept", "by": device}, separators=(",", ":")).encode()
    return Probe(device=device, steps=(Step(payload),), token=payload, topic=_topic(options.topics, station.TOPICS, device))
