"""What a text for people means: the installation's rules, the first that fits decides."""

import re
from collections.abc import Iterable

import msgspec

from gateway.event import KINDS, Group, Kind, Phase


class TextRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text in which `match` (regular expression, any case) is found means `kind`."""

    match: str
    kind: Kind


def check_rules(rules: Iterable[TextRule]) -> None:
    """Raises ValueError naming the expression that does not compile."""
    for rule in rules:
        try:
            re.compile(rule.match)
        except re.error as error:
            raise ValueError(f"texts: match {rule.match!r} is not a regular expression: {error}") from error


def kind_of(text: str, rules: Iterable[TextRule]) -> Kind | None:
    """The kind of the first rule whose expression is found; None when none is."""
    return next((rule.kind for rule in rules if re.search(rule.match, text, re.IGNORECASE)), None)


def phase_of(kind: Kind) -> Phase:
    """What a text of this kind says: signs of life are states, `test` is a test, `cancel` and `restore` are clears, all else a cry."""
    if kind is Kind.TEST:
        return Phase.TEST
    if kind in (Kind.CANCEL, Kind.RESTORE):
        return Phase.CLEAR
    return Phase.STATE if KINDS[kind].group is Group.LIFE else Phase.RAISE
