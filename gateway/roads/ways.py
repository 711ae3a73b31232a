"""How a responder moves: from where, on what, how fast. Two responders of one house on the same wheels are one way."""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.config.routing import RoutingConfig
from gateway.core.register import Responder, ResponderKind

FOOT, BICYCLE, CAR = "foot", "bicycle", "car"
WHEELS = (FOOT, BICYCLE, CAR)
WALKS_KMH = 7.0  # who has no mode and is no faster goes on foot …
RIDES_KMH = 25.0  # … and up to here on two wheels: what GB 17761-2018 lets an electric bicycle do


class Way(NamedTuple):
    """lat, lon: WGS-84 degrees. wheels: one of WHEELS. kmh: on the level; 0.0 for a car, which goes as fast as its roads."""

    lat: float
    lon: float
    wheels: str
    kmh: float


def way_of(responder: Responder, rules: RoutingConfig) -> Way | None:
    """None: nobody knows where it starts, or nobody starts there (the desk)."""
    if responder.lat is None or responder.lon is None or responder.kind is ResponderKind.DESK:
        return None
    kmh = {FOOT: rules.foot_kmh, BICYCLE: rules.bicycle_kmh, CAR: 0.0}.get(responder.mode)
    if kmh is not None:
        return Way(responder.lat, responder.lon, responder.mode, float(kmh))
    own = float(responder.speed_kmh)
    if own > RIDES_KMH:
        return Way(responder.lat, responder.lon, CAR, 0.0)
    return Way(responder.lat, responder.lon, FOOT if own <= WALKS_KMH else BICYCLE, own)


def ways_of(responders: Iterable[Responder], rules: RoutingConfig) -> list[Way]:
    """The ways of these, each once, in a fixed order."""
    return sorted({way for one in responders if (way := way_of(one, rules)) is not None})
