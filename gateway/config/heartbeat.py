"""`[heartbeat]`: the sign of life that the gateway itself gives to somebody outside, as long as nothing is late (gateway.auditor)."""

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from gateway.toml_file import Fault

HOUR_S = 3600.0
PART = "{part}"


class HeartbeatConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[heartbeat]`.

    url         of a dead man's switch, asked every interval_s with `method`; "" = none. Its last part is often a secret: it is never logged.
                With [bus] every edge and every shard has a switch of its own, and {part} in it becomes edge-north, shard-3
    file        written every interval_s with the time in it, for a watcher on this machine; relative to the data folder; "" = none. With [bus]
                the part is added: FILE-edge-north, FILE-shard-3
    systemd     true: systemd's watchdog is withheld as well when deadlines are late, so that it starts the gateway again
    late_s      a deadline that was due so long ago and is not done is late
    withhold    what else than the pipeline's own standstill stops the beat: late (deadlines), store_down, line_lost (a mandatory line),
                self_test (synthetic alarms that do not come back)
    """

    url: str = ""
    method: Literal["GET", "POST"] = "GET"
    file: str = ""
    systemd: bool = False
    interval_s: Annotated[float, msgspec.Meta(gt=0, le=HOUR_S)] = 60
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10
    late_s: Annotated[float, msgspec.Meta(gt=0, le=HOUR_S)] = 30
    withhold: tuple[Literal["late", "store_down", "line_lost", "self_test"], ...] = ("late", "store_down", "line_lost", "self_test")


def of_part(heartbeat: HeartbeatConfig, part: str) -> HeartbeatConfig:
    """The sign of life of one part of several machines: edge-NAME or shard-N."""
    file = heartbeat.file and f"{heartbeat.file}-{part}"
    return msgspec.structs.replace(heartbeat, url=heartbeat.url.replace(PART, part), file=file)


def heartbeat_faults(heartbeat: HeartbeatConfig) -> Iterator[Fault]:
    """What must hold beyond the types."""
    if not heartbeat.url:
        return
    try:
        url = urlsplit(heartbeat.url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        yield ("url",), "is no web address", "write https://HOST/PATH"
