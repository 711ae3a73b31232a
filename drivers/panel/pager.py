"""What paging protocols share: the options of an installation, and our end of the link where we are the one who sends pages."""

import re
from collections import deque
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from drivers.downlink import Tell, Word
from drivers.panel.one_way import OneWay
from drivers.panel.text_rules import TextRule, check_rules
from gateway.event import Kind

MAX_PAGES = 64  # waiting at one time; a paging terminal takes a page in seconds, and nobody waits longer than half a minute
WORDS = {
    Word.TAKEN: "CALL TAKEN",
    Word.COMING: "HELP IS COMING",
    Word.OVER: "CALL OVER",
    Word.PROMPT: "ARE YOU WELL? PLEASE ANSWER",
}


class PagerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an installation may differ in.

    role           terminal: a nurse-call system sends its pages to us; sender: we send pages to a paging terminal
    charset        how 8-bit text reads
    texts, default which kind a page is: the first rule whose expression is found in the text, else `default`
    words          as a sender, what a pager shows when the text at hand is not ASCII: taken, coming, over, prompt
    """

    role: Literal["terminal", "sender"] = "terminal"
    charset: Literal["latin-1", "cp850", "cp437"] = "latin-1"
    texts: tuple[TextRule, ...] = ()
    default: Kind = Kind.GENERAL
    words: dict[Word, str] = {}

    def __post_init__(self) -> None:
        check_rules(self.texts)
        if not all(text.isascii() for text in self.words.values()):
            raise ValueError("words: a pager of this protocol shows ASCII only")


class Waiting(NamedTuple):
    """One page to be sent; `token` is whose."""

    token: int
    pager_id: str
    text: str


class PageSender(OneWay):
    """One paging terminal on one link, for pages one after the other. It tells us nothing of its own accord: there are no signals.

    form: what a pager id of the protocol looks like. A protocol adds what is said and heard, and sets `_due` while it waits for an answer.
    """

    def __init__(self, form: str, words: Mapping[Word, str]) -> None:
        super().__init__()
        self._form = re.compile(form)
        self._words = {**WORDS, **words}
        self._pages: deque[Waiting] = deque()
        self._told: list[tuple[int, str]] = []
        self._due: float | None = None

    def can_tell(self, device: str, word: Word) -> bool:  # noqa: ARG002 - any word is a text
        """Any pager id: which pagers there are, the terminal knows."""
        return self._form.fullmatch(device) is not None

    def told(self) -> list[tuple[int, str]]:
        told, self._told = self._told, []
        return told

    def deadline(self) -> float | None:
        return self._due

    def _add(self, tell: Tell, token: int) -> None:
        """Pagers of these protocols show ASCII only: another text is told in the protocol's own words."""
        text = tell.text if tell.text and tell.text.isascii() else self._words[tell.word]
        if len(self._pages) >= MAX_PAGES:
            self._told.append((token, "busy"))
        else:
            self._pages.append(Waiting(token, tell.device, " ".join(text.split())))

    def _done(self, reason: str) -> None:
        """The first page has its result."""
        self._told.append((self._pages.popleft().token, reason))

    def _fail(self, reason: str) -> None:
        """None of those that wait will be sent."""
        while self._pages:
            self._done(reason)
