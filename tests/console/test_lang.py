"""Both languages say the same things; no text of the interface lives in the code; every word of the core has a label."""

import json
import re
from pathlib import Path

import pytest

from gateway.config.plans import WORDS
from gateway.core.incident import Flag, LegState, Outcome, State
from gateway.core.register import Ability, Category, ResponderKind, Risk
from gateway.event import KINDS, Group, Severity
from tests.console.fake_house import STATIC

LANGUAGES = {path.stem: json.loads(path.read_text()) for path in sorted((STATIC / "lang").glob("*.json"))}
SCRIPTS = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)
HAN = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
PLACE = re.compile(r"\{(\w+)\}")


def test_both_have_the_same_keys_and_places() -> None:
    chinese, english = LANGUAGES["zh-CN"], LANGUAGES["en"]
    assert list(chinese) == list(english)
    assert not {key for key in chinese if not chinese[key].strip() or not english[key].strip()}
    assert not {key for key in chinese if set(PLACE.findall(chinese[key])) != set(PLACE.findall(english[key]))}


def test_english_is_not_chinese() -> None:
    assert {key for key, text in LANGUAGES["en"].items() if HAN.search(text)} == {"bar.other_language"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(STATIC)))
def test_no_han_character_in_code(script: Path) -> None:
    assert not HAN.search(script.read_text())


def test_every_key_used_exists() -> None:
    used = {key for script in SCRIPTS for key in re.findall(r"""\bt\("([a-z_.0-9]+)\"""", script.read_text())}
    assert used, "the pattern finds nothing any more"
    assert not used - set(LANGUAGES["en"])


def test_every_notice_to_a_responder_has_a_label() -> None:
    assert {f"timeline.{what}_{how}" for what in ("withdrawn", "taken_by") for how in ("sent", "failed")} <= set(LANGUAGES["en"])


def test_every_meaning_of_a_lost_line_has_a_label() -> None:
    names = re.findall(r"""^  \["([a-z_]+)", /""", (STATIC / "fault.js").read_text(), re.MULTILINE)
    assert len(names) > 5
    assert not {f"fault.{name}" for name in names} - set(LANGUAGES["en"])


def test_every_word_of_the_core_has_a_label() -> None:
    shown = {kind for kind, facts in KINDS.items() if facts.journalled and facts.group is not Group.LIFE}
    words = {
        "kind": shown,
        "severity": set(Severity),
        "state": set(State),
        "flag": set(Flag),
        "outcome": set(Outcome),
        "leg": set(LegState),
        "risk": set(Risk) | set(Ability),
        "category": set(Category) - {Category.GENERAL},
        "responder_kind": set(ResponderKind),
        "step": set(WORDS),
    }
    missing = {f"{group}.{word}" for group, values in words.items() for word in values} - set(LANGUAGES["en"])
    assert not missing


def test_every_key_and_every_view_has_its_word() -> None:
    done = set(re.findall(r"""\("[A-Z]\w+", "(\w+)\"""", (STATIC / "keys.js").read_text()))
    page = (STATIC / "app.js").read_text()
    views = set(re.findall(r"^  (\w+): \[", page.split("const VIEWS = {")[1].split("};")[0], re.MULTILINE))
    assert {"acknowledge", "bulk_assign", "supervisor"} <= done
    assert {"queue", "devices"} <= views
    assert views - done <= {"outcomes"}, "a view without a key"  # where the public's supervisor begins, who has hardly another
    missing = {f"key.{name}" for name in done - {"go"}} | {f"view.{name}" for name in views}
    assert not missing - set(LANGUAGES["en"])
