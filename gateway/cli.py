"""The `gateway` command: one parser, one module a command. Errors are one line on standard error; never a traceback for a person's mistake."""

import argparse
import sys
from collections.abc import Sequence

from gateway import __version__, check, decode, demo, doctor, journal_command, report
from gateway.errors import ConfigError, GatewayError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 fine, 1 not fine, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="gateway", description="From a cry for help on a wire to a human being who has taken charge.")
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    for module in (check, decode, demo, doctor, journal_command, report):
        module.add_parser(commands)
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
        return code
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("run", help="run the gateway until SIGTERM; SIGHUP reads registers and policy again")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from gateway import app, log  # here, so that `gateway decode` need not load the whole house
    from gateway.config import read_config

    log.configure(read_config(args.config).log)
    app.run(args.config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
