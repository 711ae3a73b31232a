"""What routing is asked, by value, and what it may know of the moment: the two arguments of the one routing pass.

All that decides stands in these two and in the register; so a decision can be made again from what was stored of it.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from gateway.core.incident import Role
from gateway.core.territory import Standing
from gateway.event import Kind, Position, Severity


class Need(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who is wanted, for what, where and when.

    role      which kind of help; of an ordinary service Role.SERVICE with its code in `service`
    position  where the person is; None = not known, then `area` counts
    home      the area of registration, if the person is elsewhere (domain 3.6)
    skills    that the responder must have (medical-basic, lift, keys); language: one that it should speak, which orders equals only
    asked     responders that were asked already and are passed over
    shared    a medical responder is asked beside this one: health stations are left to that order
    """

    kind: Kind
    severity: Severity
    at: datetime
    role: Role = Role.SOCIAL
    position: Position | None = None
    area: str | None = None
    home: str = ""
    service: str = ""
    skills: tuple[str, ...] = ()
    language: str = ""
    asked: tuple[str, ...] = ()
    shared: bool = False


class Around(msgspec.Struct, frozen=True):
    """The moment. load(responder, pool): open orders it carries; standing(key): what is ruled about it and holds now."""

    load: Callable[[str, str], int]
    standing: Callable[[str], Standing | None]
