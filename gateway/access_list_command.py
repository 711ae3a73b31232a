"""`gateway access-list`: the broker's accounts and rights out of the register, as files for Mosquitto; `--check` says whether they are stale."""

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.access_list import AccessList, access_list, shared_accounts
from gateway.access_list_forms import DESK, acl_file, dynamic_security, fits, new_password, password_file, passwords_text, read_passwords
from gateway.config import Config, read_config
from gateway.core.register import Register
from gateway.core.shards import CATCH_ALL
from gateway.errors import GatewayError
from gateway.journal_command import NoJournal, journal_of
from gateway.register_files import read_overlaid
from gateway.store import corrections

FORMS = {"mosquitto": "topics", "mosquitto-passwords": "passwords", "dynsec": "dynamic-security.json"}
SECRETS = "accounts.secret"  # names and passwords in plain, 0600: what is written into devices
SHOWN = 3  # addresses that are left out, as examples
NAMED = 10  # accounts named in a message; the rest is counted


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `access-list` to the commands."""
    parser = subparsers.add_parser("access-list", help="accounts and rights of devices and stations at the MQTT broker, from the register")
    parser.add_argument("--format", choices=sorted(FORMS), help="default: mosquitto, and with --out the passwords as well")
    parser.add_argument("--out", metavar="DIR", help="write the files there (topics, passwords, accounts.secret); default: print")
    parser.add_argument("--renew", action="append", default=[], metavar="ACCOUNT", help="with --out: a new password for this account")
    parser.add_argument("--check", action="store_true", help="with --out: write nothing; 1 when a file is not as the register wants it")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print, write or check. Raises GatewayError with the remedy."""
    config = read_config(args.config)
    register, is_corrected = _register(config)
    found = msgspec.structs.replace(access_list(config, register), desk=is_corrected)
    forms = [args.format] if args.format else ["mosquitto", "mosquitto-passwords"]
    _tell_left_out(found)
    for name in shared_accounts(config):
        print(
            f"account {name!r} is used by several connections of ours: they need a listener without use_username_as_clientid, or names of their own",
            file=sys.stderr,
        )
    if args.out is None:
        if args.check or args.renew or args.format in ("mosquitto-passwords", "dynsec"):
            raise GatewayError("passwords are kept in a file: name its folder with --out DIR")
        print(acl_file(found.accounts, desk=found.desk), end="")
        return 0
    folder = Path(args.out)
    _refuse_to_forget(found, folder, config)
    if args.check:
        stale = list(stale_files(found, folder, forms))
        print("\n".join(stale) or f"{folder}: {len(found.accounts)} accounts, as the register has them")
        return 1 if stale else 0
    _write_all(found, folder, forms, args.renew)
    print(f"{folder}: {len(found.accounts)} accounts; let the broker read them: systemctl reload mosquitto")
    return 0


def stale_files(found: AccessList, folder: Path, forms: list[str]) -> Iterator[str]:
    """What is not as it should be, each with its file and the remedy; nothing when all is well."""
    remedy = f"run gateway access-list --out {folder} and reload the broker"
    names = {one.name for one in found.accounts}
    for form in forms:
        file = folder / FORMS[form]
        text = _read(file)
        if text is None:
            yield f"{file}: is not there, or cannot be read; {remedy}"
            continue
        if form == "mosquitto":
            if text != acl_file(found.accounts, desk=found.desk):
                yield f"{file}: is not what the register says{_difference(_users(text), names)}; {remedy}"
            continue
        secret = _read(folder / SECRETS)
        passwords = {} if secret is None else read_passwords(secret)
        if form == "mosquitto-passwords":
            known = dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))
            if known.keys() != names:
                yield f"{file}: is not what the register says{_difference(set(known), names)}; {remedy}"
            elif secret is not None and not all(fits(known[name], passwords.get(name, "")) for name in names):
                yield f"{file}: holds other passwords than {folder / SECRETS}; {remedy}"
        elif secret is not None and (passwords.keys() != names or text != dynamic_security(found, passwords, text)):
            yield f"{file}: is not what the register says; {remedy}"


def _write_all(found: AccessList, folder: Path, forms: list[str], renew: list[str]) -> None:
    names = {one.name for one in found.accounts}
    for name in renew:
        if name not in names:
            raise GatewayError(f"--renew: there is no account {name!r}; the names stand in {FORMS['mosquitto']}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        passwords: dict[str, str] = {}
        if set(forms) - {"mosquitto"}:
            secret = _read(folder / SECRETS, must=(folder / SECRETS).exists())
            known = read_passwords(secret or "")
            passwords = {name: new_password() if name in renew or name not in known else known[name] for name in sorted(names)}
            replace_file(folder / SECRETS, passwords_text(passwords, desk=found.desk), 0o600)
        for form in forms:
            file = folder / FORMS[form]
            before = _read(file) or ""
            if form == "mosquitto":
                replace_file(file, acl_file(found.accounts, desk=found.desk), 0o640)
            elif form == "mosquitto-passwords":
                replace_file(file, password_file(passwords, before), 0o640)
            else:
                replace_file(file, dynamic_security(found, passwords, before), 0o640)
    except OSError as error:
        raise GatewayError(f"{error.filename}: {error.strerror}; name another folder with --out, or run this as who may write there") from error


def replace_file(file: Path, text: str, mode: int) -> None:
    """Put it there whole or not at all; who may read it is settled before a byte is in it, and who owned it goes on owning it."""
    try:
        owned = file.stat()
    except OSError:
        owned = None
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            os.fchmod(opened.fileno(), mode)
            if os.geteuid() == 0:  # Mosquitto reads its files as its own group: that of the folder, or the one that the file had
                group = (owned or file.parent.stat()).st_gid
                os.fchown(opened.fileno(), owned.st_uid if owned else 0, group)
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _tell_left_out(found: AccessList) -> None:
    """One line a file, however many: panels that are not at the broker are in devices.csv, too."""
    by_file: dict[str, list[str]] = defaultdict(list)
    for name, file in found.left_out:
        by_file[file].append(name)
    for file, names in by_file.items():
        shown = f"{', '.join(map(repr, names[:SHOWN]))}{' …' if len(names) > SHOWN else ''}"
        told = f"left out of {file}, as no account can have such a name: {shown} ({len(names)})"
        print(f"{told}; where one is at the broker give it another address, else its line (column line)", file=sys.stderr)


def _refuse_to_forget(found: AccessList, folder: Path, config: Config) -> None:
    """Raises GatewayError where the list in the folder has what was entered at desks and this one would have nothing of it: the disk of the data is
    not mounted, or the database on it is another one."""
    written = [file for file in (folder / FORMS["mosquitto"], folder / SECRETS) if DESK in (_read(file) or "")]
    if written and not found.desk:
        database = f"the database in {config.data_folder}" if config.store.url.startswith("sqlite") else "the database of store.url"
        raise GatewayError(
            f"{database} has nothing of what was entered at desks, and {written[0]} has: those devices"
            " would lose their accounts and passwords. The list stays as it is. Is the disk of the data mounted? If nothing that was entered at"
            f" desks counts any more, take the line {DESK!r} out of {' and '.join(map(str, written))}"
        )


def _register(config: Config) -> tuple[Register, bool]:
    """With what people corrected; is there any of it? Raises StoreBroken when that cannot be read: a device that was entered at a desk would lose
    its account, and its password for good."""
    try:
        with journal_of(config, CATCH_ALL) as store:
            corrected = corrections.load(store.engine)
    except NoJournal:  # nobody has corrected anything yet
        corrected = []
    return read_overlaid(config.district_folder, config.channels, corrected).register, bool(corrected)


def _read(file: Path, *, must: bool = False) -> str | None:
    """None: not there, or not for us. must: then it is an error, as what is in it would be lost."""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if must:
            raise GatewayError(f"{file}: cannot be read, and its passwords would be lost; run this as who may read it, or move it away") from error
        return None


def _users(text: str) -> set[str]:
    return {line.removeprefix("user ") for line in text.splitlines() if line.startswith("user ")}


def _difference(there: set[str], wanted: set[str]) -> str:
    missing, surplus = sorted(wanted - there), sorted(there - wanted)
    told = []
    for word, names in (("lacks", missing), ("still has", surplus)):
        if names:
            told.append(f"{word} {', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''}")
    return f" ({'; '.join(told)})" if told else ""
