"""A bare Debian in a folder, and the same booted: namespaces of its own, its own systemd as first process, no network but its own loopback.

debootstrap gets what the machine's own package sources give, read when the test runs. What is mounted is mounted in a namespace that goes with
its processes: a test that dies leaves folders behind and nothing else.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import program
from waiting import wait_until

ROOT = Path(__file__).parents[2]
BOOTED_S = 180.0  # some ten seconds alone; other tests boot machines of their own meanwhile
INCLUDED = "ca-certificates,dbus,systemd-sysv,udev"  # beside minbase: what every Debian machine has that is no container
BOOT = """
set -e
cd "$1"
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
mount -t cgroup2 cgroup2 sys/fs/cgroup
mkdir -p mnt/outside
pivot_root . mnt/outside
umount --lazy /mnt/outside
exec env -i container=unshare PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 /lib/systemd/systemd --unit=multi-user.target
"""


def unable(reason: str) -> None:
    """Loudly: a failure where CI is set, else a skip."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def codename() -> str:
    """Of this machine's Debian: the bare one is the same, because the package is built for it."""
    facts = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    if facts.get("ID", "").strip('"') != "debian":
        unable("the package is for Debian, and this machine is none")
    return facts["VERSION_CODENAME"].strip('"')


def sources() -> list[tuple[str, str, str]]:
    """(address, release, components) of the machine's own Debian archives."""
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    done = subprocess.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], capture_output=True, text=True, check=True)
    found: dict[tuple[str, str], set[str]] = {}
    for address, release, component, origin in (line.split("|") for line in done.stdout.splitlines()):
        if origin == "Debian":
            found.setdefault((address, release), set()).add(component)
    if not found:
        unable("apt knows no Debian archive (apt-get update?)")
    return [(address, release, " ".join(sorted(components))) for (address, release), components in found.items()]


def debootstrap(root: Path) -> "subprocess.Popen[bytes]":
    """Begin to fill `root`; about a minute, most of it packages being set up."""
    if os.geteuid() != 0:
        unable("debootstrap, mounts and namespaces need root")
    name = codename()
    address = next((address for address, release, _ in sources() if release == name), None)
    if address is None:
        unable(f"apt has no archive of {name}")
    command = [program("debootstrap"), "--variant=minbase", f"--include={INCLUDED}", name, str(root), str(address)]
    with root.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def give_sources(root: Path) -> None:
    """The machine's archives and how it reaches them: proxies, certificates, names."""
    (root / "etc/apt/sources.list").write_text("".join(f"deb {' '.join(one)}\n" for one in sources()))
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout.splitlines()
    kept = [*(line for line in settings if line.startswith("Acquire::")), 'Acquire::Retries "3";']
    (root / "etc/apt/apt.conf.d/99machine").write_text("".join(f"{line}\n" for line in kept))
    for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", name).exists():
            shutil.copyfile(Path("/", name), root / name)


def in_folder(root: Path, *command: str) -> str:
    """Run it in the folder, not booted, with this machine's network."""
    script = 'mount -t proc proc "$1/proc"; root=$1; shift; exec chroot "$root" "$@"'
    whole = [program("unshare"), "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(root), *command]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=300, env=_environment(DEBIAN_FRONTEND="noninteractive"), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **kept, **more}


class Machine:
    """A folder, booted. `run` is what its root types."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._first = 0
        self._group: Path | None = None

    async def boot(self) -> None:
        self._group = _control_group()
        group = str(self._group / "cgroup.procs")
        flags = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "--propagation", "private"]
        dies_with_us = [program("setpriv"), "--pdeathsig", "KILL"]  # however this run ends
        with self.root.with_suffix(".console").open("wb") as console:
            self._process = subprocess.Popen(  # noqa: ASYNC220 forking takes a millisecond
                [
                    "sh",
                    "-c",
                    'echo $$ >"$1" && shift && exec "$@"',
                    "sh",
                    group,
                    *dies_with_us,
                    program("unshare"),
                    *flags,
                    "sh",
                    "-c",
                    BOOT,
                    "sh",
                    str(self.root),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        await wait_until(lambda: _words(children), "the first process is there")
        self._first = int(_words(children)[0])
        await wait_until(self._is_up, "the machine is up", BOOTED_S)

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.root.with_suffix(".console").read_text()
        done = self._in("systemctl", "is-system-running")
        return done.stdout.strip() in ("running", "degraded")

    def run(self, *command: str, given: str = "", code: int | None = 0) -> str:
        """What it printed and complained; AssertionError when it ends with another code. None: with any."""
        done = self._in(*command, given=given)
        said = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{' '.join(command)} ended with {done.returncode}: {said}"
        return said

    def python(self, script: str, *arguments: str) -> str:
        """A script for the package's own Python."""
        return self.run("/usr/lib/gateway-12349/bin/python3", "-I", "-", *arguments, given=script)

    async def comes_true(self, condition: Callable[[], object], what: str, timeout_s: float = BOOTED_S) -> None:
        """Wait; when it never comes true, say what the gateway logged."""
        try:
            await wait_until(condition, what, timeout_s)
        except AssertionError as never:
            said = self.run("journalctl", "-u", "gateway", "-u", "mosquitto", "-o", "cat", "-n", "60", code=None)
            raise AssertionError(f"{never}\n{said}") from None

    def _in(self, *command: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        whole = [program("nsenter"), "--target", str(self._first), "--all", "--", *command]
        env = _environment(DEBIAN_FRONTEND="noninteractive", HOME="/root")
        return subprocess.run(whole, input=given, capture_output=True, text=True, timeout=180, env=env, cwd="/", check=False)

    async def stop(self) -> None:
        """With the first process everything in it ends, and its mounts with it."""
        if self._process is None:
            return
        self._process.kill()
        await wait_until(lambda: self._process is None or self._process.poll() is not None, "the machine is off")
        assert self._group is not None
        await wait_until(self._group_gone, "its control group is empty")

    def _group_gone(self) -> bool:
        assert self._group is not None
        for folder, _, _ in os.walk(self._group, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                return False
        return True


def _words(file: Path) -> list[str]:
    return file.read_text().split()


def _control_group() -> Path:
    """A new one in this machine's cgroup2, for the systemd inside."""
    rows = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    place = next((Path(row[1]) for row in rows if row[2] == "cgroup2" and "ro" not in row[3].split(",")), None)
    if place is None:
        unable("no cgroup2 that may be written: systemd cannot be booted here (a container without privileges?)")
    try:
        return Path(tempfile.mkdtemp(prefix="gateway-install-", dir=place))
    except OSError as error:
        unable(f"no control group can be made in {place} ({error.strerror}): systemd cannot be booted here")
        raise
