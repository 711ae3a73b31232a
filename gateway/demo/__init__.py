"""`gateway demo`: an evening in Honggu on this machine. An embedded broker, the gateway on SQLite, and the simulators on real sockets.

All three are what they are elsewhere: the gateway is `gateway run` with a file of its own, the simulators are `simulate`
and know only the wire. The people are invented. Everything lies in one folder.

setting   the gateway's file and the register of the evening
evening   starts everything, watches, judges, tells where to look
outside   what is seen from outside: telephones that are told, the city that goes away and comes back
stage     one scenario alone, with its own district and hour
summary   what is written over once a second; words: in both languages
"""

import argparse
import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from gateway.demo.evening import Evening
from gateway.demo.setting import DIALLED as DIALLED
from gateway.demo.setting import OWN as OWN
from gateway.demo.setting import PANEL_KEY as PANEL_KEY
from gateway.demo.setting import write_config as write_config
from gateway.demo.stage import Stage
from gateway.demo.words import WORDS
from gateway.errors import GatewayError

CONSOLE_PORT = 12349
REPOSITORY = Path(__file__).resolve().parents[2]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `demo` to the commands."""
    parser = subparsers.add_parser("demo", help="see the whole product work on this machine, with invented people")
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds, with a report; exit 0 only if every expectation held")
    parser.add_argument(
        "--port", type=int, default=CONSOLE_PORT, help="of the console; another free one is taken when it is in use (default %(default)s)"
    )
    parser.add_argument("--lang", choices=sorted(WORDS), help="of all that is said (default: of the terminal)")
    parser.add_argument(
        "--keep", action=argparse.BooleanOptionalAction, default=True, help="keep the folder with log, database and reports (default: kept)"
    )
    parser.add_argument("--scenario", metavar="NAME", help="play this one of simulators/scenarios alone, in real time; it ends by itself")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when every expectation held and the books balance, 1 when not."""
    districts = REPOSITORY / "config" / "districts"
    if not (districts / "honggu").is_dir():
        raise GatewayError(f"the demo needs the invented districts, and {districts} is not there: run it from a checkout (make demo)")
    folder = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
    try:
        language = args.lang or _terminal_language()
        evening = (
            Stage(folder, districts, _scenario(args.scenario), args.seconds, args.port, language)
            if args.scenario
            else Evening(folder, districts, args.seconds, args.port, language)
        )
        return asyncio.run(evening.play())
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _scenario(name: str) -> Path:
    """The file of a scenario that comes with the simulators. GatewayError names those that do."""
    folder = REPOSITORY / "simulators" / "scenarios"
    found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if name not in found:
        raise GatewayError(f"there is no scenario {name!r}; there are: {', '.join(found)}")
    return found[name]


def _terminal_language() -> str:
    """As the variables say it: a small system has no Chinese locale installed and is asked for one all the same."""
    said = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "zh-CN" if said.startswith("zh") else "en"
