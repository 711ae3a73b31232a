"""What the guides tell people to paste into gateway.toml is accepted, and the files of config/pbx are all mentioned in a guide."""

import re
from pathlib import Path

import pytest

from drivers.registry import check_line
from gateway.config import read_config
from gateway.dispatch.registry import build_channels

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs/guide").glob("*.md"))
BLOCKS = [
    pytest.param(guide.stem, block, id=f"{guide.stem}-{number}")
    for guide in GUIDES
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", guide.read_text("utf-8"), re.DOTALL | re.MULTILINE))
    if "[[line]]" in block or guide.stem == "channels"
]


@pytest.mark.parametrize(("guide", "block"), BLOCKS)
def test_a_line_as_pasted(guide: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    for name in re.findall(r'^\w+_file = "([^"]+)"', block, re.MULTILINE):
        content = '[devices]\n"1" = "x"\n[accounts]\ngateway = "x"\n' if "credentials" in name else "a long random word"
        content = '[4711]\ndialect = "vesta"\n' if "accounts" in name else content
        (tmp_path / Path(name).name).write_text("https://group.example/send?key=k" if name.endswith(".url") else content)
    block = re.sub(r'^(\w+_file = ")[^"]*/', r"\1", block, flags=re.MULTILINE)
    (tmp_path / "gateway.toml").write_text(block)
    config = read_config(tmp_path / "gateway.toml")
    for line in config.line:
        assert [problem for problem in check_line(line) if "certKey" not in problem and "privateKey" not in problem] == []
    if guide == "channels":
        assert {"console", *build_channels(config.dispatch, tmp_path)} == config.channels


def test_every_file_to_paste_is_told_of() -> None:
    told = "".join(guide.read_text("utf-8") for guide in GUIDES)
    assert [str(path.relative_to(ROOT)) for path in (ROOT / "config/pbx").rglob("*") if path.is_file() and path.name not in told] == []
