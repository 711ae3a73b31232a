"""What the console shows of an incident against what a scenario says it must show: routing decisions, roles, sources, flags, the closed loop."""

from collections.abc import Mapping, Sequence
from typing import Any

from simulators.district import lineage
from simulators.scenario import See

LEADS = ("social", "medical", "service")  # roles of those who come; who is told or looks in beside them is no answer to "who was sent"


def differs(see: See, detail: Mapping[str, Any], decisions: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], above: Mapping[str, str]) -> str:
    """ "" = all of it is to be seen; else the first thing that is not. kinds: responder → kind; above: area → its parent."""
    incident, beside = detail.get("incident") or {}, detail.get("beside") or {}
    flags, timeline = set(incident.get("flags") or ()), detail.get("timeline") or ()
    loop = {str(node.get("name")) for node in (incident.get("loop") or {}).get("passed", ())}
    escalated = {str((entry.get("detail") or {}).get("reason")) for entry in timeline if entry.get("kind") == "escalate"}
    asked = {str((one.get("asked") or {}).get("role")) for one in decisions}
    sources = len(beside.get("sources") or ())
    found = [
        _lacking("nobody was asked for", see.roles, asked),
        _lacking("it has no flag", see.flags, flags),
        f"it has the flag {', '.join(sorted(flags & set(see.lacks)))}" if flags & set(see.lacks) else "",
        _lacking("it did not come up for", see.reasons, escalated),
        _lacking("it has not passed", see.stages, loop),
        _lacking("was not told:", see.told, {str(one.get("who")) for one in beside.get("notices") or ()}),
        f"it has {sources} source(s), not {see.sources}" if see.sources and sources != see.sources else "",
        f"it visits from {beside.get('visiting_id')}, not {see.visiting}" if see.visiting and beside.get("visiting_id") != see.visiting else "",
        _decided(see, [one for one in decisions if (one.get("asked") or {}).get("role") in LEADS], kinds, above),
    ]
    return next((one for one in found if one), "")


def _lacking(words: str, wanted: Sequence[str], there: set[str]) -> str:
    missing = [one for one in wanted if one not in there]
    return f"{words} {', '.join(missing)} (but {', '.join(sorted(there)) or 'nothing'})" if missing else ""


def _decided(see: See, decisions: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], above: Mapping[str, str]) -> str:
    wanted = {"responder": see.responder, "rule": see.rule, "agreement": see.agreement}
    if not any(wanted.values()) and not see.kind and not see.area and see.beyond is None and not see.verdicts:
        return ""
    chosen = decisions if see.nth == 0 else decisions[see.nth - 1 : see.nth]
    reasons = []
    for one in chosen:
        verdicts = {str(candidate.get("responder")): str(candidate.get("verdict")) for candidate in one.get("candidates", ())}
        facts = {**{name: one.get(name) for name in wanted}, "kind": kinds.get(str(one.get("responder")), ""), "beyond": bool(one.get("beyond"))}
        want = {**wanted, "kind": see.kind}
        wrong = [f"{name} {facts[name]}, not {value}" for name, value in want.items() if value and facts[name] != value]
        wrong += [f"in {one.get('area')}, not in {see.area}"] if see.area and see.area not in lineage(one.get("area"), above) else []
        wrong += [f"beyond {facts['beyond']}"] if see.beyond is not None and facts["beyond"] != see.beyond else []
        wrong += [f"{name} {verdicts.get(name, 'not looked at')}, not {why}" for name, why in see.verdicts.items() if verdicts.get(name) != why]
        if not wrong:
            return ""
        reasons.append(f"{one.get('responder')} by {one.get('rule')}: {'; '.join(wrong)}")
    return " | ".join(reasons) or f"there are {len(decisions)} decision(s) about who comes"
