"""A whole gateway as a process of its own, in a district invented for it, with a broker, two serial ports and a telephone line of its own.

Who judges it stands outside: the programs of `simulators`, which keep records of what was confirmed to them and what reached them.
"""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from servers import Mosquitto, free_port, until
from waiting import BEFORE_THE_SERVER

from simulators.mqtt_link import BrokerAddress
from simulators.pseudo_terminal import PseudoTerminal

LONGER_THAN_ANY_TEST_S = 36_000
START_S = 180.0  # a start takes some seconds of a processor, of which a loaded machine gives a twentieth
CALL_UNHEARD_S = 4.0  # a call that lived before a restart and is not heard of for so long has ended unseen
ANSWER_WITHIN_S = 30.0  # a machine that does five things at once is slow, not dead
LOOK_S = 0.03  # how often a condition at the console is looked at
STATIONS = {"station-1": (36.34, 102.86), "station-2": (36.34, 102.90), "station-3": (36.38, 102.86), "station-4": (36.38, 102.90)}


@dataclass(frozen=True, slots=True)
class District:
    """How many of each live there; everybody has one device or one telephone of their own, so that no two cries join one incident."""

    wearables: int = 20
    rooms: int = 20
    buttons: int = 20
    callers: int = 20
    units: int = 0

    def wearable(self, number: int) -> str:
        return f"w-{number:06}"

    def room(self, number: int) -> str:
        return f"{number:05}"

    def button(self, number: int) -> str:
        return f"{0xA00000 + number:06X}:1"

    def caller(self, number: int) -> str:
        """E.164; a range without terrestrial subscribers, as everywhere in our invented districts."""
        return f"+8617400{number:06}"

    def unit(self, number: int) -> str:
        """The controller id of a SCAIP home unit."""
        return f"7{number:09}"

    def write(self, folder: Path) -> None:
        """The register's files. Invented: every person, number and place."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "district.toml").write_text(
            'name = "chaos"\narea_code = "0931"\nlat = 36.36\nlon = 102.88\n\n[names]\nzh-CN = "乱"\nen = "chaos"\n'
        )
        owners = [
            *((f"pw-{n}", "", "wearables", self.wearable(n)) for n in range(self.wearables)),
            *((f"pr-{n}", "", "panel", self.room(n)) for n in range(self.rooms)),
            *((f"pb-{n}", "", "buttons", self.button(n)) for n in range(self.buttons)),
            *((f"pc-{n}", self.caller(n).removeprefix("+86"), "", "") for n in range(self.callers)),
            *((f"pu-{n}", f"17400{500_000 + n}", "home-units", self.unit(n)) for n in range(self.units)),
        ]
        persons = [
            f"{person},某人,1940,chaos,home-{person},,{36.34 + n % 41 / 1000:.3f},{102.86 + n % 37 / 1000:.3f},{phone},self_caring,general,,,"
            for n, (person, phone, _, _) in enumerate(owners)
        ]
        tables = {
            "areas": ("id,name,kind,parent,lat,lon", ["chaos,chaos,district,,36.36,102.88"]),
            "contacts": ("person,name,relation,phone", []),
            "persons": ("id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note,confirmed_on", persons),
            "devices": (
                "id,line,person,home,area,place,lat,lon,model",
                [f"{device},{line},{person},,,,,,invented" for person, _, line, device in owners if device],
            ),
            "responders": (
                "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh",
                [
                    "desk,desk,desk,,,,,,,100000,console,,,",
                    "centre,centre,district_centre,desk,,36.36,102.88,,,100000,mqtt,,,40",
                    *(f"{name},{name},station,centre,,{lat},{lon},,,100000,mqtt,,,15" for name, (lat, lon) in STATIONS.items()),
                ],
            ),
        }
        for name, (header, rows) in tables.items():
            (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


@dataclass(slots=True)
class Setting:
    """What a test may want otherwise. Seconds; `mandatory`: names of lines; `silence_s`: line → its limit; `self_test`: lines of [self_test]."""

    reply_s: float = LONGER_THAN_ANY_TEST_S
    acknowledge_s: float = LONGER_THAN_ANY_TEST_S
    mandatory: tuple[str, ...] = ("wearables",)
    silence_s: dict[str, float] = field(default_factory=dict)
    data: str = "data"
    self_test: str = "enabled = false"
    environment: dict[str, str] = field(default_factory=dict)


class House:
    """Folder, broker, ports and the gateway's process. Use as an async context manager; the gateway is started by `start`."""

    program: tuple[str, ...] = ("-m", "gateway.cli")

    def __init__(self, folder: Path, district: District | None = None, setting: Setting | None = None) -> None:
        self.folder = folder
        self.district = district or District()
        self.setting = setting or Setting()
        self.broker = Mosquitto(folder)
        self.address = BrokerAddress.parse(self.broker.url)
        self.console = f"http://127.0.0.1:{free_port()}"
        self.hep = ("127.0.0.1", free_port(socket.SOCK_DGRAM))
        self.panel = PseudoTerminal(folder / "panel0")
        self.buttons = PseudoTerminal(folder / "buttons0")
        self.config = folder / "gateway.toml"
        self.log = folder / "gateway.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> "House":
        self.district.write(self.folder / "districts" / "chaos")
        self.write_config()
        self.panel.plug()
        self.buttons.plug()
        self._http = httpx.AsyncClient(base_url=self.console, timeout=ANSWER_WITHIN_S, trust_env=False, limits=BEFORE_THE_SERVER)
        await self.broker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()
        await self.broker.stop()
        self.panel.unplug()
        self.buttons.unplug()
        assert self._http is not None
        await self._http.aclose()

    def write_config(self) -> None:
        """gateway.toml, from `setting`."""
        setting = self.setting
        patience = "\n".join(
            f"[policy.{severity}]\nacknowledge_s = {setting.acknowledge_s}\nreply_s = {setting.reply_s}\n"
            f'repeat_s = {LONGER_THAN_ANY_TEST_S}\narrive_s = {LONGER_THAN_ANY_TEST_S}\norder = "{order}"'
            for severity, order in (("critical", "at_once"), ("major", "operator"), ("minor", "operator"))
        )
        learned = "\n".join(f'"{self.district.button(n)}" = "sos"' for n in range(self.district.buttons))
        self.config.write_text(f"""
[gateway]
district = "chaos"
data = "{setting.data}"
[console]
accounts = false
listen = "{self.console.removeprefix("http://")}"
[log]
format = "json"
[dispatch.mqtt]
broker = "{self.broker.url}"
[self_test]
{setting.self_test}
[policy]
idle_remind_s = {LONGER_THAN_ANY_TEST_S}
idle_escalate_s = {LONGER_THAN_ANY_TEST_S}
{patience}
[calls]
call_back_s = {LONGER_THAN_ANY_TEST_S}
area_code = "0931"
{self._line("wearables", "generic", f'broker = "{self.broker.url}"')}
{self._line("station-replies", "station_reply", f'broker = "{self.broker.url}"')}
{self._line("panel", "espa444", f'listen = "serial:{self.panel.link}"')}
{self._line("pbx", "hep", f'listen = "udp:{self.hep[1]}:interface=127.0.0.1"')}
[line.options]
restart_guard_s = {CALL_UNHEARD_S}
restart_talk_guard_s = {CALL_UNHEARD_S}
{self._line("buttons", "ascii_button", f'listen = "serial:{self.buttons.link}"')}
[line.options.learned]
{learned}
""")

    def _line(self, name: str, codec: str, where: str) -> str:
        more = f"silence_s = {self.setting.silence_s[name]}\n" if name in self.setting.silence_s else ""
        return f'[[line]]\nname = "{name}"\ncodec = "{codec}"\n{where}\nmandatory = {str(name in self.setting.mandatory).lower()}\n{more}'

    # --- the process -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Fork it; `ready` says when it stands."""
        assert self.process is None
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.setting.environment},
            )

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL; returns when it is dead. Does nothing when it is not running."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def stop(self, timeout_s: float = START_S) -> int:
        """SIGTERM; gives the exit code."""
        process = self.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, "the gateway ended after SIGTERM", timeout_s)
        self.process = None
        return process.returncode

    def hang_up(self) -> None:
        """SIGHUP: read the configuration anew."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of the gateway, to its end."""
        command = [sys.executable, "-m", "gateway.cli", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def said(self, words: str) -> int:
        """How often the gateway's log says this."""
        return self.log.read_text("utf-8", "replace").count(words) if self.log.exists() else 0

    # --- what can be seen from outside -------------------------------------------------------------------------------

    async def get(self, path: str, **parameters: object) -> httpx.Response | None:
        """None while nobody answers."""
        assert self._http is not None
        for _ in range(2):  # a connection may be closed for its age in the very moment in which it is used: a question may be put again
            try:
                return await self._http.get(path, params={name: str(value) for name, value in parameters.items()})
            except (httpx.ReadError, httpx.RemoteProtocolError):
                continue
            except httpx.HTTPError:
                break
        return None

    async def post(self, path: str, body: dict[str, object], csrf: str) -> httpx.Response | None:
        """As the console's page does it; None while nobody answers."""
        assert self._http is not None
        try:
            return await self._http.post(path, json=body, headers={"x-csrf": csrf})
        except httpx.HTTPError:
            return None

    async def reasons(self) -> list[str] | None:
        """What /readyz complains of, [] when ready, None while nobody answers. A reason is "line pbx suspect" or "store_down"."""
        answer = await self.get("/readyz")
        if answer is None:
            return None
        found = [f"line {reason['line']} {reason['state']}" if "line" in reason else str(reason["reason"]) for reason in answer.json()["reasons"]]
        assert (answer.status_code == 200) == (not found)
        return found

    async def ready(self) -> None:
        """Wait for /readyz."""
        await self.sees(self._is_ready, "the gateway is ready", START_S)

    async def _is_ready(self) -> bool:
        assert self.is_running, f"the gateway ended: {self.tail()}"
        return await self.reasons() == []

    async def metrics(self) -> dict[str, float]:
        """Every sample by its name with labels, as /metrics has it; {} while nobody answers."""
        answer = await self.get("/metrics")
        if answer is None:
            return {}
        samples = (line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples with this name and these labels; 0 when there is none."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return sum(value for key, value in (await self.metrics()).items() if key.partition("{")[0] == name and wanted <= set(_labels(key)))

    async def counts(self, name: str, wanted: float, **labels: str) -> None:
        """Wait until the sum of these samples is this much."""

        async def does() -> bool:
            return await self.metric(name, **labels) == wanted

        await self.sees(does, f"{name}{labels or ''} is {wanted:g}")

    async def unbalanced(self) -> dict[str, float]:
        """Books that do not balance; empty when all do (invariant 2). Nobody answering is no balance."""
        books: dict[str, float] = {}

        async def shown() -> bool:
            books.update((key, value) for key, value in (await self.metrics()).items() if "_unaccounted" in key)
            return "gateway_incidents_unaccounted" in books

        await self.sees(shown, "the books")
        return {key: value for key, value in books.items() if value != 0}

    async def line(self, name: str) -> str:
        """The state of a line: connecting, live, suspect, lost; "" while nobody answers."""
        found = await self.metrics()
        return next((s for s in ("connecting", "live", "suspect", "lost") if found.get(f'gateway_line_state{{line="{name}",state="{s}"}}') == 1), "")

    async def lines_live(self, *names: str) -> None:
        """Wait until all lines (or these) are live."""
        for name in names or ("wearables", "station-replies", "panel", "pbx", "buttons"):
            await self.sees(lambda name=name: self._is_live(name), f"line {name} is live", START_S)  # type: ignore[misc]

    async def _is_live(self, name: str) -> bool:
        return await self.line(name) == "live"

    async def sees(self, condition: "Callable[[], object]", what: str, timeout_s: float = START_S) -> None:
        """Ask again and again until the (asynchronous) condition is true; AssertionError with the end of the log when it never is."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + timeout_s
        while not await condition():  # type: ignore[misc]
            if loop.time() > give_up:
                raise AssertionError(f"never came true: {what}\n{self.tail()}")
            await asyncio.sleep(LOOK_S)

    def journal(self) -> list[dict[str, object]]:
        """The journal as rows, read beside the running gateway."""
        from gateway.store.store import Store

        store = Store("sqlite:///gateway.db", self.folder / self.setting.data)
        try:
            names = ("seq", "kind", "line", "incident", "actor", "facts")
            return [{name: getattr(row, name) for name in names} for row in store.journal()]
        finally:
            store.close()

    def tail(self, lines: int = 15) -> str:
        """The end of the gateway's log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:]) if self.log.exists() else "no log"


def _labels(key: str) -> list[str]:
    return re.findall(r'\w+="[^"]*"', key)
