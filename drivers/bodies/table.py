"""The table of body handlers: which readers of MESSAGE bodies there are, and what options each takes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from drivers.bodies.cap import CapBody, CapOptions
from drivers.bodies.handler import BodyHandler
from drivers.bodies.scaip import ScaipBody, ScaipOptions
from drivers.bodies.text_body import TextBody, TextOptions
from gateway.wrong_value import wrong_values


class HandlerRow(msgspec.Struct, frozen=True):
    """options: what `[line.options.body_options.NAME]` may hold, forbid_unknown_fields; new: options → handler."""

    options: type[msgspec.Struct]
    new: Callable[[Any], BodyHandler]


# In this order they are asked, unless the line's `bodies` says otherwise. Plain text is the last resort: it takes any text/plain.
HANDLERS = {
    "scaip": HandlerRow(ScaipOptions, ScaipBody),
    "cap": HandlerRow(CapOptions, CapBody),
    "text": HandlerRow(TextOptions, TextBody),
}


def build_handlers(names: Sequence[str] | None, options: Mapping[str, Mapping[str, object]]) -> list[BodyHandler]:
    """The handlers of a line. Raises ValueError naming the key and the remedy."""
    wanted = tuple(HANDLERS) if names is None else tuple(names)
    for name in (*wanted, *options):
        if name not in HANDLERS:
            raise ValueError(f"bodies: {name!r} is not known; use some of {', '.join(HANDLERS)}")
    found = []
    for name in wanted:
        row = HANDLERS[name]
        given = options.get(name, {})
        if faults := wrong_values(row.options, given, f"body_options.{name}"):
            raise ValueError(", and ".join(f"{key}: {what}; {remedy}" for key, what, remedy in faults))
        found.append(row.new(msgspec.convert(given, row.options)))
    return found
