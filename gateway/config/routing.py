"""`[routing]`: by which figures the nearest who can help is found (docs/guide/routing.md). Changed figures are rehearsed with `gateway replay`."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from gateway.toml_file import Fault

Minutes = Annotated[float, msgspec.Meta(gt=0, le=600)]
Speed = Annotated[float, msgspec.Meta(gt=0, le=200)]
Factor = Annotated[float, msgspec.Meta(gt=0, le=5)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Hours = Annotated[str, msgspec.Meta(pattern=r"^((?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d)?$", examples=["07:00-09:00"])]


class RoadsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[routing.roads]`: travel times by a road network (docs/guide/routing.md).

    tiles       folder of Valhalla's tiles, relative to the configuration file; "" = off
    cell_m      side of the cells for which times are prepared
    reach_min   so far around each responder they are; beyond it, and where they do not know, the straight line holds
    """

    tiles: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    cell_m: Annotated[float, msgspec.Meta(ge=50, le=500)] = 200
    reach_min: Annotated[float, msgspec.Meta(ge=5, le=60)] = 30


class RoutingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[routing]`. Travel times are estimates: straight line × detour ÷ speed.

    circle_min    the fifteen-minute circle (domain 2.5): who is there sooner is in time
    equal_min     estimates so little apart are equal: only among such does language, then score, order who goes to an alarm
    detour        road over straight line
    foot_kmh, bicycle_kmh, car_kmh  speed of a responder whose `mode` is that; one without a mode has its own speed_kmh at every hour
    rush_hours    local, of days worked; rush_factor: × the speed of a car then
    night_hours   local; night_factor: × the speed of a car then
    neighbour_km  a neighbour without areas of their own is asked within so far
    service_within_min  an ordinary service is given to nobody farther away
    service_score_share 0 to 1: what the score counts against nearness in 优先派单; 1 = score alone
    ungraded      score (0 to 1) of who has none
    roads         RoadsConfig
    """

    circle_min: Minutes = 15
    equal_min: Annotated[float, msgspec.Meta(ge=0, le=5)] = 0.5
    detour: Annotated[float, msgspec.Meta(ge=1, le=5)] = 1.3
    foot_kmh: Speed = 4.5
    bicycle_kmh: Speed = 14
    car_kmh: Speed = 30
    rush_hours: tuple[Hours, ...] = ("07:00-09:00", "17:00-19:00")
    rush_factor: Factor = 0.6
    night_hours: Hours = "22:00-06:00"
    night_factor: Factor = 1.3
    neighbour_km: Annotated[float, msgspec.Meta(gt=0, le=20)] = 1
    service_within_min: Minutes = 60
    service_score_share: Share = 0.7
    ungraded: Share = 0.5
    roads: RoadsConfig = RoadsConfig()


def routing_faults(routing: RoutingConfig) -> Iterator[Fault]:
    """What the types do not see."""
    for hours in (*routing.rush_hours, routing.night_hours):
        begins, _, ends = hours.partition("-")
        if hours and begins == ends:
            key = "night_hours" if hours == routing.night_hours else "rush_hours"
            yield (key,), f"{hours!r} is no time at all or the whole day", "write 07:00-09:00, or leave it out"
    if routing.equal_min >= routing.circle_min:
        yield ("equal_min", "circle_min"), f"is {routing.equal_min:g}, the whole circle: grades would decide who goes", "write 0.5"
