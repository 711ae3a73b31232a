"""What a checked ESPA 4.4.4 block says: header and records, and the installation's rules that turn them into a kind.

Wire: header STX id US data { RS id US data } ETX. Values are text: `1` and `01` differ. Nothing is cut: what is longer than
the standard allows is kept whole. Source: ESPA 4.4.4, data block; tests/vectors/panel/.
"""

import re
from typing import Literal

import msgspec

from gateway.event import Kind, Phase

RECORDS = {
    "1": "call_address",
    "2": "display_message",
    "3": "beep_coding",
    "4": "call_type",
    "5": "number_of_transmissions",
    "6": "priority",
    "7": "call_status",
    "8": "system_status",
}
HEADERS = {"1": "call_to_pager", "2": "status_information", "3": "status_request", "4": "call_to_subscriber_line", "5": "other_information"}
RESET_CALL = "1"  # call type
STATUS_FAULT = "8"  # call status
_UNPRINTABLE = dict.fromkeys(range(0x20), " ")


class TextRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A display message in which `match` (regular expression, any case) is found means `kind`."""

    match: str
    kind: Kind


class EspaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an installation may differ in. The first rule that fits decides: texts, then beeps, then priorities, then default.

    address          ours; paging equipment is 2 by convention
    lenient          the peer omits its own enquiry, or sends blocks unselected: take `2 ENQ` for a selection, and such blocks too
    data_bits        7: a character with bit 7 is a transmission error
    charset, letters how 8-bit text reads, and national letters of a 7-bit set (for instance {"[" = "Ä"})
    default          an unmapped call from a nurse-call line is an emergency
    repeat_within_s  the same call (address and text) again within this time is its repeat, later it is a new call
    """

    address: str = "2"
    lenient: bool = False
    data_bits: Literal[7, 8] = 8
    charset: Literal["latin-1", "cp850", "cp437"] = "latin-1"
    letters: dict[str, str] = {}
    texts: tuple[TextRule, ...] = ()
    beeps: dict[str, Kind] = {}
    priorities: dict[str, Kind] = msgspec.field(default_factory=lambda: {"1": Kind.SOS})
    default: Kind = Kind.SOS
    repeat_within_s: float = 600.0

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9]", self.address):
            raise ValueError(f"address: {self.address!r} is not one digit 0 to 9")
        if any(len(letter) != 1 for letter in self.letters):
            raise ValueError("letters: each key is one character")
        for rule in self.texts:
            try:
                re.compile(rule.match)
            except re.error as error:
                raise ValueError(f"texts: match {rule.match!r} is not a regular expression: {error}") from error


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """A block in our words. `is_call`: it raises, repeats or cancels a call of (address, text)."""

    kind: Kind
    phase: Phase
    kind_raw: str
    address: str | None
    text: str
    detail: dict[str, object]
    is_call: bool


class BlockError(Exception):
    """The block is sound on the wire but says nothing that we can use."""

    def __init__(self, reason: str, address: str | None = None, text: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.address = address
        self.text = text


def read_block(body: bytes, options: EspaOptions) -> Meaning:
    """Read header and records of a block between SOH and BCC. Raises BlockError, nothing else."""
    if len(body) < 3 or body[1] != 0x02 or body[-1] != 0x03 or 0x02 in body[2:] or 0x03 in body[:-1]:
        raise BlockError("bad_format")
    header = chr(body[0])
    records, unreadable = _records(body[2:-1].decode(options.charset), options)
    address = records.get("1") or None
    text = records.get("2", "")
    if header not in HEADERS:
        raise BlockError("unknown_header", address, text)
    if not records:
        raise BlockError("no_records")
    detail: dict[str, object] = {"header": HEADERS[header]}
    detail |= {RECORDS.get(key, f"record_{key}"): value for key, value in records.items()}
    if unreadable:
        detail["unreadable"] = unreadable
    if header == "3":
        raise BlockError("not_supported", address, text)
    if header == "2":
        return _status(records, address, text, detail)
    if address is None and not text.strip():
        raise BlockError("no_address", address, text)
    if header == "5":
        return _meaning(_by_rule(records, text, options) or Kind.GENERAL, Phase.RAISE, header, address, text, detail)
    phase = Phase.CLEAR if records.get("4") == RESET_CALL else Phase.RAISE
    kind = _by_rule(records, text, options) or options.default
    return _meaning(kind, phase, header, address, text, detail, is_call=True)


def _records(text: str, options: EspaOptions) -> tuple[dict[str, str], list[str]]:
    """({id: data}, what is no record or comes twice). A space before the first id and an empty last record occur."""
    records: dict[str, str] = {}
    unreadable = []
    for chunk in text.lstrip(" ").split("\x1e"):
        if not chunk:
            continue
        key, data = chunk[0], chunk[2:].translate(_UNPRINTABLE)
        if chunk[1:2] != "\x1f" or key in records or ord(key) < 0x20:
            unreadable.append(chunk.translate(_UNPRINTABLE))
        else:
            records[key] = "".join(options.letters.get(letter, letter) for letter in data) if key == "2" else data
    return records, unreadable


def _status(records: dict[str, str], address: str | None, text: str, detail: dict[str, object]) -> Meaning:
    """Header 2: a fault of the system or of one call is a fault; any other status is a sign of life."""
    if "7" not in records and "8" not in records:
        raise BlockError("no_status", address, text)
    is_fault = "8" in records or records["7"] == STATUS_FAULT
    return _meaning(Kind.FAULT if is_fault else Kind.TELEMETRY, Phase.RAISE if is_fault else Phase.STATE, "2", address, text, detail)


def _by_rule(records: dict[str, str], text: str, options: EspaOptions) -> Kind | None:
    for rule in options.texts:
        if re.search(rule.match, text, re.IGNORECASE):
            return rule.kind
    return options.beeps.get(records.get("3", "")) or options.priorities.get(records.get("6", ""))


def _meaning(kind: Kind, phase: Phase, header: str, address: str | None, text: str, detail: dict[str, object], *, is_call: bool = False) -> Meaning:
    return Meaning(kind=kind, phase=phase, kind_raw=f"header_{header}", address=address, text=text, detail=detail, is_call=is_call)
