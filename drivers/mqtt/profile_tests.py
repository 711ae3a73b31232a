"""Runs the samples of a profile: what each message must give, as a subset of the names of `gateway decode`."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drivers.contract import Rejected, Signal, Surroundings, believed_time
from drivers.mqtt.mapping import MappingCodec
from drivers.mqtt.profile import Problem, Profile
from drivers.mqtt.profile_lines import Path
from drivers.mqtt.profile_tables import TestTable

FIELDS: tuple[str, ...] = ("kind", "phase", "device", "kind_raw", "sequence", "lat", "lon", "datum", "fix_valid", "accuracy_m", "position_source")
FIELDS += ("battery_pct", "battery_mv", "rssi_dbm", "firmware", "vitals", "detail", "late", "edge", "dedup")
NAMES = frozenset((*FIELDS, "occurred_at", "time_source", "time_reason", "rejected"))
"""What `expect` may name."""


def run_tests(profile: Profile) -> list[Problem]:
    """What the samples say is wrong. Each starts with a fresh codec: no sample depends on another."""
    problems = []
    for number, test in enumerate(profile.tests):
        fault = _fault(profile, test)
        if fault:
            path: Path = ("test", number, *fault[0])
            problems.append(Problem(profile.lines.line(path), f"test[{number + 1}]", fault[1]))
    return problems


def _fault(profile: Profile, test: TestTable) -> tuple[tuple[str, ...], str] | None:
    if (test.payload is None) == (test.payload_hex is None):
        return (), "wants either payload or payload_hex; write one of the two"
    for one in test.expect:
        unknown = [name for name in one if name not in NAMES]
        if unknown:
            return ("expect",), f"expects {unknown[0]}, which is no name of an event; names: {', '.join(sorted(NAMES))}"
    try:
        payload = bytes.fromhex(test.payload_hex) if test.payload_hex is not None else (test.payload or "").encode()
        at = datetime.fromisoformat(test.at)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        return (), f"cannot be read ({error}); payload_hex is hex digits, at is written 2026-03-14T09:26:53Z"
    codec = MappingCodec([profile], Surroundings(utc_now=lambda: at))
    found = codec.receive_message(test.topic, payload, test.retain, False, 0.0, at)
    if codec.counts["mapping_errors"]:
        return (), "an expression fails on this message; try it with `gateway mapping try`"
    seen = [facts(one, at) for one in found]
    if len(seen) != len(test.expect):
        return ("expect",), f"gives {len(seen)} events and not {len(test.expect)}: {_short(seen)}"
    for number, (wanted, got) in enumerate(zip(test.expect, seen, strict=True), 1):
        if "rejected" in got and "rejected" not in wanted:
            return ("expect",), f"event {number}: the message is rejected ({got['rejected']})"
        for name, value in wanted.items():
            if not _fits(value, got.get(name)):
                return ("expect",), f"event {number}: {name} is {got.get(name)!r} and not {value!r}"
    return None


def facts(one: Signal | Rejected, at: datetime) -> dict[str, Any]:
    """An event under the names of decode.md; what is unknown is absent."""
    if isinstance(one, Rejected):
        return {"rejected": one.reason}
    occurred_at, source, reason = believed_time(one.time, at)
    has_place = one.lat is not None and one.lon is not None
    found = {name: getattr(one, name) for name in FIELDS}
    if not has_place:
        found.update(lat=None, lon=None, datum=None, accuracy_m=None, position_source=None)
    found.update(kind=str(one.kind), phase=str(one.phase), time_source=source, time_reason=reason)
    found["occurred_at"] = occurred_at.isoformat().replace("+00:00", "Z")
    return {name: value for name, value in found.items() if value is not None and value != {}}


def _short(seen: list[dict[str, Any]]) -> str:
    return (
        "; ".join(f"{one.get('kind', one.get('rejected'))} {one.get('phase', '')} {one.get('device', '')}".strip() for one in seen[:5]) or "nothing"
    )


def _fits(wanted: Any, got: Any) -> bool:
    """Tables hold at least what is wanted; numbers are equal to nine digits; the rest is equal."""
    if isinstance(wanted, Mapping):
        return isinstance(got, Mapping) and all(_fits(value, got.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(_fits, wanted, got))
    if isinstance(wanted, bool) or isinstance(got, bool):
        return wanted is got
    if isinstance(wanted, int | float) and isinstance(got, int | float):
        return math.isclose(wanted, got, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(wanted, datetime):
        return isinstance(got, str) and datetime.fromisoformat(got) == wanted
    return bool(wanted == got)
