"""What Linux tells of this machine: who holds a lock or a port, as whom a process runs, whether somebody may read a file."""

import os
import pwd
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LOCKS, PROCESSES = Path("/proc/locks"), Path("/proc")
LISTENING = "0A"  # TCP_LISTEN, include/net/tcp_states.h


class User(NamedTuple):
    """Somebody by number, with every group they are in."""

    uid: int
    groups: frozenset[int]

    @property
    def name(self) -> str:
        """Their name; the number where there is no such account (DynamicUser=)."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def may(self, path: Path, wanted: int) -> bool:
        """Has this user these bits (4 read, 2 write, 1 enter) on the file, and the right to reach it? Access lists are not looked at."""
        if self.uid == 0:
            return path.exists()
        if self.uid == os.geteuid():
            return os.access(path, wanted)
        try:
            found = path.resolve()
            return all(self._has(folder, 1) for folder in found.parents) and self._has(found, wanted)
        except OSError:
            return False

    def _has(self, path: Path, wanted: int) -> bool:
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.groups else 0
        return (status.st_mode >> shift) & wanted == wanted


def ourselves() -> User:
    """Who asks."""
    return User(os.geteuid(), frozenset((os.getegid(), *os.getgroups())))


def owner_of(folder: Path) -> User:
    """Who owns the folder, with the groups of their account; who asks while there is none."""
    try:
        status = folder.stat()
    except OSError:
        return ourselves()
    if status.st_uid == os.geteuid():
        return ourselves()
    try:
        account = pwd.getpwuid(status.st_uid)
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
    except (KeyError, OSError):
        groups = [status.st_gid]
    return User(status.st_uid, frozenset(groups))


def user_of_process(pid: int) -> User | None:
    """As whom it runs; None when it is gone."""
    try:
        rows = dict(row.split(":", 1) for row in (PROCESSES / str(pid) / "status").read_text().splitlines() if ":" in row)
        uid, gid = int(rows["Uid"].split()[1]), int(rows["Gid"].split()[1])
        return User(uid, frozenset((gid, *map(int, rows["Groups"].split()))))
    except (OSError, KeyError, ValueError):
        return None


def program_of(pid: int) -> str:
    """The program's short name; "" when it is gone."""
    try:
        return (PROCESSES / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def is_gateway(pid: int) -> bool:
    """Was this process started as `gateway run`?"""
    try:
        words = (PROCESSES / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"run" in words and any(b"gateway" in word for word in words)


def flock_owner(file: Path) -> int | None:
    """The process that holds this file's flock(2), without touching the lock: a try of ours could be in the way of a gateway that starts."""
    return next((pid for kind, pid in _locks(file) if kind == "FLOCK"), None)


def lock_owners(file: Path) -> list[int]:
    """Processes that hold a fcntl(2) lock for writing on this file."""
    return [pid for kind, pid in _locks(file) if kind == "POSIX"]


def _locks(file: Path) -> Iterator[tuple[str, int]]:
    """(FLOCK or POSIX, process) of each lock for writing, as proc(5) lists them; waiting ones left out."""
    try:
        status = file.stat()
        rows = LOCKS.read_text().splitlines()
    except OSError:
        return
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for row in rows:
        words = row.split()
        if len(words) > 5 and words[1] != "->" and words[3] == "WRITE" and words[5] == wanted and words[4].isdigit():
            yield words[1], int(words[4])


def holder_of(kind: socket.SocketKind, port: int) -> tuple[int, str] | None:
    """(process, its name) that has this port on this machine; None when it cannot be seen: other users' sockets are root's to see."""
    tables = ("tcp", "tcp6") if kind is socket.SOCK_STREAM else ("udp", "udp6")
    inodes = set()
    for table in tables:
        try:
            rows = (PROCESSES / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            words = row.split()
            if int(words[1].rpartition(":")[2], 16) == port and (kind is socket.SOCK_DGRAM or words[3] == LISTENING):
                inodes.add(f"socket:[{words[9]}]")
    if not inodes:
        return None
    for process in PROCESSES.iterdir():
        if process.name.isdigit():
            try:
                if any(os.readlink(one) in inodes for one in (process / "fd").iterdir()):  # noqa: PTH115 - readlink of a socket is no path
                    return int(process.name), program_of(int(process.name))
            except OSError:  # another user's, or just gone
                continue
    return None


def mode_of(path: Path) -> int:
    """The permission bits of a file. Raises OSError."""
    return stat.S_IMODE(path.stat().st_mode)
