"""The `gateway` command: one parser, one module a command. Errors are one line on standard error; never a traceback for a person's mistake."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway import (
    __version__,
    access_list_command,
    account_command,
    backup_command,
    capacity_command,
    check,
    decode,
    demo,
    doctor,
    export_command,
    journal_command,
    link_command,
    mapping_command,
    panel_keys_command,
    providers_command,
    purge_command,
    register_command,
    replay,
    report,
    restore_command,
    self_test_command,
    spare_command,
    takeover_command,
    upward_command,
)
from gateway.errors import ConfigError, GatewayError, GaveWay
from gateway.maps import command as map_command
from gateway.roads import command as roads_command

CHECKOUT, INSTALLED = "config/gateway.toml", "/etc/gateway/gateway.toml"  # of the Debian package; docs/guide/install.md
GAVE_WAY_STATUS = 10  # systemd leaves it at that: RestartPreventExitStatus= in systemd/gateway.service


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 fine, 1 not fine, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="gateway", description="From a cry for help on a wire to a human being who has taken charge.")
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    for module in (
        access_list_command,
        account_command,
        backup_command,
        capacity_command,
        check,
        decode,
        demo,
        doctor,
        export_command,
        journal_command,
        link_command,
        map_command,
        mapping_command,
        panel_keys_command,
        providers_command,
        purge_command,
        register_command,
        replay,
        report,
        restore_command,
        roads_command,
        self_test_command,
        spare_command,
        takeover_command,
        upward_command,
    ):
        module.add_parser(commands)
    args = parser.parse_args(argv)
    if getattr(args, "config", "") == CHECKOUT and not Path(CHECKOUT).exists() and Path(INSTALLED).parent.exists():
        args.config = INSTALLED  # nothing was named, and this is no checkout
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    except GaveWay as error:
        print(f"gateway: {error}", file=sys.stderr)
        return GAVE_WAY_STATUS
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `gateway … | head`: whoever reads has enough; nothing more may be written at the end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a shell tells of SIGPIPE


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("run", help="run the gateway until SIGTERM; SIGHUP reads registers and policy again")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    roles = ("all", "edge", "core", "console")
    parser.add_argument("--role", choices=roles, default="all", help="several machines: only this part (docs/guide/cluster.md)")
    parser.add_argument("--name", default="", help="of this edge (the `edge` of its [[line]]s), core or console")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from gateway import app, log, spare_guard  # here, so that `gateway decode` need not load the whole house
    from gateway.config import read_config

    os.umask(0o077)  # what is made from now on is the gateway's alone: the journal names people
    config = read_config(args.config)
    log.configure(config.log)
    if args.role == "all":
        if config.bus.servers:
            roles = "--role edge, core or console"
            raise ConfigError([f"{args.config}: bus.servers: this is one of several machines; say {roles}, or take [bus] out"])
        spare_guard.refuse_if_other_runs(config)
        app.run(args.config)
    else:
        from gateway import node

        node.run(args.role, args.config, args.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
