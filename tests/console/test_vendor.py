"""Vendored files are the ones VENDOR.toml names, unmodified, each with its licence; and nothing else lies there."""

import hashlib
import json
import re
import tomllib

import pytest

from tests.console.fake_house import STATIC

VENDOR = STATIC / "vendor"
FILES = tomllib.loads((VENDOR / "VENDOR.toml").read_text())["file"]


@pytest.mark.parametrize("row", FILES, ids=lambda row: row["file"])
def test_file_is_the_one_named(row: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sha256"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", row["version"])
    text = (VENDOR / row["licence_file"]).read_text()
    assert {"MIT": "MIT License", "Apache-2.0": "Apache License"}[row["licence"]] in text


def test_nothing_else_is_vendored() -> None:
    found = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()}
    assert found == {"VENDOR.toml"} | {row["file"] for row in FILES} | {row["licence_file"] for row in FILES}


def test_import_map_leads_to_vendored_files_only() -> None:
    page = (STATIC / "index.html").read_text()
    found = re.search(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    assert found
    targets = json.loads(found[1])["imports"].values()
    assert set(targets) == {f"/static/vendor/{row['file']}" for row in FILES}
