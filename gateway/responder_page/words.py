"""What the page says, in Simplified Chinese and English; kinds, risks and severities are called what the console calls them."""

import json
from functools import cache
from pathlib import Path

LANGUAGES = ("zh-CN", "en")
_OWN = Path(__file__).parent / "static" / "lang"
_CONSOLE = Path(__file__).parents[1] / "console" / "static" / "lang"
ACCEPT_LIMIT = 200  # characters of Accept-Language that are read; a browser sends under 100


class Words:
    """One language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._own: dict[str, str] = json.loads((_OWN / f"{language}.json").read_text("utf-8"))
        self._console: dict[str, str] = json.loads((_CONSOLE / f"{language}.json").read_text("utf-8"))

    def __call__(self, key: str, **facts: object) -> str:
        """The sentence of a key of ours."""
        return self._own[key].format(**facts)

    def own(self, key: str) -> str | None:
        """The word, if we have one."""
        return self._own.get(key)

    def named(self, group: str, word: object) -> str:
        """The console's word for a value, such as kind and sos; a value without one is shown as it is."""
        return self._console.get(f"{group}.{word}", str(word))


@cache
def words_in(language: str) -> Words:
    """Read once."""
    return Words(language)


def language_of(chosen: str, accepted: str, house: str) -> str:
    """The language a reader chose, else the first of Accept-Language that we speak (RFC 9110, 12.5.4), else that of the house."""
    if chosen in LANGUAGES:
        return chosen
    found: list[tuple[float, str]] = []
    for part in accepted[:ACCEPT_LIMIT].split(","):
        tag, _, weight = part.strip().partition(";")
        language = {"zh": "zh-CN", "en": "en"}.get(tag.strip().lower().partition("-")[0])
        if language is not None:
            found.append((_weight(weight), language))
    return max(found, key=lambda one: one[0])[1] if found else house


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
