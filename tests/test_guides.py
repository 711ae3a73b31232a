"""What the guides tell people to paste into gateway.toml is accepted, and the files of config/pbx are all mentioned in a guide."""

import re
from pathlib import Path

import pytest

from drivers.registry import check_line
from gateway.config import read_config

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs/guide").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{guide.stem}-{number}")
    for guide in GUIDES
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", guide.read_text("utf-8"), re.DOTALL | re.MULTILINE))
    if "[[line]]" in block
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_line_as_pasted(block: str, tmp_path: Path) -> None:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    for name in re.findall(r'^\w+_file = "([^"]+)"', block, re.MULTILINE):
        content = '[devices]\n"1" = "x"\n[accounts]\ngateway = "x"\n' if "credentials" in name else "a long random word"
        (tmp_path / Path(name).name).write_text(content)
    block = re.sub(r'^(\w+_file = ")[^"]*/', r"\1", block, flags=re.MULTILINE)
    (tmp_path / "gateway.toml").write_text(block)
    for line in read_config(tmp_path / "gateway.toml").line:
        assert [problem for problem in check_line(line) if "certKey" not in problem and "privateKey" not in problem] == []


def test_every_file_to_paste_is_told_of() -> None:
    told = "".join(guide.read_text("utf-8") for guide in GUIDES)
    assert [str(path.relative_to(ROOT)) for path in (ROOT / "config/pbx").rglob("*") if path.is_file() and path.name not in told] == []
