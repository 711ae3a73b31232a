"""`gateway panel-keys`: keys of DC-09 transmitters: which are old, a new one beside the old, and the old one given up. Shows no key."""

import argparse
from datetime import date
from pathlib import Path

from drivers.panel.accounts import read_accounts_file
from gateway.access_list_command import replace_file
from gateway.clock import utc_now
from gateway.config import Config, read_config
from gateway.core.duty import CHINA
from gateway.errors import GatewayError
from gateway.panel_keys import OLD_DAYS, ages, read_file, settled, with_next_key


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `panel-keys` to the commands."""
    parser = subparsers.add_parser("panel-keys", help="keys of DC-09 panels: list their ages, make a new one, give the old one up")
    parser.add_argument("what", choices=("list", "new", "settle"), nargs="?", default="list")
    parser.add_argument("account", nargs="?", default="", help="new, settle: of this account")
    parser.add_argument("--line", default="", help="of this line's accounts; needed where several lines have a file of their own")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Returns 1 when a listed key is old. Raises GatewayError with the remedy."""
    files = files_of(read_config(args.config), args.line)
    today = utc_now().astimezone(CHINA).date()
    if args.what == "list":
        return _list(files, today)
    if not args.account:
        raise GatewayError(f"{args.what}: name the account")
    holding = [file for file in files if args.account.upper() in read_file(file)[1]]
    if len(holding) != 1:
        what = "is in no file" if not holding else "is in several files; name its --line"
        raise GatewayError(f"{args.account} {what}")
    file = holding[0]
    text, accounts = read_file(file)
    made = with_next_key(text, accounts, args.account) if args.what == "new" else settled(text, accounts, args.account, today)
    _, problems = read_accounts_file(made, str(file))
    if problems:  # the file was written in a way that a line by line edit does not do justice to
        raise GatewayError(f"{file}: cannot be changed by this command; do it by hand ({problems[0]})")
    try:
        replace_file(file, made, 0o600)
    except OSError as error:
        raise GatewayError(f"{file}: {error.strerror}; run this as who may write there") from error
    if args.what == "new":
        print(f"{file}: [{args.account}] has a next key. Write it into the panel; both count until its first message with it. Then: settle")
    else:
        print(f"{file}: [{args.account}] has its new key alone; the old one counts no more from the next connection on")
    return 0


def files_of(config: Config, line: str = "") -> list[Path]:
    """The accounts files of the lines (or of one). Raises GatewayError when there is none."""
    lines = [one for one in config.line if one.codec == "sia_dc09" and line in ("", one.name)]
    found = list(dict.fromkeys(Path(str(one.options["accounts_file"])) for one in lines if one.options.get("accounts_file")))
    if not found:
        raise GatewayError("no line with codec sia_dc09 has an accounts_file" if not line else f"line {line!r} has no accounts_file")
    return found


def _list(files: list[Path], today: date) -> int:
    is_any_old = False
    for file in files:
        for one in ages(read_file(file)[1], today):
            is_any_old = is_any_old or one.is_old
            age = "age unknown, write since = YYYY-MM-DD" if one.days is None else f"{one.days} days"
            notes = [age, *(["OLD"] if one.days is not None and one.is_old else []), *(["next key waits"] if one.is_changing else [])]
            print(f"{file.name}\t{one.account}\t{', '.join(notes)}")
    if is_any_old:
        print(f"older than {OLD_DAYS} days, or nobody knows: gateway panel-keys new ACCOUNT")
    return 1 if is_any_old else 0
