"""What alarm receivers on a Sur-Gard line differ in: the dialect of their records, and what their pulse codes mean."""

import re
from typing import Annotated

import msgspec

from drivers.panel.meaning import MeaningOptions, check_kind
from drivers.panel.surgard_record import Dialect
from gateway.event import Kind

_PULSE = re.compile(r"(?:[0-9A-F]{3,4}:)?(?:[0-9A-Z]|[0-9A-F]{2})")

# What X of a 3/1 or 4/1 record says unless `pulses` has it: letters as the receivers write them, digits as most are programmed.
PULSES: dict[str, tuple[Kind, str]] = {
    "A": (Kind.GENERAL, "alarm"),
    "B": (Kind.TELEMETRY, "bypass"),
    "C": (Kind.TELEMETRY, "closing"),
    "F": (Kind.CANCEL, "cancel"),
    "O": (Kind.TELEMETRY, "opening"),
    "R": (Kind.RESTORE, "restore"),
    "T": (Kind.FAULT, "trouble"),
    "0": (Kind.TEST, "automatic test"),
    "1": (Kind.FIRE, "fire"),
    "2": (Kind.SOS, "panic"),
    "3": (Kind.INTRUSION, "burglary"),
    "4": (Kind.TELEMETRY, "armed"),
    "5": (Kind.TELEMETRY, "disarmed"),
    "6": (Kind.FAULT, "service"),
    "7": (Kind.MEDICAL, "medical"),
    "8": (Kind.TELEMETRY, "message"),
    "9": (Kind.RESTORE, "restore"),
}
BY_USER = ("C", "F", "O", "4", "5")  # who closes, cancels and opens is a user


class SurgardOptions(MeaningOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beside dialect, codes and zones of `meaning`:

    format       surgard: MLR2, MLR2000, System III and what speaks like them; radionics6500; ademco685. Never guessed on a live line
    pulses       {"7" = "medical", "21" = "sos", "4711:21" = "fall"}: the letter or digit of a 3/1 or 4/1 record, or the two digits of a 4/2
                 record, of one account if it stands before: = kind. They are a matter of programming: ask whoever programmed the receiver
    repeat_s     the same record again within this time counts as a repeat: it is a resend, or a second press, and nothing can tell which
    heartbeat_s  the receiver's interval; after three without anything the next records may come out of its memory. 0: it sends none.
                 That the link is lost is told by `silence_s` of the line: set it to three intervals
    """

    format: Dialect = "surgard"
    pulses: dict[str, str] = {}
    repeat_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 20.0
    heartbeat_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, kind in self.pulses.items():
            if not _PULSE.fullmatch(key):
                raise ValueError(f'pulses: {key!r} is no pulse code; write one letter or digit ("7"), two digits ("21"), or "ACCOUNT:CODE"')
            check_kind(f"pulses: {key!r}", kind)
