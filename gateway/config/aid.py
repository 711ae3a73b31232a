"""`[aid]`: when a district takes no more by itself and its partners go first (domain 3.5)."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from gateway.config.words import Seconds
from gateway.toml_file import Fault

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class AidConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[aid]`. Saturated: so small a share of the places of those on duty is free; relieved: so large a share is free again.

    watch_s  how often it is looked at; 0 of both shares: only people say that a district is saturated
    least    districts with fewer places are not judged: two stations are full with two alarms
    """

    saturated_at: Share = 0.05
    relieved_at: Share = 0.25
    least: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 6
    watch_s: Seconds = 10


def aid_faults(aid: AidConfig) -> Iterator[Fault]:
    """The two shares must leave room between them."""
    if aid.relieved_at < aid.saturated_at:
        yield ("relieved_at", "saturated_at"), "is under saturated_at: a district would be saturated and relieved at once", "write a larger share"
