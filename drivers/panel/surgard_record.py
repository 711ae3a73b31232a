"""What one record of an alarm receiver says, without its terminator: Sur-Gard (MLR2, MLR2000, System III), Radionics 6500, Ademco 685.

Shapes, `_` a space: `5RRL_18AAAAQXYZGGCCC` Contact ID; `1RRL______AAAA_XGYYY` pulses, `1RRL______AAAA_X__YY` 4/2; `SRRL[#AAAA|N...]` SIA;
`3RRL____AAAAAAXXYYYY` older SIA. RR receiver, L line (one character, three on a System III: the space or the bracket ends it).
Nothing in a record checks it: digits must be digits, and every field in its place. Source: the manuals' automation output sections;
tests/vectors/panel/surgard.toml.
"""

import re
from typing import Literal, NamedTuple

Dialect = Literal["surgard", "radionics6500", "ademco685"]
Sort = Literal["heartbeat", "contact_id", "pulse", "pulse_42", "sia", "unknown"]

_RECEIVER = r"(?P<receiver>[0-9A-F]{2})(?P<line>[0-9A-F]{1,3})"
_ACCOUNT = r"(?P<account>[0-9A-F]{4,10})"
_EVENT = r"(?P<qualifier>[ERP])(?P<code>\d{3})"
_HEARTBEAT = r" {10,12}@ {3,5}"  # the manuals have 11 and 4; some clones send one more or less

_SHAPES: dict[Dialect, tuple[tuple[Sort, re.Pattern[str]], ...]] = {
    "surgard": (
        ("heartbeat", re.compile(rf"(?P<head>[!-~]{{4}}|[!-~]{{6}}){_HEARTBEAT}")),
        ("contact_id", re.compile(rf"[5Q]{_RECEIVER} (?:18|58){_ACCOUNT}{_EVENT}(?P<group>\d\d|  )(?P<number>\d{{3}}|   )")),
        ("contact_id", re.compile(rf"[5Q]{_RECEIVER} (?:18|58) ?{_ACCOUNT} ?{_EVENT} ?(?P<group>\d\d) ?(?P<number>\d{{3}})")),
        ("pulse_42", re.compile(rf"1{_RECEIVER} {{6}}(?P<account>[0-9A-F ]{{4}}) (?P<event>[0-9A-Z ])  (?P<code>[0-9A-F]{{2}})")),
        ("pulse", re.compile(rf"1{_RECEIVER} {{6}}(?P<account>[0-9A-F ]{{4}}) (?P<event>[0-9A-Z])(?P<group>[0-9 ])(?P<number>[0-9 ]{{3}})")),
        ("sia", re.compile(rf"S{_RECEIVER} *\[#(?P<account>[0-9A-F]{{1,16}})\|(?P<block>[ON][^\]]*)\]")),
        ("sia", re.compile(rf"3{_RECEIVER} {{4}}(?P<account>[0-9A-F ]{{6}})(?P<block>[A-Z]{{2}}[0-9A-F ]{{4}})")),
        ("unknown", re.compile(rf"[0-46-9A-PRT-Za-z]{_RECEIVER} +\S.*")),
    ),
    "radionics6500": (
        ("heartbeat", re.compile(rf" ?(?P<head>1[!-~]{{3}}){_HEARTBEAT}")),
        ("contact_id", re.compile(rf" ?a{_RECEIVER} {_ACCOUNT}18{_EVENT}(?P<group>\d\d|  )(?P<number>\d{{3}}|   )")),
        ("unknown", re.compile(rf" ?[0-9A-Zb-z]{_RECEIVER} +\S.*")),
    ),
    "ademco685": (
        ("heartbeat", re.compile(r"(?P<head>00) OKAY @ ?")),
        (
            "contact_id",
            re.compile(
                r"(?P<receiver>[0-9A-F])(?P<line>[0-9A-F]) (?P<account>[0-9A-F]{4,10}) 18"
                r" (?P<qualifier>[ER])(?P<code>\d{3}) (?P<group>\d\d) (?P<unit>[CU])(?P<number>\d{3}) ?"
            ),
        ),
        ("pulse", re.compile(r"(?P<receiver>[0-9A-F])(?P<line>[0-9A-F]) (?P<account>[0-9A-F]{4}) (?P<event>[0-9A-F])(?: (?P<number>[0-9A-F]))? ?")),
        ("unknown", re.compile(r"[0-9A-F]{2} [0-9A-F]{4} (?!18 )\S.*")),
    ),
}


class Record(NamedTuple):
    """One record. fields: what its shape names, as sent; `text` its characters."""

    sort: Sort
    text: str
    fields: dict[str, str]


def read_records(text: str, dialect: Dialect) -> list[Record]:
    """The record in which the text ends, behind whatever noise; before it another one that was glued to it, unless that is only its copy.

    Empty: the text is no record. A cut copy before the record is noise.
    """
    whole = _read(text, dialect)
    if whole is not None:
        return [whole]
    ends = [(at, record) for at in range(len(text) - 1, 0, -1) if (record := _read(text[at:], dialect)) is not None and record.sort != "unknown"]
    for at, record in ends:
        before = _read(text[:at], dialect)
        if before is not None and before.sort not in ("unknown", "heartbeat"):
            return [before, record] if before.text != record.text else [record]
    return [ends[0][1]] if ends else []


def _read(text: str, dialect: Dialect) -> Record | None:
    for sort, shape in _SHAPES[dialect]:
        found = shape.fullmatch(text)
        if found is not None and not (sort == "unknown" and _is_glued(text)):
            return Record(sort, text, {name: value for name, value in found.groupdict().items() if value is not None})
    return None


def _is_glued(text: str) -> bool:
    """Does a Contact ID or SIA record begin inside? Then it is no unknown type, but that record with something before it."""
    return re.search(r"[5Q][0-9A-F]{3,5} [15]8|S[0-9A-F]{3,5} *\[#", text) is not None
