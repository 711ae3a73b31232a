"""One thing that the doctor looked at and what it found: a word of `gateway.doctor.words` with its facts, never a sentence."""

from enum import StrEnum

import msgspec

from gateway.doctor.words import REMEDIES, TEXTS, WHATS
from gateway.log import mask_text

QUOTED = frozenset(("reason", "fault", "first", "problem", "text"))  # facts in other people's words: numbers of people are masked in them


class Level(StrEnum):
    """good ✓, bad ✗ (exit code 1), note ! (works, and somebody should look), unknown ? (could not be looked at, and why)."""

    GOOD = "good"
    BAD = "bad"
    NOTE = "note"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True):
    """topic: which check; what: of it, such as `line pbx` or a file; word: row of the table; facts: what stands in its braces, no personal data."""

    topic: str
    what: str
    level: Level
    word: str
    facts: dict[str, str] = {}

    @property
    def good(self) -> bool:
        return self.level is Level.GOOD

    def text(self, language: str = "en") -> str:
        """What was found."""
        return self._say(TEXTS[language][self.word])

    def remedy(self, language: str = "en") -> str:
        """What to do; "" where nothing is to be done."""
        return self._say(REMEDIES[language].get(self.word, ""))

    def _say(self, sentence: str) -> str:
        return sentence.format_map({key: mask_text(value) if key in QUOTED else value for key, value in self.facts.items()})

    def about(self, language: str = "en") -> str:
        """Of what, as people call it."""
        return WHATS.get(self.what, self.what) if language == "zh-CN" else self.what


def good(topic: str, what: str, word: str, **facts: object) -> Finding:
    """As it should be."""
    return _finding(topic, what, Level.GOOD, word, facts)


def bad(topic: str, what: str, word: str, **facts: object) -> Finding:
    """A fault."""
    return _finding(topic, what, Level.BAD, word, facts)


def note(topic: str, what: str, word: str, **facts: object) -> Finding:
    """It works; somebody should look."""
    return _finding(topic, what, Level.NOTE, word, facts)


def unknown(topic: str, what: str, word: str, **facts: object) -> Finding:
    """Could not be looked at."""
    return _finding(topic, what, Level.UNKNOWN, word, facts)


def _finding(topic: str, what: str, level: Level, word: str, facts: dict[str, object]) -> Finding:
    return Finding(topic, what, level, word, {key: str(value) for key, value in facts.items()})
