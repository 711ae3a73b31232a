"""A healthy installation in a test's folder, for the doctor: a Mosquitto with passwords and rights, a serial port, a district, an operator.

Everybody in it is invented. Whoever plants a fault writes into these files, and cures it by what the doctor says.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from servers import START_S, Mosquitto, free_port, program
from waiting import wait_until

from gateway.doctor import Finding, Level, examine_file
from simulators.pseudo_terminal import PseudoTerminal

LOOK_S = 0.25
PASSWORD = "an invented password"  # of the gateway at the broker
OWN = "a passphrase of four words"  # of the operator
USER = "gateway"
RIGHTS = """user gateway
topic read wearables/+/event
topic read stations/+/reply
topic write stations/+/dispatch
topic write wearables/self-test/event
topic write stations/self-test/reply
"""
TABLES = {
    "areas": ("id,name,kind,parent,lat,lon", ["invented,invented,district,,36.36,102.88"]),
    "contacts": ("person,name,relation,phone", ["p-1,某人,child,17400000002"]),
    "persons": (
        "id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on",
        ["p-1,某人,1940,invented,home-1,,36.34,102.86,17400000001,self_caring,general,,,"],
    ),
    "devices": ("id,line,person,home,area,place,lat,lon,model", ["w-1,wearables,p-1,,,,,,invented"]),
    "responders": (
        "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh",
        ["desk,desk,desk,,,,,,,100,console,,,", "station-1,one,station,desk,,36.34,102.86,,,100,mqtt,,,15"],
    ),
}


_MADE: list[bytes] = []  # the database with one operator


async def sees(condition: Callable[[], object], what: str, timeout_s: float = 2 * START_S) -> None:
    """Look now and then until it is so: a look of the doctor is work, and the gateway wants its turn."""
    await wait_until(condition, what, timeout_s, LOOK_S)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a thing: a disk that others write to at the same time is slow, and the doctor says so."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="clinic-", dir=memory) as folder:
        yield Path(folder)


class Clinic:
    """The installation. `config` is gateway.toml; the gateway runs only after `start`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acl, self.passwords, self.secret = folder / "acl", folder / "passwords", folder / "broker.password"
        self.broker = Mosquitto(folder, extra=f"allow_anonymous false\npassword_file {self.passwords}\nacl_file {self.acl}")
        self.serial = PseudoTerminal(folder / "panel0")
        self.port = free_port()
        self.data, self.district = folder / "data", folder / "districts" / "invented"
        self.config, self.log = folder / "gateway.toml", folder / "gateway.log"
        self.process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> "Clinic":
        self.acl.write_text(RIGHTS)
        self.acl.chmod(0o600)
        subprocess.run([program("mosquitto_passwd"), "-c", "-b", str(self.passwords), USER, PASSWORD], check=True, capture_output=True)  # noqa: ASYNC221
        self.secret.write_text(PASSWORD)
        self.secret.chmod(0o600)
        self.data.mkdir(mode=0o700)
        self.district.mkdir(parents=True)
        (self.district / "district.toml").write_text('name = "invented"\narea_code = "0931"\nlat = 36.36\nlon = 102.88\n')
        for name, (header, rows) in TABLES.items():
            (self.district / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        login = f'options = {{ username = "{USER}", password_file = "broker.password" }}'
        self.config.write_text(f"""[gateway]
district = "invented"
data = "data"
[console]
listen = "127.0.0.1:{self.port}"
no_ears_s = 0
[dispatch.mqtt]
broker = "{self.broker.url}"
username = "{USER}"
password_file = "broker.password"
[[line]]
name = "wearables"
codec = "generic"
broker = "{self.broker.url}"
{login}
[[line]]
name = "station-replies"
codec = "station_reply"
broker = "{self.broker.url}"
{login}
[[line]]
name = "panel"
codec = "espa444"
listen = "serial:{self.serial.link}"
""")
        self.serial.plug()
        await self.broker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.broker.stop()
        self.serial.unplug()

    # --- the gateway ---------------------------------------------------------------------------------------------------

    def run(self, *words: str, password: str = "", environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A command of the gateway, to its end."""
        command = [sys.executable, "-m", "gateway.cli", *words, "--config", str(self.config)]
        given = {**os.environ, **(environment or {})}
        return subprocess.run(command, input=f"{password}\n{password}\n", capture_output=True, text=True, timeout=2 * START_S, env=given, check=False)

    def add_operator(self, *more: str) -> None:
        """Before the first start: the command itself makes the database; made once, and the same for every test of this process."""
        database = self.data / "gateway.db"
        if not more and _MADE:
            database.touch(mode=0o600)
            database.write_bytes(_MADE[0])
            return
        added = self.run("account", "add", "wanghong", "--name", "王红", "--role", "operator", *(more or ("--own",)), password=OWN)
        assert added.returncode == 0, added.stderr
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if not more:
            _MADE.append(database.read_bytes())

    async def start(self, environment: dict[str, str] | None = None, *, waits: bool = True) -> None:
        """Fork the gateway; returns when its lines are live, if that is to be waited for."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "gateway.cli", "run", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environment or {})})  # noqa: ASYNC220
        if not waits:
            return
        await sees(lambda: self.process is not None and self.process.poll() is None and not self.words(), "the gateway answers")

    async def stop(self) -> None:
        """SIGTERM, and wait."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            await wait_until(lambda: process.poll() is not None, "the gateway ended", START_S)

    # --- the doctor ------------------------------------------------------------------------------------------------------

    def findings(self, **wanted: object) -> list[Finding]:
        return list(examine_file(str(self.config), **wanted))  # type: ignore[arg-type]

    def faults(self) -> list[Finding]:
        """What is red."""
        return [one for one in self.findings() if one.level is Level.BAD]

    def fault(self, topic: str, word: str) -> Finding:
        """The one thing that is red; every other is not."""
        found = self.faults()
        assert [(one.topic, one.word) for one in found] == [(topic, word)], [(one.topic, one.word, one.text()) for one in found]
        assert found[0].remedy("en")
        assert found[0].remedy("zh-CN")
        return found[0]

    async def comes(self, topic: str, word: str) -> Finding:
        """Wait until this is the one thing that is red."""
        found: list[Finding] = []

        def only() -> bool:
            found[:] = self.faults()
            return [(one.topic, one.word) for one in found] == [(topic, word)]

        try:
            await sees(only, f"the doctor finds {word}, and nothing else")
        except AssertionError as never:
            raise AssertionError(f"{never}; last: {[(one.topic, one.word, one.text()) for one in found]}") from None
        assert found[0].remedy("en")
        assert found[0].remedy("zh-CN")
        return found[0]

    def words(self) -> set[str]:
        """Topics of what is not well, of the gateway and its lines alone."""
        return {one.topic for one in self.findings(only=("gateway", "lines")) if not one.good}

    async def well(self, topic: str = "") -> None:
        """Wait until nothing is red (of this topic)."""
        await sees(lambda: not [one for one in self.findings(only=(topic,) if topic else ()) if one.level is Level.BAD], "the doctor is content")

    def rewrite(self, old: str, new: str, file: Path | None = None) -> None:
        """Correct a file as a person would."""
        file = file or self.config
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def hang_up_broker(self) -> None:
        """SIGHUP: it reads passwords and rights again."""
        process = self.broker._process
        assert process is not None
        process.send_signal(signal.SIGHUP)
