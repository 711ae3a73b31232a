"""Dialling by reference: who can be rung about an incident, and what came of it. No number comes from a browser or goes to one.

Before anything is dialled the journal says who wants whom rung; what came of it is written after it, on the same incident. The request
is answered as soon as the wish is on disk (202): the outcome comes like every other change of the incident.
"""

import asyncio
import re
from collections.abc import Collection, Iterator

import msgspec
import structlog

from drivers.telephone import Told
from gateway.console.seam import House
from gateway.console.views import RESTRICTED, Json, mask_phone, shown_device
from gateway.core.calls import WAITING
from gateway.core.command import Command
from gateway.core.incident import Action, Incident
from gateway.core.register import Register, ResponderKind
from gateway.errors import Refused, StoreDown
from gateway.event import Kind, new_id
from gateway.telephone import EMERGENCY

log = structlog.get_logger("console")

REF_LIMIT = 80  # characters; "responder:" and an id of up to 64
KEPT = 1_000  # dials that can still be hung up; an operator has one at a time
_DIALLABLE = re.compile(r"\+?[0-9]{3,20}")
_EXTENSION = re.compile(r"[0-9]{2,6}")  # numbering plans of exchanges; a telephone number has at least seven digits


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who can be rung. ref: person, person:1, caller, device, contact:0, responder:<id>; number: E.164, or as the exchange dials it."""

    ref: str
    number: str
    name: str = ""
    relation: str = ""
    is_restricted: bool = False


class Dialled(msgspec.Struct, eq=False):
    """A dial of an operator. outcome: "" while it rings."""

    id: str
    actor: str
    incident: str
    ref: str
    extension: str
    outcome: str = ""


def contacts_of(register: Register, incident: Incident) -> list[Contact]:
    """Everybody about this incident who has a number, in the order in which one would ring them; nobody twice but by a name of their own."""
    return [contact for contact in _contacts(register, incident) if _DIALLABLE.fullmatch(contact.number)]


def _contacts(register: Register, incident: Incident) -> Iterator[Contact]:
    person = register.persons.get(incident.person or "")
    phones = person.phones if person else ()
    for number, phone in enumerate(phones):
        yield Contact(ref=f"person:{number}" if number else "person", number=phone, name=person.name if person else "")
    if incident.caller and incident.caller not in phones:
        yield Contact(ref="caller", number=incident.caller, is_restricted=incident.presentation == "restricted")
    device = register.device(incident.line, incident.device)
    known = {*phones, incident.caller}
    if incident.device is not None:
        own = device.phone if device is not None else ""
        voice = own or next((one for one in incident.voice if one not in known), "")
        is_doubtful = not own and incident.caller is not None  # it may be that of an earlier caller who forbade to show it
        yield Contact(ref="device", number=voice, name=shown_device(incident.device) or "", is_restricted=is_doubtful)
    for number, one in enumerate(person.contacts if person else ()):
        yield Contact(ref=f"contact:{number}", number=one.phone, name=one.name, relation=one.relation)
    for responder in dict.fromkeys(leg.responder for leg in incident.legs):
        contact = _responder(register, responder)
        if contact is not None and register.responders[responder].kind is not ResponderKind.DESK:  # nobody rings oneself
            yield contact


def _responder(register: Register, name: str) -> Contact | None:
    known = register.responders.get(name)
    if known is None:
        return None
    number = known.phone or (known.address if known.channel == "phone" else "")
    return Contact(ref=f"responder:{name}", number=number, name=known.name)


def find_contact(register: Register, incident: Incident, ref: str) -> Contact:
    """The one with this reference; of responders any in the register. Raises Refused 404 unknown_contact."""
    if ref.startswith("responder:"):
        found = _responder(register, ref.partition(":")[2])
    else:
        found = next((contact for contact in contacts_of(register, incident) if contact.ref == ref), None)
    if found is None or not _DIALLABLE.fullmatch(found.number):
        raise Refused("unknown_contact", 404)
    return found


def contact_view(contact: Contact) -> Json:
    """One row of the list; only who is in charge gets it. Numbers are masked for everybody."""
    phone = RESTRICTED if contact.is_restricted else mask_phone(contact.number)
    return {"ref": contact.ref, "name": contact.name, "relation": contact.relation, "phone": phone}


class Dialling:
    """What operators ask of the telephone."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._dialled: dict[str, Dialled] = {}  # oldest first
        self._tasks: set[asyncio.Task[None]] = set()

    def under_way(self, incident: str) -> list[Json]:
        """What rings at this moment about an incident."""
        return [{"dial": one.id, "ref": one.ref, "by": one.actor} for one in self._dialled.values() if one.incident == incident and not one.outcome]

    async def dial(self, actor: str, extension: str, incident: Incident, ref: str) -> Json:
        """Ring the extension, then the contact; answers when the wish is on disk. Raises Refused, StoreDown: then nobody is rung."""
        house = self._house
        contact = find_contact(house.register, incident, ref)
        telephone = house.telephone
        if not telephone.is_there:
            raise Refused("no_telephone")
        if not telephone.is_live:
            raise Refused("telephone_lost", 503)
        if not self._is_extension(extension):
            raise Refused("unknown_extension", 400)
        if any(one.extension == extension and not one.outcome for one in self._dialled.values()):
            raise Refused("dialling_already")
        telephone.check_limit()
        one = Dialled(new_id(), actor, incident.id, contact.ref, extension)
        self._remember(one)
        try:
            await self._journal(Action.DIAL, one.actor, one.incident, dial=one.id, ref=one.ref)
        except BaseException:
            del self._dialled[one.id]
            raise
        task = asyncio.get_running_loop().create_task(self._carry_out(one, contact.number), name=f"dial {one.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return {"dial": one.id, "ref": one.ref, "state": "ringing"}

    async def hang_up(self, actor: str, extension: str | None, key: str) -> Json:
        """End a dial of one's own, or a call that is one's own. Raises Refused, StoreDown."""
        one = self._dialled.get(key)
        if one is None:
            call, incident = self._own_call(actor, extension, key)
            return await self._ask(Action.HANG_UP, actor, incident, call, {"call": key})
        if one.actor != actor:
            raise Refused("not_your_call", 403)
        return await self._ask(Action.HANG_UP, actor, one.incident, one.id, {"dial": one.id, "ref": one.ref})

    async def transfer(self, actor: str, extension: str | None, key: str, to: str) -> Json:
        """Send a caller on to another agent. Raises Refused, StoreDown."""
        call, incident = self._own_call(actor, extension, key)
        if to not in self._house.config.calls.agents:
            raise Refused("unknown_extension", 400)
        return await self._ask(Action.TRANSFER, actor, incident, call, {"call": key, "to": to})

    async def answer(self, actor: str, extension: str, key: str) -> Json:
        """Send a ringing call to one's own telephone. Raises Refused, StoreDown."""
        house = self._house
        call = house.calls.get(key)
        if call is None:
            raise Refused("unknown_call", 404)
        if call.state not in WAITING:
            raise Refused("call_answered")  # somebody was quicker
        if not self._is_extension(extension):
            raise Refused("unknown_extension", 400)
        if house.telephone.is_there and call.line != house.config.telephone.line:
            raise Refused("other_line", line=call.line)
        asked = str(call.detail.get("call") or "")
        return await self._ask(Action.ANSWER, actor, call.incident, asked, {"call": key, "to": extension})

    # ---- inside

    def _is_extension(self, extension: str) -> bool:
        """One of `[calls.agents]`. Without a list what looks like one: no browser names a telephone number, a hotline or the emergency services."""
        calls = self._house.config.calls
        if calls.agents:
            return extension in calls.agents
        return _EXTENSION.fullmatch(extension) is not None and extension not in EMERGENCY and extension not in calls.hotlines

    def _remember(self, one: Dialled) -> None:
        self._dialled[one.id] = one
        over = [old.id for old in self._dialled.values() if old.outcome]
        for name in over[: max(0, len(self._dialled) - KEPT)]:
            del self._dialled[name]

    async def _carry_out(self, one: Dialled, number: str) -> None:
        """To the end, and write down what came of it. Cancelled (the gateway stops): the wish stands in the journal, its outcome does not."""
        try:
            told = await self._house.telephone.dial(one.extension, number, one.id)
        except Refused as refused:  # somebody else was quicker, and now the limit is reached
            told = Told(outcome="refused", reason=refused.reason)
        one.outcome = told.outcome
        try:
            await self._journal(Action.DIAL, one.actor, one.incident, dial=one.id, ref=one.ref, **_outcome(told))
        except (Refused, StoreDown) as error:
            log.error("outcome of a dial not journalled", incident=one.incident, outcome=told.outcome, reason=str(error))

    async def _ask(self, action: Action, actor: str, incident: str | None, call: str, facts: dict[str, object]) -> Json:
        """Journal, ask, journal what came of it."""
        telephone = self._house.telephone
        if not telephone.is_live:
            raise Refused("telephone_lost" if telephone.is_there else "no_telephone", 503 if telephone.is_there else 409)
        await self._journal(action, actor, incident, **facts)
        ask = {
            Action.HANG_UP: lambda: telephone.hang_up(call),
            Action.TRANSFER: lambda: telephone.transfer(call, str(facts["to"])),
            Action.ANSWER: lambda: telephone.answer(call, str(facts["to"])),
        }
        told = await ask[action]()
        await self._journal(action, actor, incident, **facts, **_outcome(told))
        if told.outcome == "lost":
            raise Refused("telephone_lost", 503)
        if told.outcome == "unknown_call":
            raise Refused("call_over")
        if not told.is_done:
            raise Refused("telephone_refused", why=told.reason)
        return {"outcome": told.outcome}

    def _own_call(self, actor: str, extension: str | None, key: str) -> tuple[str, str | None]:
        """(the exchange's key of it, its incident), if this operator talks in it or has its incident in hand."""
        house = self._house
        call = house.calls.get(key)
        if call is None:
            raise Refused("unknown_call", 404)
        incident = house.incidents.get(call.incident or "")
        is_mine = extension is not None and str(call.detail.get("agent") or "") == extension
        if not is_mine and (incident is None or incident.owner != actor):
            raise Refused("not_your_call", 403)
        if call.line != house.config.telephone.line:
            raise Refused("other_line", line=call.line)
        return str(call.detail.get("call") or ""), call.incident

    async def _journal(self, action: Action, actor: str, incident: str | None, **facts: object) -> None:
        """On the incident; without one, among what concerns none."""
        if incident is None or incident not in self._house.incidents:
            await self._house.note(Kind(action.value), actor, incident=incident, **facts)
        else:
            await self._house.command(Command(action=action, actor=actor, incident=incident, facts=facts))


def _outcome(told: Told) -> dict[str, object]:
    return {"outcome": told.outcome, **({"reason": told.reason} if told.reason else {})}


def wanted(body: dict[str, object], required: Collection[str], optional: Collection[str] = ()) -> dict[str, str]:
    """The fields of a body, all text. Raises Refused 400: unknown_field, missing_…, bad_…."""
    unknown = sorted(body.keys() - {*required, *optional})
    if unknown:
        raise Refused("unknown_field", 400, field=unknown[0])
    found: dict[str, str] = {}
    for name in (*required, *optional):
        value = body.get(name)
        if value is None or value == "":
            if name in required:
                raise Refused(f"missing_{name}", 400)
            continue
        if not isinstance(value, str) or len(value) > REF_LIMIT:
            raise Refused(f"bad_{name}", 400)
        found[name] = value
    return found
