"""`simulate SCENARIO`: play a scenario against any gateway. Exit 0: every expectation held; 1: one failed; 2: wrong use.

`simulate exchange …`, `home-unit …`, `panel …`, `tracker …`, `street …`, `ecosystem …`, `mass …`, `modem …`, `municipal …` and `telephones …` are
commands of their own: see simulators.exchange.command, .home_unit, .panels.command, .trackers.command, .street, .ecosystems.command,
.masses.command, .gsm_modem, .municipal and .telephones.

With `--progress json` standard output has one object a line: each second {"seconds", "ready", "sources", "stations", "operator",
"latency_ms", "expectations"}, at the end {"done": true, "held", "report"}. SIGINT and SIGTERM end the run with its report.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulators.amend import prepare
from simulators.ecosystems.command import main as ecosystem
from simulators.exchange.command import main as exchange
from simulators.gsm_modem import main as modem
from simulators.home_link import Receiver
from simulators.home_unit import main as home_unit
from simulators.masses.command import main as mass
from simulators.municipal import main as municipal
from simulators.neighbourhood import PORTS
from simulators.panels.command import main as panel
from simulators.runner import MissingTarget, Targets, run_scenario
from simulators.scenario import SCENARIOS, Scenario, ScenarioError, find_scenario, load_scenario
from simulators.street import main as street
from simulators.telephones import main as telephones
from simulators.trackers.command import main as tracker
from simulators.witnesses import READY_S, Command

DISTRICTS = Path("config/districts")
COMMANDS = {
    "exchange": exchange,
    "home-unit": home_unit,
    "panel": panel,
    "tracker": tracker,
    "street": street,
    "ecosystem": ecosystem,
    "mass": mass,
    "modem": modem,
    "municipal": municipal,
    "telephones": telephones,
}


def main(arguments: list[str] | None = None) -> int:
    """The command; gives the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    own = COMMANDS.get(given[0]) if given else None
    if own is not None:
        return own(given[1:])
    options = parser().parse_args(arguments)
    if options.list:
        for path in sorted(SCENARIOS.glob("*.toml")):
            print(f"{path.stem:<26}{load_scenario(path).name}")
        return 0
    if options.scenario is None:
        parser().error("SCENARIO is missing; `simulate --list` names those that come with it")
    try:
        scenario = load_scenario(find_scenario(options.scenario))
        options.district = options.district or DISTRICTS / scenario.district
        if options.prepare is not None:
            prepare(scenario, options.district, options.prepare, datetime.now(UTC))
            return 0
        targets = targets_of(options)
        return asyncio.run(play(scenario, targets, options))
    except (ScenarioError, MissingTarget) as error:
        print(error, file=sys.stderr)
    except FileNotFoundError as error:
        print(f"simulate: {error.filename}: {error.strerror}; start it in the folder of the clone, or correct the path", file=sys.stderr)
    except (OSError, ValueError, KeyError) as error:
        print(f"simulate: {type(error).__name__}: {error}", file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    """The command line, with the defaults a demo on one machine has."""
    found = argparse.ArgumentParser(
        prog="simulate",
        description="Play a scenario against a running gateway and judge what comes of it.",
        epilog="`simulate exchange --help`: a telephone exchange alone, with calls by the hour. `simulate home-unit --help`: SCAIP home units. "
        "`simulate panel --help`, `simulate tracker --help`: one family of devices. `simulate street --help`: all families at once. "
        "`simulate ecosystem --help`: devices behind an MQTT broker. `simulate modem --help`: a GSM modem on a pseudo-terminal. "
        "`simulate mass --help`: a district of people living alone, and what befalls it.",
    )
    found.add_argument("scenario", nargs="?", help="a TOML file, or the name of one that comes with the simulators")
    found.add_argument("--list", action="store_true", help="name the scenarios that come with the simulators")
    found.add_argument(
        "--district", type=Path, help="folder with persons.csv, devices.csv, responders.csv (default: the scenario's, in config/districts)"
    )
    found.add_argument("--prepare", type=Path, metavar="FOLDER", help="only write that district there, with the rows that the scenario amends")
    found.add_argument("--broker", metavar="mqtt://HOST:PORT", help="where wearables publish and orders arrive")
    found.add_argument("--hep", metavar="HOST:PORT", help="where the gateway hears mirrored calls")
    found.add_argument("--ami-port", type=int, metavar="PORT", help="be an Asterisk manager there (user and secret `gateway`) and tell the calls")
    found.add_argument("--esl-port", type=int, metavar="PORT", help="be a FreeSWITCH event socket there (password `simulated`) and tell the calls")
    found.add_argument("--sip", type=Receiver.read, metavar="udp:HOST:PORT", help="where home units send their alarms; also tcp:")
    found.add_argument("--port", action="append", default=[], metavar="LINE=N", help="where devices dial: alarm-panels, watches, terminals")
    found.add_argument("--serial-dir", type=Path, metavar="DIR", help="where the serial ports panel0 and buttons0 are made")
    found.add_argument("--console", metavar="http://HOST:PORT", help="the gateway's console, for the operator and the books")
    found.add_argument("--log-in", metavar="LOGIN=FILE", help="the operator's account at the console; FILE has the password")
    found.add_argument("--seed", type=int, help="another seed than the file's")
    found.add_argument("--seconds", type=float, metavar="N", help="be finished after N seconds; things happen in the first two thirds")
    found.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON")
    found.add_argument("--progress", choices=("table", "json", "none"), default="table", help="json: one object a second on standard output")
    found.add_argument("--ready", type=float, default=READY_S, metavar="N", help="wait at most N seconds for the gateway (default %(default)g)")
    found.add_argument("--municipal", metavar="PORT=FILE", help="be the city that the gateway reports to; FILE has the secret")
    found.add_argument("--platform", action="append", default=[], metavar="NAME=FILE", help="be that [[platform]]; FILE has its secret")
    found.add_argument("--reconcile", metavar="COMMAND", help="run at the end of a scenario that reports to a city: 0 when both sides have the same")
    found.add_argument("--clock-file", type=Path, metavar="FILE", help="libfaketime's file with the clock of the gateway and ours")
    found.add_argument("--stop-broker", metavar="COMMAND", help="run to stop the broker, for scenarios that restart it")
    found.add_argument("--start-broker", metavar="COMMAND", help="run to start the broker again")
    return found


def targets_of(options: argparse.Namespace) -> Targets:
    """Targets from the command line. ValueError names what is wrong with one."""
    hep = None
    if options.hep:
        host, colon, port = options.hep.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"--hep {options.hep!r} is not like 127.0.0.1:9060")
        hep = (host.strip("[]"), int(port))
    ports = {}
    for text in options.port:
        line, _, port = text.partition("=")
        if line not in PORTS.values() or not port.isdigit():
            raise ValueError(f"--port {text!r} is not like watches=9100; lines are {', '.join(PORTS.values())}")
        ports[line] = int(port)
    return Targets(
        options.district,
        options.broker,
        hep,
        options.serial_dir,
        options.console,
        command(options.stop_broker),
        command(options.start_broker),
        options.ready,
        options.ami_port,
        options.esl_port,
        options.sip,
        ports,
        municipal_of(options.municipal),
        {name: Path(file).read_bytes().strip() for name, _, file in (text.partition("=") for text in options.platform)},
        command(options.reconcile),
        log_in_of(options.log_in),
        options.clock_file,
    )


def log_in_of(text: str | None) -> tuple[str, str] | None:
    """LOGIN=FILE → login and password. ValueError names what is wrong, OSError the file."""
    if not text:
        return None
    login, _, file = text.partition("=")
    if not login or not file:
        raise ValueError(f"--log-in {text!r} is not like lina=lina.password")
    return login, Path(file).read_text("utf-8").strip()


def municipal_of(text: str | None) -> tuple[int, bytes] | None:
    """PORT=FILE → the port and the secret. ValueError names what is wrong, OSError the file."""
    if not text:
        return None
    port, _, file = text.partition("=")
    if not port.isdigit() or not file:
        raise ValueError(f"--municipal {text!r} is not like 9400=municipal.secret")
    return int(port), Path(file).read_bytes().strip()


def command(text: str | None) -> Command | None:
    """A shell command as a hook; its failure is ours to tell."""
    if not text:
        return None

    async def run() -> None:
        process = await asyncio.create_subprocess_shell(text, stdout=subprocess.DEVNULL)
        if await process.wait() != 0:
            raise OSError(f"{text!r} ended with {process.returncode}")

    return run


async def play(scenario: Scenario, targets: Targets, options: argparse.Namespace) -> int:
    """Run it, tell the progress, print and write the report."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tell = {"json": tell_json, "table": tell_line, "none": None}[options.progress]
    report = await run_scenario(scenario, targets, tell, seed=options.seed, seconds=options.seconds, stop=stop)
    if options.report:
        await asyncio.to_thread(options.report.write_text, report.to_json() + "\n", "utf-8")
    if options.progress == "json":
        print(
            json.dumps({"done": True, "held": report.held, "report": json.loads(report.to_json()), "text": report.to_text()}, ensure_ascii=False),
            flush=True,
        )
    else:
        print(("\r\033[K" if options.progress == "table" and sys.stdout.isatty() else "") + report.to_text(), flush=True)
    return 0 if report.held else 1


def tell_json(progress: dict[str, Any]) -> None:
    """One JSON object, one line."""
    print(json.dumps(progress, ensure_ascii=False), flush=True)


def tell_line(progress: dict[str, Any]) -> None:
    """One line that is written over, only where a person looks on."""
    if sys.stdout.isatty():
        sent = "  ".join(f"{name} {facts.get('sent', 0)}" for name, facts in progress["sources"].items())
        counts = progress["expectations"]
        orders = progress["stations"].get("orders", 0)
        print(
            f"\r\033[K{progress['seconds']:5.0f} s  {sent}  orders {orders}  ✓ {counts['held']} ✗ {counts['failed']} … {counts['waiting']}",
            end="",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
