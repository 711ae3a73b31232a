"""Commands as somebody types them, in a thread of this process: to start another one takes longer than what it does."""

import asyncio
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from gateway.cli import main


async def command(file: Path, *words: str, said: str = "") -> tuple[int, str, str]:
    """(exit code, what it printed, what it complained of). said: what is typed; a restore into a folder takes no --config."""
    whole = [*words, *([] if "--to" in words and words[0] == "restore" else ["--config", str(file)])]
    out, complaints = StringIO(), StringIO()

    def run() -> int:
        with redirect_stdout(out), redirect_stderr(complaints), patch("sys.stdin", StringIO(said)), patch("os.setpriority"):
            return main(whole)

    return await asyncio.to_thread(run), out.getvalue(), complaints.getvalue()


async def done(file: Path, *words: str, said: str = "") -> str:
    """What a command printed that must end well; if it does not, the failure has all its words."""
    code, printed, complained = await command(file, *words, said=said)
    assert code == 0, f"gateway {' '.join(words)}: exit {code}\n{printed}\n{complained}"
    return printed
