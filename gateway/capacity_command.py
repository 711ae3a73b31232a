"""`gateway capacity [FILE]`: how many edges, cores, servers, how much memory and disk an installation wants, and what is full first.

FILE is TOML with the keys of gateway.capacity.load.Load; what is not written is a province's. `--set elders=500000` does the same for one key.
`--day` plays a day with a storm; `--plot FILE` draws it. Costs are those that were measured with this version (docs/guide/capacity.md).
"""

import argparse
from pathlib import Path

import msgspec

from gateway.capacity.costs import Costs, measured
from gateway.capacity.day import Day, day, saturates
from gateway.capacity.drawing import plot
from gateway.capacity.load import Load, load_faults
from gateway.capacity.model import FULL, Needs, needs, times
from gateway.errors import ConfigError
from gateway.toml_file import TomlReader

FACTORS = (1, 2, 4, 8, 16, 32)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `capacity` to the commands."""
    parser = subparsers.add_parser("capacity", help="how many machines so many people want, and what is full first")
    parser.add_argument("file", nargs="?", metavar="FILE", help="TOML: elders, heartbeats_h, alarms_day, storm_min, …; without it a province")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=NUMBER", help="one key, over the file's; may be said again")
    parser.add_argument("--day", action="store_true", help="play a day: how full each part is, and how long alarms wait in the storm")
    parser.add_argument("--plot", metavar="FILE", help="draw that day as SVG")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0; 2 for a file that cannot be used."""
    load = read_load(args.file, args.set)
    costs = measured()
    found = needs(load, costs)
    played = day(load, found, costs) if args.day or args.plot else None
    if args.plot and played is not None:
        try:
            Path(args.plot).write_text(plot(played, saturates(load, found, costs, FACTORS), FACTORS), encoding="utf-8")
        except OSError as error:
            raise ConfigError([f"{args.plot}: cannot be written ({error.strerror}); name another file"]) from None
    if args.json:
        print(
            msgspec.json.format(msgspec.json.encode({"needs": found, "cores": found.cores, "full_first": found.first.part, "day": played})).decode()
        )
        return 0
    print(words(found, costs))
    print(growth(load, costs))
    if played is not None:
        print(day_words(played))
    return 0


def read_load(file: str | None, given: list[str]) -> Load:
    """Raises ConfigError with every fault."""
    reader = TomlReader(Path(file or "--set"), {Load: load_faults})
    written = reader.load() if file else {}
    for text in given:
        key, _, number = text.partition("=")
        try:
            written[key.strip()] = int(number.replace("_", "")) if number.strip().lstrip("-").replace("_", "").isdigit() else float(number)
        except ValueError:
            reader.add(key, f"{number!r} is no number", "write --set elders=500000")
    found = reader.table(Load, written)
    if reader.problems:
        raise ConfigError(reader.problems)
    return found


def words(found: Needs, costs: Costs) -> str:
    """The answer, to be read."""
    load = found.load
    lines = [
        f"{load.elders:,} elders, {load.heartbeats_s:,.0f} heartbeats/s, {load.alarms_day:,} alarms a day, storm {load.storm_s:.1f} alarms/s, "
        f"{load.consoles:,} consoles, up to {load.open_at_once:,.0f} incidents open.",
        f"Measured on {costs.machine.measured_on}: {costs.machine.on}. Each process at most {FULL:.0%} of its core.",
        "",
    ]
    one = found.one_machine
    verdict = "is enough, and a spare beside it (docs/guide/backup.md)" if found.is_enough else "is not enough"
    lines += [f"One machine with one process {verdict}: {one.busy:.0%} of a core at the worst moment, {size(one.memory_bytes)}.", ""]
    lines += ["part       processes  cores each  busy   memory each  all carry  then add"]
    lines += ["---------  ---------  ----------  -----  -----------  ---------  --------"]
    for need in found.parts:
        processes = f"{need.processes - need.spare} + {need.spare}" if need.spare else str(need.processes)
        memory = size(need.memory_bytes) if need.memory_bytes else "-"
        lines.append(f"{need.part:9}  {processes:>9}  {need.threads:10}  {need.busy:5.0%}  {memory:>11}  {need.carries:7.1f} ×  {need.grows_with}")
    lines += [
        "",
        f"{found.cores} processor cores in all. Full first: {found.first.part}.",
        f"[bus] shards = {load.shards}; {found.messages_s:,.0f} messages/s; each NATS server keeps {size(found.bus_bytes)} "
        f"and is full after {found.bus_full_h:,.0f} h without cores.",
        f"PostgreSQL: {found.sessions} sessions; the journal grows by {size(found.journal_bytes_year)} a year, {size(found.journal_bytes_kept)} "
        f"in {load.retention_years:g} years.",
        f"Consoles in the storm: {size(found.console_bytes_s)}/s together.",
        f"An edge, core or console that starts reads its register for {found.start_s:,.0f} s of CPU.",
    ]
    if found.start_s > 30:
        lines.append(
            "That is long for a restart: the broker keeps what devices say meanwhile. Give each city an installation of its own, or wait it out."
        )
    return "\n".join(lines)


def growth(load: Load, costs: Costs) -> str:
    """What the same people want when everything comes more often."""
    lines = ["", "as often   edges  cores  consoles  processor cores  full first", "--------   -----  -----  --------  ---------------  ----------"]
    for factor in FACTORS:
        found = needs(times(load, factor), costs)
        counts = {need.part: need.processes for need in found.parts}
        first = f"{found.first.part} ({found.first.busy:.0%})"
        if found.part("core").busy > FULL:
            first += f"; {load.shards} shards are too few"
        lines.append(f"{factor:6} ×   {counts['edge']:5}  {counts['core']:5}  {counts['console']:8}  {found.cores:15}  {first}")
    return "\n".join(lines)


def day_words(played: Day) -> str:
    """How long alarms wait where."""
    lines = [
        "",
        f"Played: {played.alarms:,} alarms beside {played.heartbeats:,} heartbeats. Milliseconds, p50 and p99, in calm and in the storm:",
        "",
        "part           calm p50      p99   storm p50      p99   busiest minute",
        "-------------  --------  -------   ---------  -------   --------------",
    ]
    rows = [(part, played.calm.at[part], played.storm.at[part]) for part in played.calm.at]
    rows += [("device told", played.calm.receipt, played.storm.receipt), ("order leaves", played.calm.order, played.storm.order)]
    for part, calm, storm in rows:
        share = f"{max(played.shares[part]):.0%}" if part in played.shares else ""
        lines.append(f"{part:13}  {calm[0]:8.2f}  {calm[1]:7.2f}   {storm[0]:9.2f}  {storm[1]:7.2f}   {share:>14}")
    late = {part: behind for part, behind in played.behind_s.items() if behind}
    lines += [f"{part} is too slow and falls {behind:.0f} s behind." for part, behind in late.items()]
    return "\n".join(lines)


def size(count: float) -> str:
    """Bytes in a unit that is read at a glance."""
    for unit, each in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{count:.0f} B"
