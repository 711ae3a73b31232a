"""What `[line.options]` of codec jt808 may hold."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from drivers.tracker.jt808_location import ALARM_BITS
from gateway.event import KINDS, Group, Kind

FROM_DEVICES = frozenset((Group.PERSON, Group.ENVIRONMENT, Group.DEVICE, Group.LIFE))


class Jt808Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[line.options]` of codec jt808.

    heartbeat_s: how often terminals give a sign of life; after three of them and 30 s without a byte we hang up. Without it: after 10 minutes.
    authentication: accept_and_mark (default) takes every code, also one that a terminal keeps from another platform; events of those whose
    code is not ours are marked unverified. strict refuses them, and terminals that are not on the register; it needs auth_secret_file.
    auth_secret_file: a secret in its first line; the codes we give are derived from it, so they hold over restarts.
    datum: by_flag (default: status bit 5 inside mainland China means GCJ-02), or wgs84, gcj02, bd09 whatever the bit says.
    alarm_bits: what other kinds the alarm bits of a model mean, for instance { "16" = "device_removed" }; "" ignores one. Bit 0 stays sos.
    vendor_items: which items of vendors are believed: 56 (battery), E4 (battery, charging), E7 (sos), E8 (sos of JC cameras).
    text: terminals have a display or a voice, so they are told that help is coming (8300).
    """

    heartbeat_s: float | None = None
    authentication: Literal["accept_and_mark", "strict"] = "accept_and_mark"
    auth_secret_file: str = ""
    datum: Literal["by_flag", "wgs84", "gcj02", "bd09"] = "by_flag"
    alarm_bits: dict[str, str] = {}
    vendor_items: frozenset[Literal["56", "E4", "E7", "E8"]] = frozenset()
    text: bool = False

    def __post_init__(self) -> None:
        if self.heartbeat_s is not None and not 10 <= self.heartbeat_s <= 86_400:
            raise ValueError("heartbeat_s: write seconds from 10 to 86400")
        if self.authentication == "strict" and not self.auth_secret_file:
            raise ValueError("authentication: strict needs auth_secret_file; write a file with a long random word and name it")
        for bit, kind in self.alarm_bits.items():
            if not (bit.isascii() and bit.isdigit() and 1 <= int(bit) <= 31):
                raise ValueError(f"alarm_bits: {bit!r} is no bit; write 1 to 31")
            if kind and (kind not in list(Kind) or KINDS[Kind(kind)].group not in FROM_DEVICES):
                raise ValueError(f"alarm_bits: {kind!r} is no kind of a device; write for instance device_removed or low_battery")

    @property
    def kinds(self) -> Mapping[int, Kind]:
        """What each alarm bit means on this line."""
        own = {int(bit): kind for bit, kind in self.alarm_bits.items()}
        return {bit: kind for bit, kind in ALARM_BITS.items() if bit not in own} | {bit: Kind(kind) for bit, kind in own.items() if kind}
