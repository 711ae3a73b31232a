"""What a checked ESPA 4.4.4 block says: header and records, and the installation's rules that turn them into a kind.

Wire: header STX id US data { RS id US data } ETX. Values are text: `1` and `01` differ. Nothing is cut: what is longer than
the standard allows is kept whole. Source: ESPA 4.4.4, data block; tests/vectors/panel/.
"""

import msgspec

from drivers.panel.espa_options import EspaOptions
from drivers.panel.text_rules import kind_of
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
CALL_STATUS = {
    "1": "busy",
    "2": "in_queue",
    "3": "paged",
    "4": "absent",
    "5": "terminated",
    "6": "acknowledged",
    "7": "speech_channel_open",
    "8": "fault",
    "71": "paged",  # two digits, the second a sub-state: seen in the field
    "72": "absent",
}
STATUS_FAULT = "8"  # call status, with or without a sub-state
_UNPRINTABLE = dict.fromkeys(range(0x20), " ")


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """A block in our words. `is_call`: it raises, repeats or cancels a call of (address, text). `asks_status`: of its address."""

    kind: Kind
    phase: Phase
    kind_raw: str
    address: str | None
    text: str
    detail: dict[str, object]
    is_call: bool
    asks_status: bool = False


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
    if "7" in records:
        detail["call_status_name"] = _status_name(records["7"])
    if header == "3":
        asked = _meaning(Kind.TELEMETRY, Phase.STATE, header, address, text, detail)
        return msgspec.structs.replace(asked, asks_status=address is not None)  # nothing is defined for a system without failure
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
    is_fault = "8" in records or _status_name(records["7"]) == CALL_STATUS[STATUS_FAULT]
    return _meaning(Kind.FAULT if is_fault else Kind.TELEMETRY, Phase.RAISE if is_fault else Phase.STATE, "2", address, text, detail)


def _status_name(status: str) -> str:
    """The name of a call status; of two digits that are not known the first says it."""
    return CALL_STATUS.get(status) or CALL_STATUS.get(status[:1] if len(status) == 2 else "", "unknown")


def _by_rule(records: dict[str, str], text: str, options: EspaOptions) -> Kind | None:
    return kind_of(text, options.texts) or options.beeps.get(records.get("3", "")) or options.priorities.get(records.get("6", ""))


def _meaning(kind: Kind, phase: Phase, header: str, address: str | None, text: str, detail: dict[str, object], *, is_call: bool = False) -> Meaning:
    return Meaning(kind=kind, phase=phase, kind_raw=f"header_{header}", address=address, text=text, detail=detail, is_call=is_call)
