"""What may stand in the body of a command. The core decides whether it can be done; here only names and types are looked at."""

from collections.abc import Mapping

from gateway.core.command import NOTE_LIMIT
from gateway.core.incident import Action, Outcome
from gateway.errors import Refused

# action → field → (type, must it be there)
FIELDS: dict[Action, dict[str, tuple[type, bool]]] = {
    Action.ACKNOWLEDGE: {},
    Action.RELEASE: {},
    Action.ASSIGN: {"to": (str, True)},
    Action.DISPATCH: {"responder": (str, False)},
    Action.WITHDRAW: {"delivery": (str, True)},
    Action.ESCALATE: {"reason": (str, False)},
    Action.NOTE: {"text": (str, True)},
    Action.STEP: {"step": (str, True)},
    Action.IDENTIFY: {"person": (str, True)},
    Action.MERGE: {"into": (str, True)},
    Action.HAND_OVER: {"to": (str, True), "note": (str, False)},
    Action.RESOLVE: {"outcome": (str, True), "note": (str, False)},
    Action.CALL_BACK: {"satisfaction": (int, False), "note": (str, False), "complaint": (bool, False)},
    Action.COMPLAIN: {"note": (str, True)},
}
# Why full numbers may be asked for (console design, 8: a reason from a list).
REVEAL_REASONS = ("call_back", "verify_identity", "emergency_service")
WORDS: dict[str, tuple[str, ...]] = {"outcome": tuple(Outcome)}


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
