"""`gateway demo`: an evening in Honggu on this machine. An embedded broker, the gateway on SQLite, and the simulators on real sockets.

All three are what they are elsewhere: the gateway is `gateway run` with a file of its own, the simulators are `simulate`
and know only the wire. The people are invented. Everything lies in one folder and is gone afterwards.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError

CONSOLE_PORT = 12349
READY_S = 60.0  # a slow machine may take long to start; a fast one takes three seconds
GRACE_S = 15.0  # after SIGTERM
AMI_SECRET = "gateway"  # as the simulated exchange has it
AGENTS = ("李娜", "王芳", "张敏", "刘洋", "陈静", "赵磊")  # invented; extensions 8001 and up
RUNG_TOWN = "pingan"  # its stations have no computer: their telephone is rung, a key is the answer
BY_ITSELF_S = 45.0  # how long the simulators may go on after their time: receipts, answers, books

REPOSITORY = Path(__file__).resolve().parent.parent
SCENARIO = "evening_in_honggu"

# Deadlines of an evening that lasts a minute: a silent station is asked for six seconds, not sixty.
CONFIG = """
[gateway]
district = "honggu"
districts = "{districts}"
data = "{folder}"
[console]
listen = "127.0.0.1:{console}"
[log]
format = "json"
[calls]
area_code = "0931"
[calls.agents]
{agents}
[[hotline]]
number = "12345"
supplementary = true
[telephone]
line = "pbx"
[dispatch.phone]
[dispatch.mqtt]
broker = "{broker}"
client_id = "gateway-demo-orders"
[policy.critical]
acknowledge_s = 30
reply_s = 6
repeat_s = 30
order = "at_once"
[policy.major]
acknowledge_s = 20
reply_s = 10
repeat_s = 30
order = "unacknowledged"
[[line]]
name = "wearables"
codec = "generic"
broker = "{broker}"
mandatory = true
[[line]]
name = "station-replies"
codec = "station_reply"
broker = "{broker}"
mandatory = true
[[line]]
name = "corridor-panel"
codec = "espa444"
listen = "serial:{folder}/panel0:baudrate=9600"
silence_s = 60
[[line]]
name = "corridor-buttons"
codec = "ascii_button"
listen = "serial:{folder}/buttons0:baudrate=57600"
[line.options.learned]
{learned}
[[line]]
name = "pbx"
codec = "ami"
connect = "tcp:127.0.0.1:{ami}"
[line.options]
username = "gateway"
secret_file = "{folder}/ami.secret"
[[line]]
name = "home-units"
codec = "sip"
listen = "udp:{sip}:interface=127.0.0.1"
[line.options.body_options.scaip.voice]
mre = "01"
cre = "62"
tnu = "12349"
"""

WORDS = {
    "en": {
        "console": "Console (invented people)",
        "desks": "Telephones of the desk, to ring people from the console",
        "folder": "Log and database",
        "until": "Ctrl-C ends it.",
        "for": "It ends by itself after {0:g} s.",
        "sent": "sent",
        "orders": "orders",
        "answers": "answers",
        "open": "open incidents",
        "held": "expectations held",
        "failed": "failed",
        "waiting": "waiting",
        "p50": "press to order, ms",
        "died": "the gateway ended by itself; its last words:",
        "never": "the gateway was not ready after {0:g} s; its last words:",
        "slow": "the simulators did not end in time",
        "balanced": "books balanced",
        "unbalanced": "BOOKS DO NOT BALANCE",
        "proof": "journal",
    },
    "zh-CN": {
        "console": "接警台(人物均为虚构)",
        "desks": "坐席分机,供在接警台上拨号",
        "folder": "日志与数据库",
        "until": "按 Ctrl-C 结束。",
        "for": "{0:g} 秒后自动结束。",
        "sent": "已发出",
        "orders": "派单",
        "answers": "回复",
        "open": "未结警情",
        "held": "期望达成",
        "failed": "未达成",
        "waiting": "等待中",
        "p50": "按下到派单,毫秒",
        "died": "网关自行退出,最后的日志:",
        "never": "网关 {0:g} 秒后仍未就绪,最后的日志:",
        "slow": "模拟器未能按时结束",
        "balanced": "账目平衡",
        "unbalanced": "账目不平",
        "proof": "日志链",
    },
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `demo` to the commands."""
    parser = subparsers.add_parser("demo", help="see the whole product work on this machine, with invented people")
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds, with a report; exit 0 only if every expectation held")
    parser.add_argument(
        "--port", type=int, default=CONSOLE_PORT, help="of the console; another free one is taken when it is in use (default %(default)s)"
    )
    parser.add_argument("--lang", choices=sorted(WORDS), help="language of the summary (default: of the terminal)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with log and database")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when every expectation held and the books balance, 1 when not."""
    districts = REPOSITORY / "config" / "districts"
    if not (districts / "honggu").is_dir():
        raise GatewayError(f"the demo needs the invented districts, and {districts} is not there: run it from a checkout (make demo)")
    words = WORDS[args.lang or _terminal_language()]
    folder = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
    try:
        return asyncio.run(_Demo(folder, districts, args, words).play())
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _terminal_language() -> str:
    import locale

    return "zh-CN" if (locale.getlocale()[0] or "").startswith(("zh", "Chinese")) else "en"


class _Demo:
    def __init__(self, folder: Path, districts: Path, args: argparse.Namespace, words: dict[str, str]) -> None:
        self.folder = folder
        self.districts = districts
        self.seconds: float | None = args.seconds
        self.words = words
        self.console = args.port if _is_free(args.port) else _free_port()
        self.log = folder / "gateway.log"
        self.url = f"http://127.0.0.1:{self.console}"
        self.summary = _Summary(words)

    async def play(self) -> int:
        from iotcore import Broker  # an embedded MQTT broker (rumqttd), only for this

        broker_port, ami, sip = _free_port(), _free_port(), _free_port(socket.SOCK_DGRAM)
        broker = Broker(port=broker_port, listen="127.0.0.1")
        broker.start()
        url = f"mqtt://127.0.0.1:{broker_port}"
        config = self.folder / "gateway.toml"
        districts = _districts(self.districts, self.folder)
        agents = "\n".join(f'{8001 + place} = "{name}"' for place, name in enumerate(AGENTS))
        places = {"districts": districts, "folder": self.folder, "console": self.console, "broker": url, "ami": ami, "sip": sip}
        config.write_text(CONFIG.format(**places, agents=agents, learned=_learned(districts)), encoding="utf-8")
        (self.folder / "ami.secret").write_text(AMI_SECRET, encoding="utf-8")
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        processes: list[asyncio.subprocess.Process] = []
        try:
            # The simulators first: the serial ports are theirs, and a gateway that starts without its ports says so.
            simulators = await self._start_simulators(districts, url, ami, sip)
            processes.append(simulators)
            with self.log.open("wb") as log:
                arguments = ("-m", "gateway.cli", "run", "--config", str(config))
                gateway = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=log, stderr=log, start_new_session=True)
            processes.append(gateway)
            self._say(f"\n  {self.words['console']}: {self.url}/")
            self._say(f"  {self.words['desks']}: 8002 … {8000 + len(AGENTS)}")  # 8001 is the simulated operator's
            self._say(f"  {self.words['folder']}: {self.folder}\n  {self._when()}\n")
            return await self._watch(simulators, gateway, stop, config)
        finally:
            for process in processes:
                await _end(process)
            broker.stop()

    def _when(self) -> str:
        return self.words["until"] if self.seconds is None else self.words["for"].format(self.seconds)

    async def _start_simulators(self, districts: Path, broker: str, ami: int, sip: int) -> asyncio.subprocess.Process:
        arguments = ["-m", "simulators.cli", SCENARIO, "--district", str(districts / "honggu"), "--broker", broker]
        arguments += [
            "--ami-port",
            str(ami),
            "--sip",
            f"udp:127.0.0.1:{sip}",
            "--serial-dir",
            str(self.folder),
            "--console",
            self.url,
            "--progress",
            "json",
        ]
        arguments += ["--ready", f"{READY_S:g}"]
        if self.seconds is not None:
            arguments += ["--seconds", f"{self.seconds:g}"]
        # Sessions of their own: Ctrl-C in the terminal reaches us alone, and we end them in order.
        return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, start_new_session=True, limit=2**24)

    async def _watch(self, simulators: asyncio.subprocess.Process, gateway: asyncio.subprocess.Process, stop: asyncio.Event, config: Path) -> int:
        """Show the progress until the simulators have ended, by themselves or because somebody pressed Ctrl-C."""
        told = asyncio.create_task(self._follow(simulators))
        died = asyncio.create_task(gateway.wait())
        asked = asyncio.create_task(stop.wait())
        limit = None if self.seconds is None else READY_S + self.seconds + BY_ITSELF_S
        try:
            await asyncio.wait([told, died, asked], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if died.done():
                self._say(f"{self.words['died']}\n{self._last_words()}")
                return 1
            if not told.done():
                if not asked.done():
                    self._say(self.words["slow"])
                    return 1
                simulators.send_signal(signal.SIGINT)
                await asyncio.wait([told], timeout=GRACE_S)
            report = told.result() if told.done() else None
            return await self._judge(report, gateway, config)
        finally:
            for task in (told, died, asked):
                task.cancel()

    async def _follow(self, simulators: asyncio.subprocess.Process) -> dict[str, Any] | None:
        """Progress lines to the summary; the last one is the report."""
        assert simulators.stdout is not None
        async for line in simulators.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                progress: dict[str, Any] = json.loads(line)
                if progress.get("done"):
                    return progress
                self.summary.show(progress, await asyncio.to_thread(self._open_incidents))
        return None

    async def _judge(self, report: dict[str, Any] | None, gateway: asyncio.subprocess.Process, config: Path) -> int:
        unaccounted = await asyncio.to_thread(self._unaccounted)
        await _end(gateway)
        self.summary.end()
        if report is None:
            self._say(self._last_words())
            return 1
        self._say(report["text"])
        proof = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "journal", "verify", "--config", str(config), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await proof.communicate()
        self._say(f"\n{self.words['balanced'] if unaccounted == 0 else self.words['unbalanced']}; {self.words['proof']}: {told.decode().strip()}")
        return 0 if report["held"] and unaccounted == 0 and proof.returncode == 0 else 1

    def _metrics(self) -> list[tuple[str, float]]:
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=2) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return []
        return [(name, float(value)) for name, _, value in (line.rpartition(" ") for line in lines if line and line[0] != "#")]

    def _open_incidents(self) -> int:
        return int(sum(value for name, value in self._metrics() if name.startswith("gateway_incidents{")))

    def _unaccounted(self) -> float | None:
        found = [abs(value) for name, value in self._metrics() if "unaccounted" in name]
        return sum(found) if found else None

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]) if self.log.exists() else ""

    def _say(self, text: str) -> None:
        print(text, flush=True)


class _Summary:
    """A few lines that are written over once a second; where nobody looks on, one line every ten seconds."""

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words
        self._lines = 0
        self._is_terminal = sys.stdout.isatty()
        self._told_at = 0.0

    def show(self, progress: dict[str, Any], open_incidents: int) -> None:
        if not progress.get("ready"):
            return
        if not self._is_terminal and time.monotonic() - self._told_at < 10:
            return
        self._told_at = time.monotonic()
        words, stations, counts = self._words, progress["stations"], progress["expectations"]
        sources = "   ".join(f"{name} {facts.get('sent', 0)}" for name, facts in progress["sources"].items())
        answers = "  ".join(f"{name} {count}" for name, count in stations.get("answers", {}).items())
        speed = "   ".join(f"{name} {figures['p50']:.1f}" for name, figures in progress["latency_ms"].items())
        lines = [
            f"  {progress['seconds']:5.0f} s   {words['sent']}: {sources}",
            f"            {words['orders']} {stations.get('orders', 0)}   {words['answers']}: {answers or 0}   {words['open']} {open_incidents}",
            f"            {words['p50']}: {speed or '…'}",
            f"            {words['held']} ✓ {counts['held']}   {words['failed']} ✗ {counts['failed']}   {words['waiting']} {counts['waiting']}",
        ]
        if self._is_terminal:
            back = f"\033[{self._lines}A" if self._lines else ""
            print(back + "\n".join(f"\033[K{line}" for line in lines), flush=True)
            self._lines = len(lines)
        else:
            print(" |".join(line.strip() for line in lines), flush=True)

    def end(self) -> None:
        """Leave what was shown and go on below it."""
        self._lines = 0
        print(flush=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL; by its own id."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GRACE_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _districts(shipped: Path, folder: Path) -> Path:
    """A copy of the register in which the stations of one town are rung; gives the folder of the districts."""
    found = folder / "districts"
    shutil.copytree(shipped / "honggu", found / "honggu")
    file = found / "honggu" / "responders.csv"
    with file.open(newline="", encoding="utf-8") as old:
        rows = list(csv.DictReader(old))
    for row in rows:
        if row["kind"] == "station" and row["areas"].startswith(f"{RUNG_TOWN}-"):
            row["channel"] = "phone"
    with file.open("w", newline="", encoding="utf-8") as new:
        writer = csv.DictWriter(new, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return found


def _learned(districts: Path) -> str:
    """Every call button in the register is a learned one: TOML lines."""
    with (districts / "honggu" / "devices.csv").open(newline="", encoding="utf-8") as file:
        return "\n".join(f'"{row["id"]}" = "sos"' for row in csv.DictReader(file) if row["line"] == "corridor-buttons")


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
