"""What the runbooks tell somebody to type or to look at at three in the morning exists."""

import contextlib
import io
import re
from functools import cache

import pytest

from gateway.cli import main
from gateway.config import Config
from tests.observe.rules import CHINESE, ROOT, RUNBOOKS

PAGES = sorted(RUNBOOKS.glob("*.md"))
TEXT = {page.stem: page.read_text(encoding="utf-8") for page in PAGES}
SPANS = {name: re.findall(r"`([^`]+)`", text) for name, text in TEXT.items()}


@cache
def help_of(*words: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    return said.getvalue() if ended.value.code == 0 else ""


def offered(text: str) -> set[str]:
    """The commands or choices that a help names."""
    braces = re.findall(r"\{([\w,-]+)\}", text)
    return {word for found in braces for word in found.split(",")} | set(re.findall(r"^ {2,6}([a-z][\w-]+)(?: |$)", text, flags=re.MULTILINE))


def test_commands_of_the_gateway_exist() -> None:
    typed = {
        tuple(found.split()) for spans in SPANS.values() for span in spans for found in re.findall(r"^gateway ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", span)
    }
    assert len(typed) > 10
    assert [words for words in typed if words[0] not in offered(help_of())] == []
    assert [words for words in typed if len(words) > 1 and words[1] not in offered(help_of(words[0]))] == []


def test_sections_of_the_configuration_exist() -> None:
    named = {found for spans in SPANS.values() for span in spans for found in re.findall(r"\[{1,2}([a-z_]+)[\].]", span)}
    assert named
    assert named - set(Config.__struct_fields__) == set()


def test_what_is_looked_for_in_the_log_is_written_there() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for folder in ("gateway", "drivers") for path in (ROOT / folder).rglob("*.py"))
    looked = {
        found
        for spans in SPANS.values()
        for span in spans
        if span.startswith("journalctl")
        for found in re.findall(r'grep (?:-\w+ )*"?([a-z_ ]+)"?', span)
    }
    looked = {words.strip() for words in looked} - {"error"}
    assert looked
    assert [words for words in looked if words not in sources] == []


def test_units_exist() -> None:
    units = {
        path.name.partition(".")[0] for folder in ("systemd", "packaging") if (ROOT / folder).exists() for path in (ROOT / folder).rglob("*.service")
    }
    named = {found for spans in SPANS.values() for span in spans for found in re.findall(r"(?:systemctl \w+|journalctl -u) (gateway[\w-]*@?)", span)}
    assert named - units == set()


@pytest.mark.parametrize("name", sorted(TEXT))
def test_no_page_is_long_or_names_anybody(name: str) -> None:
    assert len(TEXT[name].splitlines()) < (160 if name == "README" else 50), "nobody reads more at three in the morning"
    assert not re.search(r"\+86|@\w+\.\w+", TEXT[name])


IN_CHINESE = {
    "What it means": "含义",
    "What is in danger": "风险",
    "Look first": "先看",
    "Cure": "处置",
    "If that does not help": "若仍未解决",
    "Whom to tell": "通知谁",
}


def shape(text: str) -> list[str]:
    """What both languages have in the same order: headings, list items by their number, code blocks, paragraphs."""
    kinds = []
    for block in re.split(r"\n\n+", re.sub(r"```.*?```", "```", text, flags=re.DOTALL).strip()):
        first = re.match(r"(#+|```|\||(?:\d+\.|[-*])(?= ))", block)
        kinds.append(first[1] if first else "text")
        kinds += re.findall(r"^ *(\d+\.|[-*])(?= )", block.partition("\n")[2], flags=re.MULTILINE)
    return kinds


def bold(text: str) -> str:
    found = re.search(r"^\*\*(.*)\*\*", text, flags=re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", sorted(set(TEXT) - {"README"}))
def test_both_languages_say_the_same(name: str) -> None:
    """As far as a machine can see: parts, steps, what is typed, and the line that stands in both."""
    english, chinese = TEXT[name], (CHINESE / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", chinese, flags=re.MULTILINE) == [IN_CHINESE[one] for one in re.findall(r"^## (.*)$", english, flags=re.MULTILINE)]
    assert sorted(re.findall(r"`([^`]+)`", chinese)) == sorted(SPANS[name])
    assert sorted(set(re.findall(r"\]\((\w+)\.md\)", chinese))) == sorted(set(re.findall(r"\]\((\w+)\.md\)", english)))
    assert shape(chinese) == shape(english)
    assert bold(chinese) == bold(english)
    assert f"** [中文](zh-CN/{name}.md)\n" in english
    assert f"** [English](../{name}.md)\n" in chinese
