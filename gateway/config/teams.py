"""`[[team]]` and `[visiting]`: who goes, or is told, beside the station; and from where on somebody is away from home."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from gateway.config.words import Name
from gateway.event import ALARM_KINDS, KINDS, Group, Kind, Severity
from gateway.toml_file import Fault

ILLNESS = frozenset((Kind.MEDICAL, Kind.HEART_RATE_ABNORMAL, Kind.BREATHING_ABNORMAL, Kind.TEMP_ABNORMAL))
FIRE = frozenset((Kind.FIRE, Kind.SMOKE, Kind.GAS, Kind.CO))
# Words for several kinds at once, beside the kinds themselves.
SEVERAL: dict[str, frozenset[Kind]] = {
    "illness": ILLNESS,
    "danger": FIRE,
    "person": frozenset(kind for kind in ALARM_KINDS if KINDS[kind].group is Group.PERSON),
    "environment": frozenset(kind for kind in ALARM_KINDS if KINDS[kind].group is Group.ENVIRONMENT),
}


class TeamConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[team]]`: when the machine orders the station for such an alarm, these are ordered or told beside it, never instead of it.

    kinds       alarms: illness (medical, heart, breathing, temperature), danger (fire, smoke, gas, co), person, environment, or single kinds
    severities  of the incident; none = all
    when        living_alone (or without kin), far (the station needs over fifteen minutes, or there is none); one is enough, none = always
    roles       medical, neighbour, property (only the company that has keys and lifts), doctor (the person's own is told, with the health note)
    call        120, 110 or 119: a task for the operator, who alone calls it
    """

    name: Name
    kinds: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, examples=[("illness",)])]
    severities: tuple[Severity, ...] = ()
    when: tuple[Literal["living_alone", "far"], ...] = ()
    roles: tuple[Literal["medical", "neighbour", "property", "doctor"], ...] = ()
    call: Literal["", "120", "110", "119"] = ""


# Without a [[team]] of one's own: domain 1.10, 2.11, 3.10, 4.10.
DEFAULT_TEAMS = (
    TeamConfig(name="illness", kinds=("illness", "fall"), severities=(Severity.CRITICAL,), roles=("medical",)),
    TeamConfig(name="doctor", kinds=("illness",), roles=("doctor",)),
    TeamConfig(
        name="neighbours", kinds=("person",), severities=(Severity.CRITICAL, Severity.MAJOR), when=("living_alone", "far"), roles=("neighbour",)
    ),
    TeamConfig(name="fire", kinds=("danger",), roles=("property",), call="119"),
)


class VisitingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[visiting]`: where there are no polygons, so many km from home somebody is elsewhere (domain 3.6): a large town and its outskirts."""

    km: Annotated[float, msgspec.Meta(gt=0, le=5000)] = 20


def team_faults(team: TeamConfig) -> Iterator[Fault]:
    """What msgspec cannot know of a team."""
    strange = sorted(set(team.kinds) - SEVERAL.keys() - set(ALARM_KINDS))
    if strange:
        yield ("kinds",), f"{strange[0]!r} is no alarm", f"write {', '.join(SEVERAL)}, or kinds such as sos, fall, smoke"
    if not team.roles and not team.call:
        yield ("roles", "call"), "names nobody", "write roles, or the number to call"
