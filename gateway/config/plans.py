"""`[[plan]]`: action plans (预案), the steps of which the console walks with an operator. Own plans stand before those that we ship."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from gateway.config.teams import SEVERAL
from gateway.config.words import Name
from gateway.event import KINDS, Group, Kind, Severity
from gateway.toml_file import Fault

STEPS_LIMIT = 20  # of one plan; what is longer nobody walks during a call
TEXT_LIMIT = 120  # characters of a step's text: one or two lines of the pane

# Steps that the console has a text for in both languages. What ticks each by itself when the plan says nothing else.
WORDS: dict[str, str] = {
    "call_person": "call_person",
    "ask_injury": "hand",
    "call_family": "call_family",
    "dispatch": "dispatch",
    "check_device": "hand",
    "identify": "identify",
    "call_119": "hand",
    "call_120": "hand",
    "call_110": "hand",
    "arrange_medical": "hand",
    "arrange_doctor": "hand",
    "arrange_hospital": "hand",
}
# What may tick a step by itself; hand: nothing does.
Ticks = Literal["", "hand", "dispatch", "arrived", "call_person", "call_family", "identify", "record"]

# What may be asked of a person: words of persons.csv (gateway.core.register: Risk, Ability, Category).
Risks = Literal["advanced_age", "living_alone", "empty_nest", "no_kin"]
Abilities = Literal["self_caring", "semi_disabled", "disabled"]
Categories = Literal["general", "three_nos", "five_guarantees", "minimum_living", "family_planning", "low_income"]
Need = Risks | Abilities | Categories

# Kinds of incident: words for several at once, beside the kinds themselves.
GROUPS: dict[str, frozenset[Kind]] = {
    **SEVERAL,
    "call": frozenset(kind for kind, facts in KINDS.items() if facts.group is Group.TELEPHONE),
    "device": frozenset(kind for kind, facts in KINDS.items() if facts.group is Group.DEVICE),
    "line": frozenset(kind for kind, facts in KINDS.items() if facts.group is Group.LINE),
    "service": frozenset(kind for kind, facts in KINDS.items() if facts.group is Group.SERVICE),
}


class PlanStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. `word`: one that we ship (call_person, ask_injury, …), or a name of its own together with its text in both languages.

    ticked_by: what ticks it by itself: dispatch (an order was given), arrived (a responder is there), call_person or call_family (they were
    spoken to), identify (it is known whose matter it is), record (the caller's record was taken), hand (nothing); "" = as the word says, else hand
    """

    word: Name
    zh: Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)] = ""
    en: Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)] = ""
    required: bool = False
    ticked_by: Ticks = ""

    @property
    def ticks(self) -> str:
        """What ticks it."""
        return self.ticked_by or WORDS.get(self.word, "hand")


class PlanConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[plan]]`: of those that fit an incident the first in the file counts. What is left empty does not matter.

    kinds       illness, danger, person, environment, call, device, line, service, or single kinds
    severities  of the incident
    hotlines    at which the newest call of it came in
    needs       of its person: a risk (living_alone, …), category or ability; one is enough
    when        call_due (somebody waits to be called back), person (it is known whose matter it is); all of them
    step        in their order; none: there is nothing to be walked, and nothing is required
    """

    name: Name
    kinds: tuple[str, ...] = ()
    severities: tuple[Severity, ...] = ()
    hotlines: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    when: tuple[Literal["call_due", "person"], ...] = ()
    step: Annotated[tuple[PlanStep, ...], msgspec.Meta(max_length=STEPS_LIMIT)] = ()


def plan_faults(plan: PlanConfig) -> Iterator[Fault]:
    """What msgspec cannot know of a plan."""
    strange = sorted(set(plan.kinds) - GROUPS.keys() - {kind.value for kind in Kind})
    if strange:
        yield ("kinds",), f"{strange[0]!r} is no kind of incident", f"write {', '.join(GROUPS)}, or kinds such as sos, fall, smoke"
    found: set[str] = set()
    for step in plan.step:
        if step.word in found:
            yield ("step",), f"has the step {step.word!r} twice", "write it once"
        found.add(step.word)
        if step.word not in WORDS and not (step.zh.strip() and step.en.strip()):
            yield ("step",), f"has a step {step.word!r} without a text", 'write zh = "…" and en = "…" beside it, or a word that has one'
