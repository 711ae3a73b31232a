"""What was reported to whom (gateway.upward): rows of the books of reporting. The journal itself is the outbox; these say how far it was read."""

import msgspec


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far one destination has been told. seq: every journal entry up to it is dealt with; number: of the last report it has a receipt for."""

    name: str
    seq: int
    number: int
    at: int  # when it moved, microseconds since 1970


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """Reports first to last of one local day, as they leave. Written before the first attempt, so that a number always has the same content.

    seq       the cursor after it; at_from, at_to: times of its first and last entry, microseconds since 1970
    sent_at   of its receipt; None: it is under way
    lines     the reports, a line of JSON each, zlib-compressed
    """

    name: str
    first: int
    last: int
    day: str
    seq: int
    at_from: int
    at_to: int
    sent_at: int | None
    lines: bytes


class DayFound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One day of one counterpart compared: numbers of reports, the first NAMED of each kind.

    lost: sent, and not there; twice: there more than once; altered: there with another content; unknown: there, and never sent
    outcome: equal, unequal, mended (unequal, then equal after what was lost had been sent again), or why there was no comparing
    """

    name: str
    day: str
    at: int
    outcome: str
    sent: int = 0
    received: int = 0
    lost: tuple[int, ...] = ()
    twice: tuple[int, ...] = ()
    altered: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()


class ReportWrite(msgspec.Struct, frozen=True, kw_only=True):
    """What one step of reporting writes, in one transaction. forget: (destination, day): its rows before that day go."""

    cursors: tuple[Cursor, ...] = ()
    batches: tuple[Outgoing, ...] = ()
    days: tuple[DayFound, ...] = ()
    forget: tuple[tuple[str, str], ...] = ()
