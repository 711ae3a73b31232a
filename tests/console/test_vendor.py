"""Vendored files are the ones VENDOR.toml names, unmodified, each with its licence; and nothing else lies there."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.console.fake_house import STATIC

VENDOR = STATIC / "vendor"
AXE = Path(__file__).with_name("axe")
TITLES = {"MIT": "MIT License", "Apache-2.0": "Apache License", "MPL-2.0": "Mozilla Public License", "BSD-2-Clause": "BSD 2-Clause License"}


def files_of(folder: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = tomllib.loads((folder / "VENDOR.toml").read_text())["file"]
    return rows


FILES = files_of(VENDOR)


@pytest.mark.parametrize(
    ("folder", "row"),
    [(folder, row) for folder in (VENDOR, AXE) for row in files_of(folder)],
    ids=lambda part: part["file"] if isinstance(part, dict) else "",
)
def test_file_is_the_one_named(folder: Path, row: dict[str, str]) -> None:
    assert hashlib.sha256((folder / row["file"]).read_bytes()).hexdigest() == row["sha256"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", row["version"])
    assert TITLES[row["licence"]] in (folder / row["licence_file"]).read_text()


@pytest.mark.parametrize("folder", [VENDOR, AXE], ids=lambda folder: folder.name)
def test_nothing_else_is_vendored(folder: Path) -> None:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"VENDOR.toml"} | {row["file"] for row in files_of(folder)} | {row["licence_file"] for row in files_of(folder)}


def test_import_map_leads_to_vendored_files_only() -> None:
    page = (STATIC / "index.html").read_text()
    found = re.search(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    assert found
    targets = json.loads(found[1])["imports"].values()
    assert set(targets) == {f"/static/vendor/{row['file']}" for row in FILES if not row["file"].endswith(".css")}
