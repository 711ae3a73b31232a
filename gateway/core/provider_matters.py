"""What is ruled about providers: each matter and its check. Every change has a reason and an actor, and stands in the journal.

provider:<id>   the life cycle (gateway.core.providers.MOVES)
frozen:<id>     no new orders, until then; also for a station (domain 2.8, 6.14)
blocked:<id>    why it may not work, told from outside: credit, prepaid funds (domain 5.9, 6.14)
grade:<id>      stars, with scale, assessor and day (domain 5.5, 5.6, 5.8)
proposal:<id>   suspension proposed by the ranking (末位淘汰, domain 5.4): only a person confirms or rejects it
ranking:<name>  one run of scoring or ranking by the machine: writes score:<id>, and proposes
"""

import re
from datetime import date, datetime

import msgspec

from gateway.core.providers import MOVES, bare_without, state_of
from gateway.core.standing import Ruling, on_ruling, plain, reasoned, switched
from gateway.core.state import Draft
from gateway.core.territory import ProviderState, Standing
from gateway.errors import Refused

MACHINE = "gateway"
WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
MOST_STARS = 10
SCORES_AT_ONCE = 500  # in one ruling: a few milliseconds of the loop, 50 KB of the journal
PROPOSED, CONFIRMED, REJECTED, OVERTAKEN = "proposed", "confirmed", "rejected", "overtaken"


def on_provider(draft: Draft, ruling: Ruling, _before: Standing | None, now: datetime) -> Standing:
    """A step in its life. Raises Refused: unknown_provider, bad_state, missing_reason, no_until, not_from_<state>, blocked."""
    name = _provider(draft, ruling)
    reasoned(ruling)
    if ruling.until is not None:
        raise Refused("no_until", 400, instead="frozen")  # what ends by itself is a freeze
    try:
        wanted = ProviderState(ruling.value)
    except ValueError:
        raise Refused("bad_state", 400, allowed=[state.value for state in ProviderState]) from None
    state = state_of(draft.register, lambda key: draft.standing(key, now), name)
    if state is None or wanted not in MOVES[state]:
        raise Refused(f"not_from_{state}", allowed=sorted(MOVES[state]) if state is not None else [])
    if wanted is ProviderState.ADMITTED and (why := _blocked(draft, name, now)):
        raise Refused("blocked", why=why)
    proposal = draft.standing(f"proposal:{name}", now)
    if proposal is not None and proposal.value == PROPOSED:
        over = Standing(key=proposal.key, value=OVERTAKEN, at=now, actor=ruling.actor, reason=ruling.reason, detail=proposal.detail)
        draft.standings[proposal.key] = over
    return msgspec.structs.replace(plain(ruling, now), detail={**ruling.detail, "previous": state.value})


def on_frozen(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """No new orders. value "frozen", or "" to lift it. Raises Refused: unknown_responder, bad_value, missing_reason, bad_until."""
    name = ruling.key.partition(":")[2]
    if name not in draft.register.responders:
        raise Refused("unknown_responder", 404)
    if ruling.value not in ("frozen", ""):
        raise Refused("bad_value", 400, allowed=["frozen", ""])
    return switched(ruling, before, now)


def on_blocked(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """Told from outside. value: a word such as credit or prepaid_funds, or "" to lift it."""
    _provider(draft, ruling)
    if ruling.value and not WORD.fullmatch(ruling.value):
        raise Refused("bad_value", 400, example="credit")
    return switched(ruling, before, now)


def on_grade(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """Stars given by an assessor: value the stars, detail {scale, assessor, on}. "" takes them back, then the file's count again."""
    _provider(draft, ruling)
    if not ruling.value:
        return switched(ruling, before, now)
    scale, assessor, on = (ruling.detail.get(name) for name in ("scale", "assessor", "on"))
    if not isinstance(scale, int) or isinstance(scale, bool) or not 1 <= scale <= MOST_STARS:
        raise Refused("bad_scale", 400, allowed=f"1..{MOST_STARS}")
    try:
        stars = float(ruling.value)
        date.fromisoformat(str(on))
    except ValueError:
        raise Refused("bad_grade" if _is_no_number(ruling.value) else "bad_on", 400) from None
    if not 0 <= stars <= scale:
        raise Refused("bad_grade", 400, allowed=f"0..{scale}")
    if not isinstance(assessor, str) or not assessor.strip() or len(assessor) > 100:
        raise Refused("missing_assessor", 400)
    if ruling.until is not None and ruling.until <= now:
        raise Refused("bad_until", 400)
    return plain(ruling, now)


def on_proposal(draft: Draft, ruling: Ruling, before: Standing | None, now: datetime) -> Standing:
    """A person confirms or rejects a suspension that was proposed. Raises Refused: no_proposal, missing_reason, not_a_person, leaves_bare."""
    name = _provider(draft, ruling)
    if before is None or before.value != PROPOSED:
        raise Refused("no_proposal", 409)
    if ruling.value not in (CONFIRMED, REJECTED):
        raise Refused("bad_value", 400, allowed=[CONFIRMED, REJECTED])
    if ruling.actor == MACHINE:
        raise Refused("not_a_person", 403)
    reasoned(ruling)
    if ruling.value == CONFIRMED:
        bare = bare_without(draft.register, lambda key: draft.standing(key, now), name, now)
        if bare is not None:
            raise Refused("leaves_bare", area=bare[0], what=bare[1])
        on_ruling(draft, Ruling(key=f"provider:{name}", value=ProviderState.SUSPENDED, actor=ruling.actor, reason=ruling.reason), now)
    return msgspec.structs.replace(plain(ruling, now), detail=before.detail)


def on_ranking(draft: Draft, ruling: Ruling, _before: Standing | None, now: datetime) -> Standing:
    """The machine has counted: detail {"scores": {id: [score, sample]}, "proposed": {id: {…}}}; what it writes follows from that one record.

    value: scored or ranked; only the newest run matters. A provider that is gone from the register, or is proposed already, is passed over.
    """
    if ruling.actor != MACHINE or ruling.value not in ("scored", "ranked"):
        raise Refused("not_the_machine", 403)
    scores, proposed = ruling.detail.get("scores", {}), ruling.detail.get("proposed", {})
    if not isinstance(scores, dict) or not isinstance(proposed, dict) or len(scores) > SCORES_AT_ONCE:
        raise Refused("bad_scores", 400, limit=SCORES_AT_ONCE)
    for name, (score, sample) in scores.items():
        if name in draft.register.providers:
            draft.standings[f"score:{name}"] = Standing(key=f"score:{name}", value=f"{score:.4f}", at=now, actor=MACHINE, detail={"sample": sample})
    for name, facts in proposed.items():
        known = draft.standing(f"proposal:{name}", now)
        if name in draft.register.providers and (known is None or known.value != PROPOSED):
            key = f"proposal:{name}"
            draft.standings[key] = Standing(key=key, value=PROPOSED, at=now, actor=MACHINE, reason="last_place", detail=facts)
    return plain(ruling, now)


def _provider(draft: Draft, ruling: Ruling) -> str:
    name = ruling.key.partition(":")[2]
    if name not in draft.register.providers:
        raise Refused("unknown_provider", 404)
    return name


def _blocked(draft: Draft, name: str, now: datetime) -> str:
    ruled = draft.standing(f"blocked:{name}", now)
    return ruled.value if ruled is not None else draft.register.providers[name].blocked


def _is_no_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return True
    return False
