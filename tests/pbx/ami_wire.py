"""What the tests of the AMI codec share: recordings as bytes, a codec that listens, calls added up out of signals, and an Asterisk in small."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.contract import Rejected, Signal
from drivers.pbx.ami import AmiCodec, AmiOptions
from gateway.config import CallsConfig

FOLDER = Path(__file__).parent.parent / "vectors" / "pbx" / "ami"
AT = datetime(2026, 6, 12, 4, 0, tzinfo=UTC)
CALLS = CallsConfig(hotlines=("12349", "12345"), area_code="0931", agents={"8001": "Li", "8002": "Ma"})
BANNER = b"Asterisk Call Manager/11.0.0\r\n"
OUTCOMES = {"call_answered": "answered", "call_transferred": "transferred", "call_abandoned": "abandoned", "call_missed": "missed"}


def recording(name: str) -> bytes:
    """A vector as it went over the wire: without its header, lines ended by CRLF."""
    text = (FOLDER / f"{name}.txt").read_text("utf-8")
    return text[text.index("Asterisk Call Manager") :].replace("\n", "\r\n").encode()


def expected(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def listening(calls: CallsConfig = CALLS, line: str = "pbx", **options: Any) -> AmiCodec:
    return AmiCodec(AmiOptions(**options), calls, line)


def feed(codec: AmiCodec, pieces: Iterable[bytes], now: float = 1.0) -> list[Signal | Rejected]:
    return [one for piece in pieces for one in codec.receive_data(piece, now, AT)]


def look(found: Iterable[Signal | Rejected]) -> list[object]:
    return [(one.kind, one.device, one.dedup, one.time, one.detail, one.raw) if isinstance(one, Signal) else (one.reason, one.raw) for one in found]


def add_up(found: Iterable[Signal | Rejected]) -> list[dict[str, Any]]:
    """The calls as `expected` has them. Seconds count from the call's first event, by the exchange's own clock."""
    calls: dict[str, dict[str, Any]] = {}
    began: dict[str, datetime] = {}
    for one in found:
        assert isinstance(one, Signal), one
        assert one.time is not None
        key = str(one.detail["call"])
        since = began.setdefault(key, one.time)
        call = calls.setdefault(key, {"events": [], "outcome": None, "detail": {}})
        call["events"].append([one.kind.value.removeprefix("call_"), round((one.time - since).total_seconds(), 3)])
        call["outcome"] = OUTCOMES.get(one.kind.value, call["outcome"])
        call["detail"] |= one.detail
    for call in calls.values():
        detail = call["detail"]
        call |= {name: detail.get(name) for name in ("caller", "called", "hotline", "agent", "reason", "by")}
    return list(calls.values())


def message(head: str, *lines: str, **fields: object) -> bytes:
    """One message: `Event: Hangup`, fields in order; a key that is no Python name goes into `lines`."""
    return ("\r\n".join([head, *lines, *(f"{key}: {value}" for key, value in fields.items())]) + "\r\n\r\n").encode()


def actions(data: bytes) -> list[dict[str, str]]:
    """What the codec has sent; of keys that repeat, all values with a newline between them."""
    found = []
    for block in data.decode().split("\r\n\r\n")[:-1]:
        fields: dict[str, str] = {}
        for line in block.split("\r\n"):
            key, _, value = line.partition(": ")
            fields[key] = f"{fields[key]}\n{value}" if key in fields else value
        found.append(fields)
    return found


class Desk:
    """A codec with a connection, and the Asterisk at its other end as the test plays it. `now` moves by hand."""

    def __init__(self, **options: Any) -> None:
        self.codec = AmiCodec(AmiOptions(username="gateway", secret="s3cret", secret_file="ami.secret", **options), CALLS, "pbx")
        self.now = 1000.0
        self.signals: list[Signal | Rejected] = []

    def say(self, *parts: bytes) -> list[Signal | Rejected]:
        found = feed(self.codec, parts, self.now)
        self.signals += found
        return found

    def sent(self) -> list[dict[str, str]]:
        return actions(self.codec.data_to_send())

    def connect(self, channels: tuple[bytes, ...] = (), entries: tuple[bytes, ...] = (), uptime: int = 100_000) -> list[Signal | Rejected]:
        """Banner, login, FullyBooted and the first snapshot; gives what that brought."""
        self.log_in()
        self.say(message("Event: FullyBooted", Uptime=uptime, Status="Fully Booted"))
        return self.snapshot(channels, entries)

    def log_in(self) -> None:
        self.codec.connected(self.now)
        self.say(BANNER)
        [challenge] = self.sent()
        self.say(message("Response: Success", ActionID=challenge["ActionID"], Challenge="840415273"))
        [login] = self.sent()
        self.say(message("Response: Success", ActionID=login["ActionID"], Message="Authentication accepted"))

    def snapshot(self, channels: tuple[bytes, ...] = (), entries: tuple[bytes, ...] = ()) -> list[Signal | Rejected]:
        asked = {one["Action"]: one["ActionID"] for one in self.sent() if one["Action"] != "Ping"}
        assert set(asked) == {"CoreShowChannels", "QueueStatus"}, asked
        for action in asked.values():
            self.say(message("Response: Success", ActionID=action, EventList="start"))
        found = self.say(*channels, message("Event: CoreShowChannelsComplete", ActionID=asked["CoreShowChannels"], EventList="Complete"))
        return found + self.say(*entries, message("Event: QueueStatusComplete", ActionID=asked["QueueStatus"], EventList="Complete"))

    def advance(self, seconds: float) -> None:
        """Timers run out on the way, each at its moment."""
        end = self.now + seconds
        while (deadline := self.codec.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.signals += self.codec.handle_deadline(self.now, AT)
        self.now = end

    @property
    def kinds(self) -> list[str]:
        return [one.kind.value if isinstance(one, Signal) else one.reason for one in self.signals]


def channel(name: str, number: str, uid: str, linked: str = "", **fields: object) -> dict[str, object]:
    """The fields of a channel, in the order of Asterisk."""
    standard = {"Channel": name, "ChannelState": 4, "CallerIDNum": number, "CallerIDName": "<unknown>", "Context": "from-trunk", "Exten": "12349"}
    return standard | {"Priority": 1, "Uniqueid": uid, "Linkedid": linked or uid} | fields
