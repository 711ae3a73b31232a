"""Risk warnings as the page shows them: whom or what each is about, in figures, without more of anybody than its reader may know."""

from collections.abc import Iterator, Mapping

from gateway.console.device_views import ref_of
from gateway.console.reader import Reader
from gateway.console.views import Json, shown_device
from gateway.core.register import Register
from gateway.core.risk import Concern
from gateway.core.risk_edges import Warned, area_of, device_of, warned
from gateway.core.risk_rules import RULES
from gateway.core.territory import Standing

ORDER = {rule.name: number for number, rule in enumerate(RULES)}
TECHNICAL = frozenset((Concern.DEVICE, Concern.MODEL, Concern.LINE))


def seen_by(register: Register, standings: Mapping[str, Standing], reader: Reader) -> Iterator[tuple[Warned, Json]]:
    """What stands, and its row, of the reader's areas: persons only for those who handle incidents. Unseen first, in the order of
    the rules (people before machines), the worst of each first."""
    for one in sorted(warned(standings), key=lambda one: (bool(one.seen_by), ORDER[one.rule.name], -one.value, one.subject)):
        if one.rule.concern not in TECHNICAL and not reader.sees_people:
            continue
        if one.rule.concern is Concern.RESPONDER:
            is_mine = reader.serves(register, one.subject)
        else:
            is_mine = reader.covers(register, area_of(register, one))
        if is_mine:
            yield one, row(register, one)


def row(register: Register, one: Warned) -> Json:
    """{rule, concern, id, name, line?, area, area_name, at, value, facts, seen_by, seen_at, note}. id: what POST asks for."""
    area = area_of(register, one)
    place = register.areas.get(area or "")
    found: Json = {"rule": one.rule.name, "concern": one.rule.concern.value, "id": one.subject, "name": one.subject}
    if one.rule.concern is Concern.RESPONDER:
        responder = register.responders.get(one.subject)
        found["name"] = responder.name if responder is not None else one.subject
    elif one.rule.concern is Concern.DEVICE:
        line, _, address = one.subject.partition("|")
        device = device_of(register, one.subject)
        found |= {"id": ref_of(line, address), "line": line, "name": shown_device(address), "model": device.model if device is not None else ""}
    facts = {"facts": one.facts, "at": one.at, "value": one.value, "seen_by": one.seen_by, "seen_at": one.seen_at, "note": one.note}
    return found | {"area": area, "area_name": place.name if place is not None else "", **facts}
