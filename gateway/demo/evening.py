"""Starts broker, simulators and gateway, shows what happens, judges it, and says where to look at it afterwards."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.clock import monotonic, utc_now
from gateway.core.duty import CHINA
from gateway.demo.outside import City, Told, command
from gateway.demo.people import OPERATOR, PASSWORD, PEOPLE, YOURS, write_accounts
from gateway.demo.setting import AGENTS, DIALLED, NEIGHBOUR, OWN, write_config
from gateway.demo.summary import Summary
from gateway.demo.words import WORDS

READY_S = 60.0  # a slow machine may take long to start; a fast one takes three seconds
GRACE_S = 15.0  # after SIGTERM
ASK_AGAIN_S = 0.5
BOOKS_S = 10  # how often, once a second, books that do not balance yet are looked at
BY_ITSELF_S = 45.0  # how long the simulators may go on after their time: receipts, answers, books
SCENARIO = "evening_in_honggu"
TEN = (  # of domain 7, in its order
    "gongshu_night", "honggu_rural", "beijing_city", "three_sources_one_elder", "mutual_aid",
    "visiting_elder", "last_place_provider", "closed_loop_broken", "municipal_down", "bad_register",
)  # fmt: skip
EXPLAINED = 14  # lines of its decisions that are shown


class Evening:
    """One run in one folder. seconds: None = until Ctrl-C; port: of the console, if it is free.

    scenario, environment: what is played, and what its processes have in theirs; gateway.demo.stage has others.
    """

    scenario = SCENARIO
    has_telephones = True

    def __init__(self, folder: Path, districts: Path, seconds: float | None, port: int, language: str) -> None:
        self.folder = folder
        self.districts = districts
        self.seconds = seconds
        self.language = language
        self.words = WORDS[language]
        self.config = folder / "gateway.toml"
        self.log = folder / "gateway.log"
        self.ports = {name: _free_port(socket.SOCK_DGRAM if name == "sip" else socket.SOCK_STREAM) for name in (*DIALLED, *OWN)}
        self.ports["console"] = port if _is_free(port) else self.ports["console"]
        self.environment: dict[str, str] = {}
        self.password = folder
        self.url = f"http://127.0.0.1:{self.ports['console']}"
        self.summary = Summary(self.words)
        self.told = Told(self.words, self.summary.say)
        self.city = City(self.config, self.words, self.summary.say)

    async def play(self) -> int:
        """0 when every expectation held and the books balance, 1 when not."""
        from iotcore import Broker  # an embedded MQTT broker (rumqttd), only for this

        port = _free_port()
        broker = Broker(port=port, listen="127.0.0.1")
        broker.start()
        url = f"mqtt://127.0.0.1:{port}"
        await self.prepare(url)
        self.password = await asyncio.to_thread(write_accounts, self.config, self.folder)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        processes: list[asyncio.subprocess.Process] = []
        try:
            # The simulators first: the serial ports are theirs, and a gateway that starts without its ports says so.
            simulators = await self._start_simulators(url)
            processes.append(simulators)
            telephones = None
            if self.has_telephones:
                telephones = await self._start("simulators.telephones", "--listen", f"127.0.0.1:{self.ports['texts']}", "--presses", NEIGHBOUR)
                processes.append(telephones)
            with self.log.open("wb") as log:
                arguments = ("-m", "gateway.cli", "run", "--config", str(self.config))
                gateway = await asyncio.create_subprocess_exec(
                    sys.executable, *arguments, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **self.environment}
                )
            processes.append(gateway)
            self._say(f"\n  {self.words['console']}: {self.url}/")
            self._say(f"  {self.words['log_in'].format(PASSWORD)}")
            self._say(f"    {', '.join(f'{login} ({self.words[PEOPLE[login][1]]})' for login in YOURS)}")
            if self.has_telephones:
                self._say(f"  {self.words['desks']}: 8002 … {8000 + len(AGENTS)}")  # 8001 is the simulated operator's
            self._say(f"  {self.words['folder']}: {self.folder}\n  {self.when()}\n")
            return await self._watch(simulators, telephones, gateway, stop)
        finally:
            for process in processes:
                await _end(process)
            broker.stop()

    def when(self) -> str:
        """When it ends, in words."""
        return self.words["until"] if self.seconds is None else self.words["for"].format(self.seconds)

    async def prepare(self, broker: str) -> None:
        """Write the gateway's file and what belongs to it."""
        write_config(self.districts, self.folder, broker, self.ports, self.language)

    def targets(self) -> list[str]:
        """Where the simulators find the gateway, as arguments, beside broker and console."""
        ports = self.ports
        arguments = ["--district", str(self.folder / "districts" / "honggu")]
        arguments += ["--ami-port", str(ports["ami"]), "--sip", f"udp:127.0.0.1:{ports['sip']}", "--serial-dir", str(self.folder)]
        arguments += ["--municipal", f"{ports['city']}={self.folder / 'city.secret'}"]
        for line in DIALLED:
            arguments += ["--port", f"{line}={ports[line]}"]
        return arguments

    async def _start_simulators(self, broker: str) -> asyncio.subprocess.Process:
        arguments = [self.scenario, *self.targets(), "--broker", broker, "--console", self.url, "--progress", "json", "--ready", f"{READY_S:g}"]
        arguments += ["--log-in", f"{OPERATOR}={self.password}"]
        if self.seconds is not None:
            arguments += ["--seconds", f"{self.seconds:g}"]
        return await self._start("simulators.cli", *arguments)

    async def _start(self, module: str, *arguments: str) -> asyncio.subprocess.Process:
        """A process with a session of its own: Ctrl-C in the terminal reaches us alone, and we end them in order."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=2**24,
            env={**os.environ, **self.environment},
        )

    async def _watch(
        self,
        simulators: asyncio.subprocess.Process,
        telephones: asyncio.subprocess.Process | None,
        gateway: asyncio.subprocess.Process,
        stop: asyncio.Event,
    ) -> int:
        """Show the progress until the simulators have ended, by themselves or because somebody pressed Ctrl-C."""
        ringing = asyncio.create_task(self.told.follow(telephones.stdout)) if telephones is not None and telephones.stdout is not None else None
        played = asyncio.create_task(self._follow(simulators))
        died = asyncio.create_task(gateway.wait())
        asked = asyncio.create_task(stop.wait())
        limit = None if self.seconds is None else READY_S + self.seconds + BY_ITSELF_S
        try:
            await asyncio.wait([played, died, asked], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if died.done():
                self._say(f"{self.words['died']}\n{self._last_words()}")
                return 1
            if not played.done():
                if not asked.done():
                    self._say(self.words["slow"])
                    return 1
                simulators.send_signal(signal.SIGINT)
                await asyncio.wait([played], timeout=GRACE_S)
            report = played.result() if played.done() else None
            return await self._judge(report, gateway)
        finally:
            for task in filter(None, (ringing, played, died, asked)):
                task.cancel()

    async def _follow(self, simulators: asyncio.subprocess.Process) -> dict[str, Any] | None:
        """Progress lines to the summary; the last one is the report."""
        assert simulators.stdout is not None
        async for line in simulators.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                progress: dict[str, Any] = json.loads(line)
                if progress.get("done"):
                    return progress
                metrics = await asyncio.to_thread(self._metrics)
                self.city.look(metrics)
                self.summary.show(progress, int(sum(value for name, value in metrics.items() if name.startswith("gateway_incidents{"))))
        return None

    async def _judge(self, report: dict[str, Any] | None, gateway: asyncio.subprocess.Process) -> int:
        is_balanced = await self._is_balanced()
        await self.city.end()
        await _end(gateway)
        self.summary.end()
        if report is None:
            self._say(self._last_words())
            return 1
        self._say(report["text"])
        held = self.own_expectations()
        code, proof = await command("journal", "verify", "--config", str(self.config))
        self._say(f"\n{self.words['balanced'] if is_balanced else self.words['unbalanced']}; {self.words['proof']}: {proof.strip()}")
        await self._where_to_look()
        return 0 if report["held"] and held and is_balanced and code == 0 else 1

    async def _is_balanced(self) -> bool:
        """Do the gateway's books? What is on its way at this moment is given a few seconds."""
        for _ in range(BOOKS_S):
            found = [abs(value) for name, value in (await asyncio.to_thread(self._metrics)).items() if "unaccounted" in name]
            if found and not any(found):
                return True
            await asyncio.sleep(1.0)
        return False

    def own_expectations(self) -> bool:
        """What the telephones and the city must have seen. Whoever ends the evening with Ctrl-C is not told that it was too short for it."""
        found = {**self.told.expectations, **self.city.expectations} if self.has_telephones else {}
        if found:
            self._say("")
        for word, is_true in found.items():
            if is_true or self.seconds is not None:
                self._say(f"  {'✓' if is_true else '✗'} {self.words[word]}")
        return self.seconds is None or all(found.values())

    async def _where_to_look(self) -> None:
        """Reports into the folder, one decision in words, and the commands for more."""
        words, config = self.words, ("--config", str(self.config))
        month, coverage = self.folder / "month.html", self.folder / "coverage.html"
        this = self.now().astimezone(CHINA).strftime("%Y-%m")
        asked = ("--language", self.language, *config)
        await asyncio.gather(
            command("report", "month", this, "--html", str(month), "--csv", str(self.folder / "month.csv"), *asked, environment=self.environment),
            command("report", "coverage", "--html", str(coverage), "--csv", str(self.folder / "coverage.csv"), *asked, environment=self.environment),
        )
        self._say(f"\n{words['look']}\n")
        if incident := self.told.incident:
            _, explained = await command("journal", "decisions", incident, *asked)
            lines = explained.splitlines()
            self._say(f"  {words['why'].format(incident)}\n")
            self._say("\n".join(f"    {line}" for line in lines[:EXPLAINED]) + ("\n    …" if len(lines) > EXPLAINED else ""))
            self._say("")
        for name, path in (("month", month), ("coverage", coverage)):
            self._say(f"  {words[name]}: {path if path.exists() else '✗'}")
        told = [
            f"gateway journal decisions {self.told.incident or 'I100001'}",
            f"gateway journal show {self.told.incident or 'I100001'}",
            "gateway replay",
        ]
        for line in told:
            self._say(f"  .venv/bin/{line} --config {self.config}")
        self._say(f"\n  {words['scenarios']}: {' '.join(TEN)}")
        if self.has_telephones:
            self._say(f"  {words['live']}")
        self._say(f"  {words['tidy'].format(self.folder)}")

    def now(self) -> datetime:
        """By the gateway's clock."""
        return utc_now()

    def _metrics(self) -> dict[str, float]:
        """Name with its labels → value; empty when nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=2) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line and line[0] != "#")}

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]) if self.log.exists() else ""

    def _say(self, text: str) -> None:
        print(text, flush=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL; by its own id."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        give_up = monotonic() + GRACE_S
        while process.returncode is None:
            if monotonic() < give_up:
                process.terminate()  # again and again: a broker that has just begun to listen loses the first
            else:
                process.kill()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), ASK_AGAIN_S)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
