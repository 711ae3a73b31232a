"""A routing decision in words, Chinese or English: what a supervisor reads who asks why this one was sent, and not the one next door.

The words are those of the console's language files; ids take the place of names that nobody knows any more.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from gateway.core.routing import CHINA, Candidate, Decision

LANGUAGES = ("zh-CN", "en")
_FILES = Path(__file__).parent / "console" / "static" / "lang"

Names = Callable[[str], str]
"""Responder → what it is called."""


def explained(decision: Decision, names: Names, language: str) -> list[str]:
    """The decision line by line: who and why, then everybody looked at with the reason, the rest by number, and what it was made from."""
    words = _words(language)
    need = decision.need
    chosen = next((one for one in decision.candidates if one.verdict == "chosen"), Candidate(decision.responder, "chosen"))
    lines = [
        words["explain.sent"].format(
            at=f"{decision.at.astimezone(CHINA):%Y-%m-%d %H:%M:%S}",
            kind=words.get(f"kind.{need.kind}", str(need.kind)) if need is not None else "-",
            role=words.get(f"role.{need.role}", str(need.role)) if need is not None else "-",
            responder=names(decision.responder),
            rule=words.get(f"rule.{decision.rule}", decision.rule),
            reach=_reach(chosen, words),
        )
    ]
    if decision.beyond:
        lines.append(words["explain.beyond"])
    lines += [f"- {_candidate(one, names, words)}" for one in decision.candidates]
    lines += [
        "- " + words["explain.farther"].format(count=count, verdict=words.get(f"verdict.{verdict}", verdict))
        for verdict, count in decision.farther.items()
    ]
    if decision.rules:
        travel = words.get(f"travel.{decision.travel}", decision.travel)
        lines.append(words["explain.made_from"].format(register=decision.register, rules=decision.rules, travel=travel))
    return lines


def none_found(language: str) -> str:
    """There is no decision to explain."""
    return _words(language)["explain.none"]


def _candidate(one: Candidate, names: Names, words: dict[str, str]) -> str:
    parts = [
        words["explain.candidate" if one.capacity else "explain.not_weighed"].format(
            responder=names(one.responder),
            verdict=words.get(f"verdict.{one.verdict}", one.verdict),
            reach=_reach(one, words),
            load=one.load,
            capacity=one.capacity,
        )
    ]
    if one.score is not None:
        parts.append(words["explain.score"].format(score=f"{one.score:g}"))
    if one.weight is not None:
        parts.append(words["explain.weight"].format(weight=f"{one.weight:g}"))
    if one.effect:
        parts.append(words[f"explain.effect_{one.effect}"])
    if one.travel:
        parts.append(words[f"explain.{one.travel}"])
    if one.agreement:
        parts.append(words["explain.agreement"].format(agreement=one.agreement))
    return "; ".join(parts) if words is _words("en") else "；".join(parts)


def _reach(one: Candidate, words: dict[str, str]) -> str:
    if one.travel_min is None or one.km is None:
        return words["explain.no_reach"]
    return words["explain.reach"].format(minutes=f"{one.travel_min:g}", km=f"{one.km:.1f}")


@cache
def _words(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((_FILES / f"{language}.json").read_text(encoding="utf-8"))
    return found
