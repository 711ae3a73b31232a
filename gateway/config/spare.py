"""`[spare]`: a second machine that follows this one and can take over (docs/guide/backup.md)."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gateway.toml_file import Fault


class SpareConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[spare]`.

    token_file  its first line is what the spare must show, at least 16 bytes; "" = nobody may follow
    secrets     the spare gets the files with passwords and keys, too: without them it cannot reach brokers and exchanges after it took over
    other       where the other machine's gateway would answer, as https://second:12349: if one runs there, this one does not start, and gives way
                if it has taken over meanwhile (gateway.spare_guard)
    late_s      the spare counts as late when it has not had everything for so long
    """

    token_file: str = ""
    secrets: bool = True
    other: str = ""
    late_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 10


def spare_faults(spare: SpareConfig) -> Iterator[Fault]:
    """What must hold beyond the types."""
    if not spare.other:
        return
    try:
        url = urlsplit(spare.other)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        yield ("other",), "is no web address", "write https://HOST:12349"
