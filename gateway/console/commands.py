"""What may stand in the body of a command. The core decides whether it can be done; here only names and types are looked at."""

from collections.abc import Mapping

from gateway.console.reader import Reader
from gateway.console.rights import LEAD
from gateway.console.seam import House
from gateway.core.account import AccountRole
from gateway.core.command import NOTE_LIMIT
from gateway.core.incident import Action, Outcome, Role
from gateway.core.loop import Finding
from gateway.errors import Refused

# action → field → (type, must it be there)
FIELDS: dict[Action, dict[str, tuple[type, bool]]] = {
    Action.ACKNOWLEDGE: {},
    Action.RELEASE: {},
    Action.ASSIGN: {"to": (str, True)},
    Action.DISPATCH: {"responder": (str, False), "role": (str, False), "skill": (str, False)},
    Action.WITHDRAW: {"delivery": (str, True)},
    Action.ESCALATE: {"reason": (str, False)},
    Action.NOTE: {"text": (str, True)},
    Action.STEP: {"step": (str, True)},
    Action.IDENTIFY: {"person": (str, True)},
    Action.RECORD: {"name": (str, False), "address": (str, False), "what": (str, False), "area": (str, False)},
    Action.MERGE: {"into": (str, True), "different": (bool, False)},
    Action.UNMERGE: {},
    Action.SPLIT: {"device": (str, False), "call": (str, False), "person": (str, False)},
    Action.HOLD: {"until": (str, True), "reason": (str, True)},
    Action.RESUME: {},
    Action.SHELVE: {"until": (str, True), "reason": (str, True)},
    Action.UNSHELVE: {},
    Action.WAIVE: {"reason": (str, True)},
    Action.HANDLE: {"finding": (str, True), "note": (str, True)},
    Action.CANCEL: {"reason": (str, False)},
    Action.HAND_OVER: {"to": (str, True), "note": (str, False)},
    Action.RESOLVE: {
        "outcome": (str, True),
        "note": (str, False),
        "override": (str, False),
        "arrived": (str, False),
        "arrived_why": (str, False),
    },
    Action.CALL_BACK: {"satisfaction": (int, False), "note": (str, False), "complaint": (bool, False), "about": (str, False)},
    Action.COMPLAIN: {"note": (str, True), "about": (str, False)},
}
# Why full numbers may be asked for (console design, 8: a reason from a list).
REVEAL_REASONS = ("call_back", "verify_identity", "emergency_service")
WORDS: dict[str, tuple[str, ...]] = {"role": tuple(Role), "outcome": tuple(Outcome), "finding": tuple(Finding)}


def check_right(role: AccountRole, action: Action, facts: Mapping[str, object]) -> None:
    """What of these everybody at the desk may, and what only a supervisor. Raises Refused 403 no_right."""
    if role not in LEAD and (action is Action.WAIVE or "override" in facts):
        raise Refused("no_right", 403)


def check_area(house: House, reader: Reader, name: str, action: Action, facts: Mapping[str, object]) -> None:
    """Whom and what else a command names must lie in the reader's areas, too: else one's own incident would open the record of anybody, or
    vanish in one that its own desk does not see. A person whom the gateway itself proposes may be from elsewhere. Raises Refused: foreign_area."""
    if not reader.areas:
        return
    register, incident = house.register, house.incidents.get(name)
    other = house.incidents.get(str(facts.get("into") or "")) if action is Action.MERGE else None
    person = register.persons.get(str(facts.get("person") or "")) if action in (Action.IDENTIFY, Action.SPLIT) else None
    proposed = (*incident.candidates, *(hint.person for hint in incident.hints)) if incident is not None else ()
    is_foreign = person is not None and person.id not in proposed and not reader.covers(register, person.area)
    if is_foreign or (other is not None and not reader.sees(register, other)):
        raise Refused("foreign_area", 403)


def reveal_reason(body: Mapping[str, object]) -> str:
    """Why somebody wants to see full numbers. Raises Refused 400: unknown_field, missing_reason, bad_reason."""
    unknown = sorted(body.keys() - {"reason"})
    if unknown:
        raise Refused("unknown_field", 400, field=unknown[0])
    reason = body.get("reason")
    if reason is None or reason == "":
        raise Refused("missing_reason", 400)
    if not isinstance(reason, str) or reason not in REVEAL_REASONS:
        raise Refused("bad_reason", 400, allowed=REVEAL_REASONS)
    return reason


def facts_of(action: Action, body: Mapping[str, object]) -> dict[str, object]:
    """The facts of a command; null and empty text mean absent. Raises Refused 400: unknown_field, missing_…, bad_…, …_too_long."""
    fields = FIELDS[action]
    unknown = sorted(body.keys() - fields.keys())
    if unknown:
        raise Refused("unknown_field", 400, field=unknown[0])
    facts: dict[str, object] = {}
    for name, (kind, required) in fields.items():
        value = body.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            if required:
                raise Refused(f"missing_{name}", 400)
            continue
        if type(value) is not kind or (name in WORDS and value not in WORDS[name]):
            raise Refused(f"bad_{name}", 400, **({"allowed": WORDS[name]} if name in WORDS else {}))
        if isinstance(value, str) and len(value) > NOTE_LIMIT:
            raise Refused(f"{name}_too_long", 400, limit=NOTE_LIMIT)
        facts[name] = value
    return facts
