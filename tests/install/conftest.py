"""One bare Debian and one package for all tests of a run; each test that changes a machine boots its own copy."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import program

from tests.install.bare_machine import ROOT, Machine, debootstrap, give_sources, in_folder


@pytest.fixture(scope="session")
def package_and_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The .deb, and a folder with a bare Debian that has fetched, and not unpacked, whatever the package asks for."""
    folder = tmp_path_factory.mktemp("bare", numbered=True)
    root = folder / "root"
    bootstrap = debootstrap(root)
    try:
        program("dpkg-deb")
        built = subprocess.run([ROOT / "tools/package", folder], capture_output=True, text=True, timeout=600, check=False)
        assert built.returncode == 0, built.stdout + built.stderr
        assert bootstrap.wait(timeout=600) == 0, root.with_suffix(".log").read_text()[-3000:]
        package = Path(built.stdout.strip())
        give_sources(root)
        shutil.copy(package, root / "root")
        in_folder(root, "apt-get", "update", "-q")
        in_folder(root, "apt-get", "install", "-q", "-y", "--download-only", f"/root/{package.name}")
        yield package, root
    finally:
        bootstrap.kill()
        bootstrap.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def package(package_and_root: tuple[Path, Path]) -> Path:
    return package_and_root[0]


def _machine(root: Path, folder: Path) -> Iterator[Machine]:
    subprocess.run(["cp", "-a", "--reflink=auto", root, folder / "root"], check=True)
    machine = Machine(folder / "root")
    try:
        asyncio.run(machine.boot())
        yield machine
    finally:
        asyncio.run(machine.stop())
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bare(package_and_root: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine of the test's own, booted, with nothing of ours on it but the .deb in /root."""
    yield from _machine(package_and_root[1], tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def installed(package_and_root: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which somebody typed `apt install ./gateway-12349_….deb`, for tests that leave it as they found it or use their own names."""
    for machine in _machine(package_and_root[1], tmp_path_factory.mktemp("machine")):
        machine.run("apt-get", "install", "-y", f"/root/{package_and_root[0].name}")
        yield machine
