"""The operator's guide: both languages say the same section by section, every picture named is there, and none is left over."""

import re
from pathlib import Path

import pytest

from tests.console.guide_pictures import FOLDER, GUIDE, IMAGES, LIMIT
from tests.console.looks import LANGUAGES

ROOT = Path(__file__).parents[2]
GUIDES = {"en": ROOT / "docs/guide/operator.md", "zh-CN": ROOT / "docs/guide/operator.zh-CN.md"}
READMES = {"en": ROOT / "README.md", "zh-CN": ROOT / "README.zh-CN.md"}
PICTURE = re.compile(r"!\[([^\]]+)\]\((\S+)\)")
KEY = re.compile(r"^\| (.*?) \| .*? \| (.*?) \| .*? \|$", re.MULTILINE)


def sections(language: str) -> list[str]:
    return GUIDES[language].read_text(encoding="utf-8").split("\n## ")


def pictures(text: str) -> list[str]:
    """Names without folder and language, as they stand."""
    return [Path(target).name.split(".")[0] for _, target in PICTURE.findall(text)]


def test_both_languages_have_the_same_sections_pictures_and_paragraphs() -> None:
    english, chinese = sections("en"), sections("zh-CN")
    assert len(english) == len(chinese) >= 10
    for one, other in zip(english, chinese, strict=True):
        title = f"{one.splitlines()[0]} / {other.splitlines()[0]}"
        assert pictures(one) == pictures(other), title
        assert one.count("\n\n") == other.count("\n\n"), title
        assert one.count("\n**") == other.count("\n**"), title


def test_both_languages_name_the_same_keys() -> None:
    english, chinese = (KEY.findall(sections(language)[-1])[2:] for language in ("en", "zh-CN"))
    assert english == chinese
    assert len(english) > 20
    body = {language: "".join(sections(language)[1:-1]) for language in LANGUAGES}
    goes = {language: set(re.findall(r"\bG [A-Z]\b", text)) for language, text in body.items()}
    assert goes["en"] == goes["zh-CN"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_is_there_small_and_in_its_language(language: str) -> None:
    named = [target for _, target in PICTURE.findall(GUIDES[language].read_text(encoding="utf-8"))]
    assert all(target.endswith(f".{language}.png") for target in named)
    files = [(GUIDES[language].parent / target).resolve() for target in named]
    assert sorted(file.name for file in files) == sorted(f"{name}.{language}.png" for name in GUIDE)
    assert [file.name for file in files if not file.is_file() or file.stat().st_size >= LIMIT] == []


def test_no_picture_is_left_over() -> None:
    named = {f"console/{name}.{language}.png" for name in GUIDE for language in LANGUAGES} | {f"console-{language}.png" for language in LANGUAGES}
    assert {str(file.relative_to(IMAGES)) for file in IMAGES.rglob("*") if file.is_file()} == named
    assert {file.parent for file in FOLDER.iterdir()} == {FOLDER}
    for language, readme in READMES.items():
        assert f"docs/images/console-{language}.png" in readme.read_text(encoding="utf-8")
