"""What the package is made of, without building it: pinned packages, scripts that a shell understands, one place for programs, the broker's file."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.config import examine_config
from tests.install.bare_machine import ROOT

HOME = "/usr/lib/gateway-12349"


def pins(name: str) -> dict[str, str]:
    """Package (and for which Python) → version with its hashes, as the file has them."""
    blocks = re.split(r"^(?=[a-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    return {re.split(r"==", block)[0] + "".join(re.findall(r" ; .*?(?= \\)", block)): block for block in blocks}


def test_the_package_has_the_versions_that_are_tested() -> None:
    tested = {block.split()[0]: re.findall(r"sha256:\w+", block) for block in pins("constraints.txt").values()}
    shipped = {block.split()[0]: re.findall(r"sha256:\w+", block) for block in pins("constraints-package.txt").values()}
    assert shipped
    assert {name: tested.get(name) for name in shipped} == shipped, "tools/lock"
    assert not {"pytest", "mypy", "playwright", "iotcore"} & {name.split("==")[0] for name in shipped}


@pytest.mark.parametrize("script", [*sorted((ROOT / "packaging/debian").glob("p*")), ROOT / "packaging/gateway"], ids=lambda path: path.name)
def test_a_shell_understands_it(script: Path) -> None:
    assert subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=True).stderr == ""


def test_units_name_programs_and_pages_of_the_package() -> None:
    for unit in (ROOT / "systemd").glob("*.*"):
        if unit.is_dir():
            continue
        text = unit.read_text()
        for program in re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE):
            assert program in (f"{HOME}/bin/gateway", f"{HOME}/bin/gateway-sniffer", "/usr/sbin/gateway-broker", "/bin/kill"), unit.name
        for page in re.findall(r"^Documentation=file:/usr/share/doc/gateway-12349/(\S+)", text, re.MULTILINE):
            assert (ROOT / "docs" / page).is_file(), unit.name


def test_the_first_configuration_has_no_fault_and_listens_here_alone(tmp_path: Path) -> None:
    first = (ROOT / "packaging/first/gateway.toml").read_text().replace("/var/lib/gateway", str(tmp_path))
    (tmp_path / "gateway.toml").write_text(first)
    (tmp_path / "policies").symlink_to(ROOT / "config/policies")
    (tmp_path / "districts").symlink_to(ROOT / "packaging/first/districts")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/mqtt-password").write_text("x\n")
    config, problems = examine_config(tmp_path / "gateway.toml")
    assert problems == []
    assert config.console.accounts
    assert config.console.listen == "127.0.0.1:12349"
    assert {line.broker for line in config.line} == {"mqtt://127.0.0.1:1883"}


def test_no_address_of_an_archive_is_written_anywhere() -> None:
    for file in [ROOT / "tools/package", *(ROOT / "packaging").rglob("*"), *(ROOT / "tests/install").glob("*.py")]:
        if file.is_file():
            assert not re.search(r"https?://(?!127\.0\.0\.1)\w", file.read_text()), file
