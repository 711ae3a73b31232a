"""Notices, and shifts that wait for somebody, as plain JSON values."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from gateway.console.views import Json
from gateway.core.desk_matters import NOTICE, PENDING, SHIFT
from gateway.core.territory import Standing

SUPERVISORS = "supervisors"  # whom a notice is for that nobody wrote: somebody looked where it was not their part
PREFIX = f"{NOTICE}:"
AT_ONCE = 20  # notices that count at one time; who says more than that is not read


def notice_items(standings: Mapping[str, Standing], now: datetime) -> Iterator[Json]:
    """Those for operators that still count, as the feed shows them, the newest AT_ONCE."""
    for one in _holding(standings, now):
        if one.detail.get("to") != "stations":
            row = notice_row(one)
            del row["stations"]
            if row["to"] != SUPERVISORS:
                del row["to"]
            yield {"type": "notice", **row}


def shift_items(standings: Mapping[str, Standing]) -> Iterator[Json]:
    """Shifts that were handed over and that nobody has confirmed, as the feed shows them: whom they are for, not what they say."""
    for key, one in standings.items():
        if key.startswith(f"{SHIFT}:") and one.value == PENDING:
            detail = one.detail
            yield {
                "type": "shift",
                "id": key.removeprefix(f"{SHIFT}:"),
                "by": detail.get("from"),
                "to": detail.get("to") or None,
                "at": detail.get("since"),
                "areas": [],
            }


def notice_rows(standings: Mapping[str, Standing], now: datetime) -> list[Json]:
    """Those that still count, newest first."""
    return [notice_row(one) for one in _holding(standings, now)]


def notice_row(standing: Standing) -> Json:
    """One notice."""
    detail = standing.detail
    return {
        "id": standing.key.removeprefix(PREFIX),
        **{name: detail.get(name) for name in ("text", "to", "by", "stations")},
        "at": detail.get("since"),
        "until": standing.until,
        "areas": detail.get("areas") or [],
        "acknowledged": detail.get("acknowledged") or [],
    }


def _holding(standings: Mapping[str, Standing], now: datetime) -> list[Standing]:
    mine = [one for key, one in standings.items() if key.startswith(PREFIX) and one.holds(now)]
    return sorted(mine, key=lambda one: one.at, reverse=True)[:AT_ONCE]
