"""`gateway self-test`: one synthetic alarm at once, through the running gateway's lines; each stage with its time, and what failed in words."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config import read_config
from gateway.errors import GatewayError, Refused
from gateway.own_api import OwnApi
from gateway.self_test.points import PRESS
from gateway.self_test.result import STAGES

LANGUAGES = Path(__file__).parent / "console" / "static" / "lang"  # the page's own words
OF_EDGES = (
    "with [bus] edges test their lines and consoles ask them: run this on a machine with a console that hears them; or see on the edge's machine"
    " what came of the last ones with `curl -s http://{listen}/metrics | grep gateway_self_test` (docs/guide/cluster.md)"
)
SPARE_S = 10.0  # beyond the probes' own times


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `self-test` to the commands."""
    parser = subparsers.add_parser("self-test", help="send a test alarm through every line of the running gateway, and see it come back")
    parser.add_argument("--line", default="", metavar="NAME", help="only this line; default: all")
    parser.add_argument("--point", default="", metavar="NAME", help="only this point")
    parser.add_argument("--last", action="store_true", help="send nothing: show what became of the last ones")
    parser.add_argument("--json", action="store_true", help="one JSON object a point, one a line")
    parser.add_argument("--lang", choices=("zh-CN", "en"), help="default: gateway.language of the file")
    parser.add_argument("--config", default="config/gateway.toml", metavar="FILE", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0: all were seen back; 1: one was not, or nothing could be tested."""
    config = read_config(args.config)
    if args.line and args.point:
        raise GatewayError("--line and --point: write one of them")
    api = OwnApi(config.console.listen, config.data_folder, config.console_certificate)
    if config.bus.servers and not api.is_there():
        raise GatewayError(OF_EDGES.format(listen=config.bus.listen or "127.0.0.1:12350"))
    words: dict[str, str] = json.loads((LANGUAGES / f"{args.lang or config.gateway.language}.json").read_text("utf-8"))
    state = api.get("/api/v1/self-test")["self_test"]
    rows = [row for row in (state or {}).get("points", ()) if args.line in ("", row["line"]) and args.point in ("", row["name"])]
    if not rows:
        if config.bus.servers and not (state or {}).get("points"):
            raise GatewayError(OF_EDGES.format(listen=config.bus.listen or "127.0.0.1:12350"))
        known = ", ".join(sorted({row["line"] for row in (state or {}).get("points", ())})) or "none"
        raise GatewayError(f"there is nothing to test of that name; lines: {known}")
    asker = OwnApi(
        config.console.listen, config.data_folder, config.console_certificate, timeout_s=SPARE_S + 3 * max(row.get("within_s", 0) for row in rows)
    )
    missed = False
    try:
        for row in rows:  # one by one: each is shown as soon as it is back
            fresh = row if args.last or row["how"] == PRESS else _now(asker, row["name"])
            print(json.dumps(fresh, ensure_ascii=False) if args.json else "\n".join(_told(fresh, words)))
            sys.stdout.flush()
            missed = missed or fresh["state"] in ("missed", "failing")
    finally:
        asker.close()
    return 1 if missed else 0


def _now(api: OwnApi, name: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = api.post("/api/v1/self-test", {"point": name})["points"][0]
    except Refused as refused:
        raise GatewayError(f"{name}: the gateway refuses: {refused.reason}") from refused
    return answer


def _told(row: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    """One point in words, a line a stage."""
    where = f" · {row['place']}" if row["place"] else ""
    head = f"{row['name']} ({row['line']}, {row['codec']}{where}): {words['self_test.' + row['state']]}"
    if row["how"] == PRESS:
        return [f"{head}; {words['self_test.pressed']} {row['pressed_at'] or '–'}, {words['self_test.press_due']} {row['due'] or '–'}"]
    if row["how"] == "path":
        head += f"; {words['self_test.path_only']}: {words['self_test_why.' + row['why']]}"
    lines = [head]
    for stage in STAGES:
        if stage in row["stages"]:
            lines.append(f"  {words['self_test_stage.' + stage]:<24} {row['stages'][stage] * 1000:9.2f} ms")
    if row["missing"]:
        detail = f" ({row['detail']})" if row["detail"] else ""
        lines.append(f"  ✕ {words['reason_word.self_test_' + row['missing']]}{detail}")
    return lines
