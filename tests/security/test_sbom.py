"""What we are made of, and whether something is known against it: the bill against the schema of CycloneDX, the audit against advisories of ours."""

import importlib.util
import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import pytest

ROOT = Path(__file__).parents[2]
SCHEMAS = Path(__file__).parent / "cyclonedx"  # of CycloneDX (OWASP), Apache-2.0, unchanged


def tool(name: str) -> ModuleType:
    loader = SourceFileLoader(f"tool_{name}", str(ROOT / "tools" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    found = importlib.util.module_from_spec(spec)
    was, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(found)
    finally:
        sys.dont_write_bytecode = was
    return found


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("sbom") / "sbom.cdx.json"
    done = subprocess.run([sys.executable, "tools/sbom", "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def validator() -> Any:
    known = [
        (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", json.loads((SCHEMAS / f"{name}.schema.json").read_text()))
        for name in ("spdx", "jsf-0.82")
    ]
    registry = jsonschema_rs.Registry(known)
    return jsonschema_rs.validator_for(json.loads((SCHEMAS / "bom-1.5.schema.json").read_text()), registry=registry)


def test_the_bill_is_what_cyclonedx_says(bill: dict[str, Any]) -> None:
    schema = validator()
    schema.validate(bill)
    assert not schema.is_valid({**bill, "components": [{"name": "no type"}]}), "the schema is not asked at all"


def test_every_package_has_its_licence_and_the_hashes_that_pip_checks(bill: dict[str, Any]) -> None:
    names = {one["name"] for one in bill["components"]}
    assert {"aiomqtt", "paho-mqtt", "twisted", "sqlalchemy", "psycopg", "nats-py", "argon2-cffi", "cryptography"} <= names
    pinned = (ROOT / "constraints.txt").read_text()
    for one in bill["components"]:
        assert one["licenses"][0]["expression"], one["name"]
        digests = [digest["content"] for file in one["externalReferences"] for digest in file["hashes"]]
        assert digests, one["name"]
        assert all(digest in pinned for digest in digests)


def test_nothing_under_the_gpl_but_the_sniffers_scapy(bill: dict[str, Any]) -> None:
    gpl = {one["name"] for one in bill["components"] if one["licenses"][0]["expression"].startswith(("GPL", "AGPL"))}
    assert gpl == {"scapy"}


def test_every_dependency_is_in_the_bill(bill: dict[str, Any]) -> None:
    references = {one["bom-ref"] for one in bill["components"]}
    assert {need for one in bill["dependencies"] for need in one["dependsOn"]} <= references


def test_the_same_environment_gives_the_same_bytes(bill: dict[str, Any], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "tools/sbom", "--out", str(tmp_path / "again")], cwd=ROOT, check=True, capture_output=True)
    assert json.loads((tmp_path / "again").read_text()) == bill
    assert str(ROOT) not in (tmp_path / "again").read_text()


@pytest.mark.parametrize(
    ("said", "is_allowed"),
    [("MIT", True), ("GPL-3.0-or-later", False), ("MIT OR GPL-2.0-only", True), ("MIT AND GPL-2.0-only", False), ("", False), ("(MIT)", True)],
)
def test_licences_are_judged(said: str, is_allowed: bool) -> None:
    assert tool("sbom")._is_allowed(said) is is_allowed


# --- the audit

ADVISORY = {
    "id": "PYSEC-0000-1",
    "aliases": ["CVE-0000-1"],
    "summary": "an invented weakness",
    "modified": "2999-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Some_Package"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2.3"}, {"introduced": "2.0"}, {"fixed": "2.1"}]}],
        }
    ],
}


def audit(tmp_path: Path, pinned: str, *advisories: Any) -> "subprocess.CompletedProcess[str]":
    folder = tmp_path / "advisories" / "deep"
    folder.mkdir(parents=True)
    for number, advisory in enumerate(advisories):
        (folder / f"{number}.json").write_text(advisory if isinstance(advisory, str) else json.dumps(advisory))
    (tmp_path / "constraints.txt").write_text(f"{pinned} \\\n    --hash=sha256:00\n")
    command = [sys.executable, "tools/audit", "--advisories", str(tmp_path / "advisories"), "--constraints", str(tmp_path / "constraints.txt")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("version", "is_hit"), [("1.2.2", True), ("1.2.3", False), ("1.10", False), ("2.0", True), ("2.0.9", True), ("2.1", False), ("2.0rc1", False)]
)
def test_ranges_are_read_as_osv_means_them(tmp_path: Path, version: str, is_hit: bool) -> None:
    done = audit(tmp_path, f"some-package=={version}", ADVISORY)
    assert done.returncode == int(is_hit), done.stdout + done.stderr
    assert (f"some-package {version}: PYSEC-0000-1, CVE-0000-1: an invented weakness; fixed in 1.2.3, 2.1" in done.stdout) is is_hit


@pytest.mark.parametrize("event", ["last_affected", "versions"])
def test_other_ways_of_saying_it(tmp_path: Path, event: str) -> None:
    affected: dict[str, Any] = {"package": {"ecosystem": "PyPI", "name": "x"}}
    affected |= (
        {"versions": ["1.5"]}
        if event == "versions"
        else {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "1"}, {"last_affected": "1.5"}]}]}
    )
    done = audit(tmp_path, "x==1.5", {**ADVISORY, "affected": [affected]})
    assert done.returncode == 1
    assert "no fixed version is known" in done.stdout


def test_withdrawn_and_foreign_advisories_do_not_count(tmp_path: Path) -> None:
    foreign = {**ADVISORY, "affected": [{**ADVISORY["affected"][0], "package": {"ecosystem": "npm", "name": "some-package"}}]}  # type: ignore[index]
    done = audit(tmp_path, "some-package==1.0", {**ADVISORY, "withdrawn": "2999-01-02T00:00:00Z"}, foreign, "not json at all")
    assert done.returncode == 0
    assert "1 packages, 2 advisories until 2999-01-01: 0 known weaknesses" in done.stdout
    assert "1 files could not be read" in done.stderr


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    old = audit(tmp_path, "x==1", {**ADVISORY, "modified": "2001-01-01T00:00:00Z"})
    assert old.returncode == 0
    assert "the advisories are old" in old.stderr
    (tmp_path / "none").mkdir()
    done = subprocess.run(
        [sys.executable, "tools/audit", "--advisories", str(tmp_path / "none")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Nothing is known either way" in done.stderr


def test_our_own_pins_can_be_looked_through(tmp_path: Path) -> None:
    pinned = tool("audit").read_pinned((ROOT / "constraints.txt").read_text())
    assert {"aiomqtt", "twisted", "cryptography"} <= pinned.keys()
    assert len(pinned) > 40
