"""Travel times: how many minutes responders need to a place. Always an estimate (domain 2.5, 2.6).

`TravelTimes` is the seam: the straight line is what we have everywhere; a road network may stand in its place, prepared station by station.
"""

import math
from collections.abc import Sequence
from datetime import date, datetime
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.config.routing import RoutingConfig
from gateway.core.duty import CHINA, hours_of
from gateway.core.register import Responder
from gateway.core.territory import DayKind

EARTH_KM = 6371.0088  # mean radius, IUGG
MODES = ("", "foot", "bicycle", "car")
STRAIGHT_LINE = "straight_line"

Floats = NDArray[np.float64]


class Starts:
    """From where they come: some responders as columns, in a fixed order. Whoever prepares something for them keeps it under `prepared`.

    lats, lons: WGS-84 degrees, NaN where not known. One object lives as long as the register.
    """

    def __init__(self, responders: Sequence[Responder]) -> None:
        self.responders = tuple(responders)
        nowhere = float("nan")
        self.lats: Floats = np.array([nowhere if r.lat is None or r.lon is None else r.lat for r in responders], dtype=np.float64)
        self.lons: Floats = np.array([nowhere if r.lat is None or r.lon is None else r.lon for r in responders], dtype=np.float64)
        self.modes = np.array([MODES.index(r.mode) if r.mode in MODES else 0 for r in responders], dtype=np.intp)
        self.own_kmh: Floats = np.array([r.speed_kmh for r in responders], dtype=np.float64)
        self.prepared: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self.responders)

    @cached_property
    def _unit(self) -> tuple[Floats, Floats, Floats]:
        phi, lam = np.radians(self.lats), np.radians(self.lons)
        return np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)

    def km(self, lat: float, lon: float) -> Floats:
        """Great-circle distances to a point, on a sphere; NaN where not known.

        Element by element, never by a matrix product: how that adds up differs from one machine's library to the next.
        """
        x, y, z = self._unit
        to_x, to_y, to_z = _unit(lat, lon)
        cosines = x * to_x + y * to_y + z * to_z
        found: Floats = EARTH_KM * np.arccos(np.minimum(1.0, np.maximum(-1.0, cosines)))
        return found


class TravelTimes(Protocol):
    """Where minutes come from.

    name         stands in every decision; a backend's names its data too, as other data give other times
    is_estimate  shown with every figure
    """

    @property
    def name(self) -> str: ...

    @property
    def is_estimate(self) -> bool: ...

    def minutes(self, starts: Starts, km: Floats, lat: float, lon: float, at: datetime) -> Floats:
        """From each start to a point, at a moment; NaN where not known. km: the straight lines, `starts.km(lat, lon)`. Never raises."""
        ...

    def source(self, responder: Responder, lat: float, lon: float) -> str:
        """Where this one's minutes to a point come from; "" = from what `name` says. Asked for those a decision names."""
        ...


class StraightLine:
    """Straight line × detour ÷ speed by mode and hour: known everywhere, needs nothing, the same wherever it is computed again."""

    name = STRAIGHT_LINE
    is_estimate = True

    def __init__(self, rules: RoutingConfig, calendar: dict[date, DayKind] | None = None) -> None:
        self._calendar = calendar or {}
        self._rush = [hours for text in rules.rush_hours if (hours := hours_of(text)) is not None]
        self._night = hours_of(rules.night_hours)
        self._min_per_km = rules.detour * 60.0
        slow = (1.0, rules.foot_kmh, rules.bicycle_kmh)
        self._speeds = {
            "": np.array((*slow, rules.car_kmh)),
            "rush": np.array((*slow, rules.car_kmh * rules.rush_factor)),
            "night": np.array((*slow, rules.car_kmh * rules.night_factor)),
        }
        self._prepared = {band: f"km/h {speeds.tolist()}" for band, speeds in self._speeds.items()}  # names of what is kept with the starts
        self._last = datetime.min.replace(tzinfo=CHINA), ""  # one tuple: reports ask from threads of their own

    def minutes(self, starts: Starts, km: Floats, lat: float, lon: float, at: datetime) -> Floats:
        """As in TravelTimes; the point itself does not matter here."""
        del lat, lon
        band = self.band(at)
        speeds = starts.prepared.get(self._prepared[band])
        if not isinstance(speeds, np.ndarray):
            speeds = starts.prepared[self._prepared[band]] = np.where(starts.modes == 0, starts.own_kmh, self._speeds[band][starts.modes])
        found: Floats = km * self._min_per_km / speeds
        return found

    def source(self, responder: Responder, lat: float, lon: float) -> str:
        """Always its own."""
        del responder, lat, lon
        return ""

    def band(self, at: datetime) -> str:
        """rush, night or "": which speed of a car holds. A rush past midnight would belong to the day on which it begins; there is none."""
        known, band = self._last
        if known is not at:  # all of a batch ask for one moment
            band = self._band(at)
            self._last = at, band
        return band

    def _band(self, at: datetime) -> str:
        local = at.astimezone(CHINA)
        minute = local.hour * 60 + local.minute
        if self._night is not None and _covers(self._night, minute):
            return "night"
        if any(_covers(hours, minute) for hours in self._rush) and self._is_worked(local.date()):
            return "rush"
        return ""

    def _is_worked(self, day: date) -> bool:
        kind = self._calendar.get(day)
        return kind is DayKind.WORKDAY or (kind is None and day.weekday() < 5)


def distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance between two WGS-84 points, on a sphere, by the chord: exact for points that are close together."""
    gap = math.dist(_unit(lat, lon), _unit(other_lat, other_lon))
    return EARTH_KM * 2 * math.asin(min(1.0, gap / 2))


def is_within(hours: str, now: datetime) -> bool:
    """Is `now` within local HH:MM-HH:MM? Past midnight is allowed; "" means always."""
    parts = hours_of(hours)
    local = now.astimezone(CHINA)
    return parts is None or _covers(parts, local.hour * 60 + local.minute)


def _covers(hours: tuple[int, int], minute: int) -> bool:
    start, end = hours
    return start <= minute < end if start < end else minute >= start or minute < end


def _unit(lat: float, lon: float) -> tuple[float, float, float]:
    phi, lam = math.radians(lat), math.radians(lon)
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)
