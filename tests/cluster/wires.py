"""Wires that can be cut: a network namespace for each part, all at one switch in a namespace of its own; no way leads out, not even to this machine.

Linux, as root, with Debian's iproute2. What a test wants to reach is reached through a `window`: a port of our loopback, passed on by a socket that
was made inside. The names carry our process id: what a killed run left behind is taken away by the next.
"""

import contextlib
import ctypes
import itertools
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from servers import program

NETWORK = "10.77.0"  # seen by nobody but the namespaces
SWITCH = "switch0"
PREFIX = "gateway-test-"
CLONE_NEWNET = 0x40000000
IP_S = 30.0  # one `ip` takes milliseconds
CHUNK = 65536

_numbers = itertools.count()


class Wires:
    """A namespace for each name. All of them at one switch."""

    def __init__(self, names: Iterable[str]) -> None:
        self.own = f"{PREFIX}{os.getpid()}-{next(_numbers)}-"
        self._switch = f"{self.own}switch"
        self._ip = ""
        self._names = list(names)
        self._windows: list[Window] = []

    @contextlib.contextmanager
    def until_left(self) -> Iterator[None]:
        """Made now, and gone again if what follows fails; else `remove` takes them away. Skips the test where they cannot be made."""
        if os.geteuid() != 0:
            pytest.skip("cutting wires takes network namespaces: run this test as root")
        self._ip = program("ip", "iproute2")
        self._sweep()
        try:
            made = self._try("netns", "add", self._switch)
            if made.returncode:
                pytest.skip(f"cutting wires takes network namespaces, and none can be made here: {made.stderr.strip()}")
            self._do("-n", self._switch, "link", "add", "name", SWITCH, "type", "bridge")
            self._do("-n", self._switch, "link", "set", "dev", SWITCH, "up")
            for number, name in enumerate(self._names):
                self._plug(number, name)
            yield
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """No window is left, and no namespace; what runs in one still runs without any wire."""
        for window in self._windows:
            window.close()
        for name in self._spaces():
            if name.startswith(self.own):
                self._try("netns", "delete", name)

    def address(self, name: str) -> str:
        return f"{NETWORK}.{10 + self._names.index(name)}"

    def inside(self, name: str, command: Sequence[str]) -> list[str]:
        """The command, run at that place. It keeps its process id."""
        return [self._ip, "netns", "exec", self.own + name, *command]

    def window(self, name: str, port: int) -> None:
        """This port of our loopback is the one of that place's loopback, also while its wire is cut."""
        self._windows.append(Window(self.own + name, port))

    def cut(self, name: str) -> None:
        """Nothing goes in or out, and nobody is told."""
        self._do("-n", self._switch, "link", "set", "dev", self._end(name), "down")

    def mend(self, name: str) -> None:
        self._do("-n", self._switch, "link", "set", "dev", self._end(name), "up")

    def part(self, name: str, others: Iterable[str]) -> None:
        """This one and those others hear nothing of one another; everybody else hears all of them."""
        for other in others:
            self._blackhole("add", name, other)
            self._blackhole("add", other, name)

    def join(self, name: str, others: Iterable[str]) -> None:
        """After `part`."""
        for other in others:
            self._blackhole("del", name, other)
            self._blackhole("del", other, name)

    # --- how it is made ----------------------------------------------------------------------------------------------

    def _plug(self, number: int, name: str) -> None:
        space, end = self.own + name, f"port{number}"
        self._do("netns", "add", space)
        self._do("-n", self._switch, "link", "add", "name", end, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._do("-n", self._switch, "link", "set", "dev", end, "master", SWITCH, "up")
        self._do("-n", space, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            self._do("-n", space, "link", "set", "dev", device, "up")

    def _end(self, name: str) -> str:
        return f"port{self._names.index(name)}"

    def _blackhole(self, what: str, name: str, other: str) -> None:
        self._do("-n", self.own + name, "route", what, "blackhole", f"{self.address(other)}/32")

    def _do(self, *words: str) -> None:
        done = self._try(*words)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"

    def _try(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([self._ip, *words], capture_output=True, text=True, timeout=IP_S, check=False)

    def _spaces(self) -> list[str]:
        return [line.split()[0] for line in self._try("netns", "list").stdout.splitlines() if line.startswith(PREFIX)]

    def _sweep(self) -> None:
        """What runs left that were killed."""
        for name in self._spaces():
            if not Path("/proc", name.removeprefix(PREFIX).partition("-")[0]).exists():
                self._try("netns", "delete", name)


class Window:
    """Passes on what comes, a thread a connection: a test may ask through it, and do nothing else until it is answered."""

    def __init__(self, space: str, port: int) -> None:
        self._space = space
        self._port = port
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Whoever looks through sees an end."""
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with self._listener, contextlib.suppress(OSError):  # shut
            while True:
                outer, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(outer,), daemon=True).start()

    def _serve(self, outer: socket.socket) -> None:
        self._open.add(outer)
        try:
            with outer, contextlib.suppress(OSError):
                _enter(self._space)
                with socket.create_connection(("127.0.0.1", self._port)) as inner:
                    other_of = {outer: inner, inner: outer}
                    while True:
                        for ready in select.select(list(other_of), [], [])[0]:
                            data = ready.recv(CHUNK)
                            if not data:
                                return
                            other_of[ready].sendall(data)
        finally:
            self._open.discard(outer)


def _enter(space: str) -> None:
    """This thread alone is in that namespace from now on, and so is every socket that it makes. Raises OSError."""
    with Path("/run/netns", space).open("rb") as entry:
        if ctypes.CDLL(None, use_errno=True).setns(entry.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"{space} cannot be entered")
