"""What may stand in a profile, table by table: the words of docs/guide/mappings.md as types. What the words mean stands in `profile`."""

from typing import Annotated, Any, Literal

import msgspec

from drivers.downlink import Word
from drivers.mqtt.byte_codecs import Slice
from drivers.mqtt.value import WordTable

Datum = Literal["wgs84", "gcj02", "bd09"]
Retained = Literal["ignore", "candidate", "state", "liveness"]
ValueWord = Any
"""A JMESPath in quotes, or a table as in `value.ValueTable`."""


class DecodeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bytes in the message. Either `codec` or `slices`; port: JMESPath of the LoRaWAN port, for codecs that want it."""

    path: str
    encoding: Literal["base64", "hex"] = "base64"
    codec: str | None = None
    slices: dict[str, Slice] | None = None
    port: str | None = None


class EdgeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A state that is told again and again. name: of the thing (default: path); again_s: told for so long it is news again."""

    path: str
    words: WordTable | None = None
    name: str = ""
    again_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


class PositionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Two numbers in one text ("120.1,30.2") or list."""

    path: str
    order: Literal["lat-lon", "lon-lat"] = "lat-lon"


class DedupTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What makes two messages the same one; within_s: for how long."""

    key: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=8)]
    within_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 2


class EventTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One signal. kind and phase are a word, or a table that finds the word."""

    kind: str | dict[str, Any]
    phase: str | dict[str, Any] = "raise"
    when: str | None = None
    edge: str | EdgeTable | None = None
    kind_raw: ValueWord = None
    time: ValueWord = None
    battery_pct: ValueWord = None
    battery_mv: ValueWord = None
    rssi_dbm: ValueWord = None
    firmware: ValueWord = None
    lat: ValueWord = None
    lon: ValueWord = None
    position: str | PositionTable | None = None
    position_source: Literal["gnss", "network", "reported"] = "gnss"
    datum: Datum | None = None
    accuracy_m: ValueWord = None
    fix_valid: ValueWord = None
    sequence: ValueWord = None
    late: ValueWord = None
    vitals: dict[str, Any] = {}
    detail: dict[str, Any] = {}
    dedup: DedupTable | None = None


class RuleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to make of messages on one shape of topic. last: no rule after this one; otherwise: only if no rule before it found anything."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    topic: str
    event: Annotated[tuple[EventTable, ...], msgspec.Meta(max_length=32)] = ()
    not_topic: tuple[str, ...] = ()
    payload: Literal["json", "text", "any"] = "json"
    when: str | None = None
    each: str | None = None
    decode: DecodeTable | None = None
    device: str | tuple[str, ...] = "topic.device"
    retained: Retained | None = None
    last: bool = False
    otherwise: bool = False


class LivenessTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A topic that tells whether a device or bridge is there: a last will, an availability."""

    topic: str
    path: str = "text"
    online: tuple[str, ...] = ("online", "true")
    offline: tuple[str, ...] = ("offline", "false")
    device: str | tuple[str, ...] = "topic.device"
    not_topic: tuple[str, ...] = ()


class TellTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is published to tell a device one word. {device} {text} {word} {id}, names of the topic and parameters are replaced."""

    word: Word
    topic: str
    payload: str


class TestTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A sample and what it must give; subset of the names of decode.md. at: what the clock says (aware ISO 8601)."""

    topic: str
    expect: tuple[dict[str, Any], ...]
    payload: str | None = None
    payload_hex: str | None = None
    retain: bool = False
    at: str = "2026-03-14T09:26:53Z"


class ProfileTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", examples=["ours"])]
    title: dict[str, str] = {}
    source: str = ""
    parameters: dict[str, str] = {}
    zone: str = "UTC"
    datum: Datum = "wgs84"
    ignore: tuple[str, ...] = ()
    rule: Annotated[tuple[RuleTable, ...], msgspec.Meta(max_length=64)] = ()
    liveness: tuple[LivenessTable, ...] = ()
    tell: tuple[TellTable, ...] = ()
    test: Annotated[tuple[TestTable, ...], msgspec.Meta(max_length=256)] = ()
