"""`[providers]` and `[[service]]`: how providers are scored and ranked, and what this place calls the ordinary services."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from gateway.toml_file import Fault

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1000)]
Days = Annotated[int, msgspec.Meta(ge=1, le=3660)]
Code = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,31}$", examples=["meals"])]


class WeightsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[providers.weights]`: how much each measure counts in the score; only their ratio matters. 0 leaves a measure out (gateway.core.score)."""

    accept: Weight = 2
    punctual: Weight = 3
    satisfaction: Weight = 3
    complaints: Weight = 2
    grade: Weight = 1
    points: Weight = 0


class ProvidersConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[providers]`: the score from measured behaviour, and the ranking that proposes whom to suspend (domain 5.3 to 5.7).

    window_days   orders so old count; least_sample: with fewer decided orders in it nobody is ranked, and nobody proposed
    prior         so many orders of average behaviour are added to everybody's own, so that three good ones are no record
    points_full   points of the points system that count as full marks
    rank_every_days  how often the last ones are proposed for suspension; 0 = never by itself
    last_share    this share of the ranked is last, at least one …
    rank_least    … of so many ranked or more; of fewer nobody is proposed
    warn_days     so long before its end an agreement is told
    """

    weights: WeightsConfig = WeightsConfig()
    window_days: Days = 90
    least_sample: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 20
    prior: Annotated[float, msgspec.Meta(ge=0, le=10_000)] = 10
    points_full: Annotated[float, msgspec.Meta(gt=0)] = 100
    rank_every_days: Annotated[int, msgspec.Meta(ge=0, le=3660)] = 30
    last_share: Share = 0.05
    rank_least: Annotated[int, msgspec.Meta(ge=2, le=100_000)] = 10
    warn_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 30


class ServiceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[service]]`: the local name of a service, more words by which it is asked for, or a service of your own (gateway.core.services)."""

    code: Code
    name: str = ""
    aliases: tuple[str, ...] = ()


def providers_faults(providers: ProvidersConfig) -> Iterator[Fault]:
    """A score needs something to count."""
    if not any(msgspec.structs.astuple(providers.weights)):
        yield ("weights",), "are all 0: nobody could be told from anybody", "give at least one of them a weight"
