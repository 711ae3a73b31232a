"""The house itself: who may import whom, hashed packages, the two READMEs alike."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from drivers.registry import DRIVERS, driver_for
from gateway.core.incident import TRANSITIONS

ROOT = Path(__file__).parents[1]


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_has_its_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    placed = {name.strip("() ") for layer in contracts[0]["layers"] for name in layer.split(":")}
    modules = {f"gateway.{path.stem}" for path in (ROOT / "gateway").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"gateway.__init__"} <= placed, "give the new module a layer in pyproject.toml"


def headings(name: str) -> list[int]:
    """The level of each heading, in order, outside code blocks."""
    prose = re.sub(r"^```.*?^```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [len(mark) for mark in re.findall(r"^(#+) ", prose, flags=re.MULTILINE)]


def blocks(name: str) -> list[str]:
    """The code blocks without their comments: what a reader types or copies."""
    found = re.findall(r"^```\w*\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s*#.*", "", block) for block in found]


def test_both_readmes_say_the_same() -> None:
    assert headings("README.md") == headings("README.zh-CN.md")
    assert blocks("README.md") == blocks("README.zh-CN.md")


@pytest.mark.parametrize("chinese", sorted(ROOT.glob("docs/guide/*.zh-CN.md")), ids=lambda path: path.name)
def test_a_guide_in_chinese_says_the_same_commands_and_each_leads_to_the_other(chinese: Path) -> None:
    english = chinese.with_name(chinese.name.replace(".zh-CN", ""))
    ours, theirs = (str(page.relative_to(ROOT)) for page in (english, chinese))
    assert headings(ours) == headings(theirs)
    assert blocks(ours) == blocks(theirs)
    assert f"]({chinese.name})" in english.read_text("utf-8")
    assert f"]({english.name})" in chinese.read_text("utf-8")


@pytest.mark.parametrize(
    "name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_make_targets_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md"):
        for target in re.findall(r"`?make ([a-z]+)", (ROOT / name).read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{name}: make {target}"


def test_every_package_is_pinned_and_hashed() -> None:
    text = (ROOT / "constraints.txt").read_text() + (ROOT / "constraints-roads.txt").read_text()
    lines = text.replace("\\\n", " ").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", pin)] == []
    assert "://" not in text
    locked = {pin.partition("==")[0] for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(need for needs in project["optional-dependencies"].values() for need in needs)]
    names = {re.split(r"[\[<>=!~ ]", need)[0].lower().replace("_", "-") for need in wanted} - {"gateway-12349"}
    assert names <= locked, "run make lock"


def test_the_diagram_is_the_table() -> None:
    drawn = {
        (before, after, action.strip())
        for before, after, actions in re.findall(r"^ +(\w+) --> (\w+) : (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
        for action in actions.split(",")
    }
    table = {(str(before), str(after), str(action)) for before, row in TRANSITIONS.items() for action, after in row.items() if before != after}
    assert drawn == table


def test_the_table_of_codecs_is_the_registry() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|.*`(drivers/\S+)` \|$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {(codec, transport) for codec, transport, _ in rows} == {(codec, str(driver_for(codec).transport)) for codec in DRIVERS}
    assert [file for _, _, file in rows if not (ROOT / file).exists()] == []


def test_words_stand_in_the_dictionaries_not_in_the_scripts() -> None:
    scripts = [path for path in (ROOT / "gateway" / "console" / "static").rglob("*.js") if "vendor" not in path.parts and "lang" not in path.parts]
    assert [str(path.relative_to(ROOT)) for path in scripts if re.search(r"[\u4e00-\u9fff]", path.read_text(encoding="utf-8"))] == []
