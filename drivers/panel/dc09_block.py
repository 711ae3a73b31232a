"""The data block of the SIA format (DC-03) as DC-09 and others carry it: modifiers, events and texts.

Shape: `N` (new) or `O` (old), then parts separated by `/`: modifiers in small letters (ti, da, id, ri, pi, …), which hold until they are
given anew, and events, two capital letters and an address; some senders write no `/` before an event (`Nri1OP7`), some an N before each.
Texts: `^text^`, `|Atext`, and `*'text'NM` of some makers; each belongs to what stands before it. Example: `Nri2/MA003`.
Source: SIA DC-03, clause 4; frames of the fact sheet and of other diallers.
"""

import re
from typing import NamedTuple

_PART = re.compile(
    r"""
    \^(?P<caret>[^^]*)\^?
  | \|A?(?P<bar>[^|^]*)
  | \*(?P<mark>['"])(?P<quoted>[^/^|]*?)(?P=mark)(?:NM)?
  | (?P<modifier>[a-z]{2})(?P<value>(?:(?![A-Z]{2})[^/^|*a-z])*)
  | (?P<again>(?<=/)N(?=[a-z]{2}|[A-Z]{2}(?:[0-9/^|*]|$)))
  | (?P<code>[A-Z]{2})(?P<address>[^/^|*]*)
  | (?P<slash>/+)
  | (?P<rest>.)
    """,
    re.X | re.S,
)
_NEW_OR_OLD = re.compile(r"[NO](?=[a-z]{2}|[A-Z]{2}|/)")


class BlockEvent(NamedTuple):
    """One event. modifiers: those in force, under their own two letters; a modifier's text as `ri_text`."""

    code: str
    address: str
    modifiers: dict[str, str]
    texts: tuple[str, ...]


class Block(NamedTuple):
    """What a block says. old: told before; unread: what fits nowhere."""

    events: list[BlockEvent]
    old: bool
    unread: str


def read_block(text: str) -> Block:
    """Read all that follows `#account|`. No events: it is no block."""
    mark = _NEW_OR_OLD.match(text)
    modifiers: dict[str, str] = {}
    events: list[tuple[str, str, dict[str, str], list[str]]] = []
    unread: list[str] = []
    last = ""  # the modifier that the next text belongs to; "" = the last event
    for part in _PART.finditer(text, mark.end() if mark else 0):
        said = next((part[name] for name in ("caret", "bar", "quoted") if part[name] is not None), None)
        if said is not None:
            if last or not events:
                modifiers = {**modifiers, f"{last or 'block'}_text": said}
            else:
                events[-1][3].append(said)
        elif part["modifier"] is not None:
            last = part["modifier"]
            modifiers = {**modifiers, last: part["value"].strip()}
            modifiers.pop(f"{last}_text", None)
        elif part["code"] is not None:
            last = ""
            events.append((part["code"], part["address"].strip(), modifiers, []))
        elif part["rest"] is not None:
            unread.append(part["rest"])
    found = [BlockEvent(code, address, at_event, tuple(texts)) for code, address, at_event, texts in events]
    return Block(found, mark is not None and mark[0] == "O", "".join(unread).strip())
