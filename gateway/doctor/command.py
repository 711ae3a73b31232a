"""`gateway doctor`: examines a running installation and says in plain words what is wrong and what to do.

Unlike `gateway check` it opens things: it commits to a scratch database beside the real one, logs in to brokers, dials servers, takes free
ports for a moment. It changes nothing that is kept, needs no root, and disturbs no gateway that runs: that one is asked instead.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable

import msgspec

from gateway.config import examine_config
from gateway.doctor.checks import TOPICS, examine_file
from gateway.doctor.finding import Finding, Level
from gateway.doctor.words import LANGUAGES, SUMMARY
from gateway.doctor.words import TOPICS as TOPIC_WORDS

SIGNS = {Level.GOOD: "✓", Level.BAD: "✗", Level.NOTE: "!", Level.UNKNOWN: "?"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `doctor` to the program's commands; its `run` is set as default."""
    parser = subparsers.add_parser("doctor", help="examine a running installation: what is wrong, and what to do")
    parser.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")
    parser.add_argument("--language", choices=LANGUAGES, help="default: gateway.language of the file")
    parser.add_argument("--json", action="store_true", help="an object with every finding, for machines")
    parser.add_argument(
        "--only", action="append", default=[], choices=TOPICS, metavar="TOPIC", help=f"may be repeated; takes its time: {', '.join(TOPICS)}"
    )
    parser.add_argument("--ntp", action="append", default=[], metavar="HOST[:PORT]", help="compare the clock with this time server too")
    parser.add_argument("--backups", action="append", default=[], metavar="DIR", help="where backups lie; default: backups in the data folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found. Returns 0 when there is no fault, else 1."""
    language = args.language or examine_config(args.config)[0].gateway.language
    findings = examine_file(args.config, only=args.only, ntp=args.ntp, backups=args.backups)
    if args.json:
        told = list(findings)
        print(to_json(told, language))
    else:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal without these signs shows others
        told = _printed(findings, language)
    return 1 if any(one.level is Level.BAD for one in told) else 0


def to_json(findings: Iterable[Finding], language: str) -> str:
    """{"well": bool, "findings": [{"topic", "what", "level", "word", "text", "remedy"}]}."""
    some = list(findings)
    rows = [
        {"topic": one.topic, "what": one.what, "level": one.level, "word": one.word, "text": one.text(language), "remedy": one.remedy(language)}
        for one in some
    ]
    return msgspec.json.encode({"well": all(one.level is not Level.BAD for one in some), "findings": rows}).decode()


def _printed(findings: Iterable[Finding], language: str) -> list[Finding]:
    """Grouped by topic, one line a finding, the remedy below it; each as soon as it is known."""
    words, names = SUMMARY[language], TOPIC_WORDS[language]
    told: list[Finding] = []
    for one in findings:
        if not told or told[-1].topic != one.topic:
            print(f"\n{names[one.topic]}" if told else names[one.topic])
        about = "" if one.what == one.topic else f"{one.about(language)}{words[':']}"
        print(f"  {SIGNS[one.level]} {about}{one.text(language)}", flush=True)
        if not one.good and (remedy := one.remedy(language)):
            print(f"      {words['remedy']}{remedy}", flush=True)
        told.append(one)
    counts = Counter(one.level for one in told)
    summary = words["ill" if counts[Level.BAD] else "well"]
    print("", summary.format(bad=counts[Level.BAD], looked=len(told), notes=counts[Level.NOTE], unknown=counts[Level.UNKNOWN]), sep="\n")
    return told
