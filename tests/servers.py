"""Real servers for tests, each the test's own on a free port, ended by its process id: Mosquitto, PostgreSQL; and waiting for a condition."""

import asyncio
import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from waiting import free_port, wait_until

START_S = 60.0  # a server starts and ends in a fraction of a second; a loaded machine is given time
ASK_AGAIN_S = 0.5


async def until(condition: Callable[[], object], what: str, timeout_s: float = START_S) -> None:
    """`wait_until` with the time that a real server may take."""
    await wait_until(condition, what, timeout_s)


def program(name: str, package: str = "") -> str:
    """Its path. Where it is missing (package: what Debian has it in, if that has another name) the test fails in CI and is skipped elsewhere."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        missing = f"{name} is not installed (apt install {package or name})"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def postgres_command(folder: Path, port: int) -> list[str]:
    """An empty PostgreSQL in this folder, fsync on, whose user postgres needs no password: what serves it on 127.0.0.1. It refuses to run as root."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    binary = binaries[-1] if binaries else Path(program("postgres", "postgresql")).parent
    folder.mkdir()
    its_own: list[str] = []
    if getpass.getuser() == "root":
        its_own = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for above in folder.parents[:4]:  # pytest keeps its folders to whoever runs it
            if above.stat().st_uid == os.getuid() and above != Path("/tmp"):
                above.chmod(above.stat().st_mode | 0o055)
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    made = [*its_own, str(binary / "initdb"), "-D", str(folder), "-A", "trust", "-U", "postgres", "-E", "UTF8"]
    subprocess.run(made, check=True, capture_output=True, cwd="/")
    return [*its_own, str(binary / "postgres"), "-D", str(folder), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]


def end(process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM, patience_s: float = START_S) -> int:
    """Ask a server to end until it has, and give its exit code; who never does is killed.

    Asked anew again and again: one that already listens loses a signal that comes before its loop begins.
    """
    give_up = time.monotonic() + patience_s
    while process.poll() is None:
        process.send_signal(number if time.monotonic() < give_up else signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ASK_AGAIN_S)
    return process.returncode


class Mosquitto:
    """A broker with the settings of config/mosquitto/gateway.conf that matter, and its store in the test's folder."""

    def __init__(self, folder: Path, *, extra: str = "") -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.log = folder / "mosquitto.log"
        self._conf = folder / "mosquitto.conf"
        self._conf.write_text(
            f"listener {self.port} 127.0.0.1\nset_tcp_nodelay true\nmax_inflight_messages 1000\nmax_queued_messages 100000\n"
            f"user {getpass.getuser()}\n"
            f"persistence true\npersistence_location {folder}/\nlog_dest stderr\nlog_type all\n{extra or 'allow_anonymous true'}\n"
        )
        self.before: list[str] = []  # words before the command
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, lines: str) -> None:
        """More settings, before the start."""
        with self._conf.open("a") as conf:
            conf.write(lines)

    async def start(self) -> None:
        path = program("mosquitto")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*self.before, path, "-c", str(self._conf)], stderr=log)  # noqa: ASYNC220 forking takes a millisecond
        await until(self._listens, "mosquitto listens")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"mosquitto ended: {self.log.read_text() if self.log.exists() else 'no log'}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    async def stop(self) -> None:
        """SIGTERM: the broker saves its sessions. Returns when the process has ended."""
        if self._process is not None:
            await asyncio.to_thread(end, self._process)
            self._process = None

    def said(self, words: str) -> int:
        """How often the broker's log says this."""
        return self.log.read_text().count(words)


class Outsider:
    """A witness at the broker that shares no code of ours: publishes with QoS 1 and remembers what it received."""

    def __init__(self, port: int, subscribe: str = "", username: str = "", password: str = "") -> None:
        self.received: list[tuple[str, bytes]] = []
        self._ready = not subscribe
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if username:
            self._client.username_pw_set(username, password)
        self._client.max_inflight_messages_set(0)
        self._client.on_message = lambda _client, _data, message: self.received.append((message.topic, bytes(message.payload)))
        self._client.on_subscribe = lambda *_: setattr(self, "_ready", True)
        if subscribe:
            self._client.on_connect = lambda client, *_: client.subscribe(subscribe, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    async def ready(self) -> "Outsider":
        await until(lambda: self._ready and self._client.is_connected(), "outsider is ready")
        return self

    async def publish(self, topic: str, *payloads: str | bytes, retain: bool = False) -> None:
        """Return when the broker has confirmed all of them."""
        infos = [self._client.publish(topic, payload, qos=1, retain=retain) for payload in payloads]
        await until(lambda: all(info.is_published() for info in infos), "the broker took what was published")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    server = Mosquitto(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def outsider(mosquitto: Mosquitto) -> AsyncIterator[Outsider]:
    witness = Outsider(mosquitto.port)
    yield await witness.ready()
    witness.close()
