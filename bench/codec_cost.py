"""CPU of reading one message, for every codec of panels and trackers and for the mapping path: `python bench/codec_cost.py [SECONDS]`.

From bytes to an Event and to the receipt's bytes, in one process, no socket, no store: what one core could read if it did nothing else. Each line
takes SECONDS (default 1) of CPU time; the messages are those of the protocols' fact sheets. Run by `make bench` after the systems.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from drivers.contract import Signal, Surroundings, to_event  # noqa: E402
from drivers.mappings import SHIPPED, load_profile  # noqa: E402
from drivers.mqtt.mapping import MappingCodec  # noqa: E402
from drivers.registry import codec_for  # noqa: E402

NOW = datetime(2026, 8, 2, 3, 4, 10, tzinfo=UTC)
ROUND = 50  # messages between two looks at the clock
BETWEEN_S = 3.0  # of the codec's time between two messages: radio receivers fold what comes within two seconds


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of message. before: what the peer says first; wire: the message as it comes, again and again; at: when."""

    codec: str
    what: str
    wire: bytes
    before: bytes = b""
    options: dict[str, object] = field(default_factory=dict)
    at: datetime = NOW


KEY = {"8A8A": {"key": "000102030405060708090A0B0C0D0E0F"}}
ENCRYPTED = b'\n333C0076"*ADM-CID"0011L0#8A8A[C23D73ED5AFF315AB66CF9E6ADAF1BCFA47D60E3F94DE41695271078A0DDEB14DAABD1BED06FB4972EE23B8B26063E27\r'
GT06_LOGIN = bytes.fromhex("78780D01012345678901234500018CDD0D0A")
JT808_LOGIN = bytes.fromhex("7E010200090138001380000000343536313231313131947E")
CASES = (
    Case("sia_dc09", "ADM-CID, plain", b'\nD5350027"ADM-CID"0003L0#4711[#4711|1100 01 005]\r'),
    Case("sia_dc09", "SIA-DCS, plain", b'\n36FD0026"SIA-DCS"0005L0#4711[#4711|Nri1/QA005]\r'),
    Case("sia_dc09", "ADM-CID, AES-128", ENCRYPTED, options={"accounts": KEY}, at=datetime(2026, 2, 1, 12, tzinfo=UTC)),
    Case("sia_dc09", "NULL", b'\nEDCF0013"NULL"0006L0#4711[]\r'),
    Case("contact_id", "new medical", b"1234181100000054\r\n"),
    Case("surgard", "Contact ID", b"5000 184321E10100005\x14"),
    Case("surgard", "heartbeat", b"1011           @    \x14"),
    Case(
        "espa444",
        "call, priority alarm",
        bytes.fromhex("0431053205013102311f3230311e321f526f6f6d2031322063616c6c1e331f321e341f331e351f311e361f310325"),
    ),
    Case("ness", "zone alarm", b"87000361020101260201120000d6\r\n"),
    Case("elk", "zone violated", b"0AZC002900C7\r\n"),
    Case("alarmdecoder", "LRR", b"!LRR:012,1,CID_1101,ff\r\n"),
    Case("ascii_button", "RFLink", b"20;0B;NewKaku;ID=000005;SWITCH=2;CMD=ON;\r\n", options={"learned": {"000005:2": "sos"}}),
    Case("tap", "page", bytes.fromhex("02393030310d46414c4c20494e20524f4f4d20350d033437310d"), before=bytes.fromhex("0d1b5047310d")),
    Case("comp2", "page", bytes.fromhex("313233340d43616c6c20350d")),
    Case("watch3g", "keep-alive", b"[3G*8800000015*000D*LK,50,100,100]"),
    Case(
        "watch3g",
        "two alarms with position",
        b"[3G*8800000015*006D*AL,020826,030405,A,22.543096,N,114.057865,E,0.00,0.0,12.0,9,80,14,0,0,00030000,1,1,460,0,9529,21809,158,0,8.0]",
    ),
    Case("gt06", "heartbeat", bytes.fromhex("78780A134004040001000FDCEE0D0A"), GT06_LOGIN),
    Case(
        "gt06",
        "sos with position",
        bytes.fromhex("787825261A0802030405C9026B2A250C3CB15D00145A0901CC00287D001F7104040301020011D5660D0A"),
        GT06_LOGIN,
    ),
    Case("jt808", "heartbeat", bytes.fromhex("7E000200000138001380000001A97E"), JT808_LOGIN),
    Case(
        "jt808",
        "location, sos and low battery",
        bytes.fromhex("7E02000028013800138000000200000081000000030157FAF806CC6289000C0069005A2608021104050104000003E8300118310109887E"),
        JT808_LOGIN,
    ),
)


def measure(work: Callable[[], int], seconds: float) -> tuple[float, float]:
    """(messages a second, µs CPU a message); `work` handles one round and says how many signals it gave."""
    for _ in range(20):
        assert work(), "this message says nothing"
    begin, rounds = time.process_time(), 0
    while (used := time.process_time() - begin) < seconds:
        work()
        rounds += 1
    messages = rounds * ROUND
    return messages / used, 1e6 * used / messages


def stream(case: Case) -> Callable[[], int]:
    """A connection on which the message comes again and again, and is taken over each time."""
    codec = codec_for(case.codec, case.options, place=Surroundings(line="bench", utc_now=lambda: case.at))
    if case.before:
        codec.receive_data(case.before, 0.0)
        codec.data_to_send()

    now = 0.0

    def work() -> int:
        nonlocal now
        signals = 0
        for _ in range(ROUND):
            now += BETWEEN_S
            for one in codec.receive_data(case.wire, now):
                if isinstance(one, Signal):
                    to_event(one, "bench", case.at)
                    signals += 1
                codec.confirm(one)
            codec.data_to_send()
        return signals

    return work


def published(codec: Any, samples: Sequence[tuple[str, bytes]]) -> Callable[[], int]:
    """A broker's messages, one after the other."""
    turn = 0

    def work() -> int:
        nonlocal turn
        signals = 0
        for _ in range(ROUND):
            topic, payload = samples[turn % len(samples)]
            turn += 1
            for one in codec.receive_message(topic, payload, False, False, 1.0, NOW):
                if isinstance(one, Signal):
                    to_event(one, "bench", NOW)
                    signals += 1
        return signals

    return work


def main(seconds: float) -> None:
    print(f"{'codec':14}{'message':34}{'messages/s':>12}{'µs CPU':>9}")

    def line(codec: str, what: str, work: Callable[[], int]) -> None:
        rate, cost = measure(work, seconds)
        print(f"{codec:14}{what:34}{rate:12,.0f}{cost:9.1f}", flush=True)

    for case in CASES:
        line(case.codec, case.what, stream(case))
    for file in sorted(SHIPPED.glob("*.toml")):
        profile = load_profile(file.stem).profile
        assert profile is not None, f"{file} is faulty: gateway check"
        samples = [(test.topic, (test.payload or "").encode()) for test in profile.tests if test.payload is not None and test.expect]
        line("mapping", f"{file.stem}, its {len(samples)} samples", published(MappingCodec([profile], Surroundings(utc_now=lambda: NOW)), samples))
    line("generic", "sos", published(codec_for("generic"), [("wearables/w-1/event", b'{"kind":"sos","ts":1785639845000,"seq":7,"battery":80}')]))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
