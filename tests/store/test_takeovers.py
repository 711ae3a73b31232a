"""A real PostgreSQL and its standby: who writes on the standby after its promotion has one take-over more, the old server keeps its number."""

import getpass
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers import free_port, postgres_command
from sqlalchemy import create_engine, text
from waiting import wait_until

from gateway.errors import StoreDown
from gateway.store.store import Store
from gateway.store.takeovers import takeovers

STARTS_S = 120.0


def asked(port: int, sql: str, role: str = "postgres") -> object:
    engine = create_engine(
        f"postgresql+psycopg://{role}@127.0.0.1:{port}/postgres", isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5}
    )
    try:
        with engine.connect() as connection:
            found = connection.execute(text(sql))
            return found.scalar() if found.returns_rows else None
    except Exception:
        return None
    finally:
        engine.dispose()


@contextmanager
def serving(command: list[str], log: Path) -> Iterator[None]:
    with log.open("ab") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, cwd="/")
    try:
        yield
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


async def up(port: int, is_standby: bool) -> None:
    await wait_until(lambda: asked(port, "SELECT pg_is_in_recovery()") is is_standby, "PostgreSQL answers", STARTS_S, 0.1)


def standby_of(command: list[str], folder: Path, port: int, new_port: int) -> list[str]:
    """A copy of the running server that follows it: the command that serves it. `command`: of the first, whose folder and port are replaced."""
    tool = str(Path(next(word for word in command if word.endswith("/postgres"))).parent / "pg_basebackup")
    own = command[: next(index for index, word in enumerate(command) if word.endswith("/postgres"))]
    there = folder / "second"
    there.mkdir(mode=0o700)
    if getpass.getuser() == "root":
        subprocess.run(["chown", "postgres", str(there)], check=True)
    copying = [*own, tool, "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-D", str(there), "-R", "-X", "stream", "--checkpoint=fast"]
    subprocess.run(copying, check=True, cwd="/", timeout=300)
    return [word.replace(str(folder / "first"), str(there)).replace(str(port), str(new_port)) for word in command]


async def test_a_promoted_standby_counts_one_take_over_and_the_old_server_none(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    command = postgres_command(tmp_path / "first", first)
    both = f"postgresql://gateway@/postgres?host=127.0.0.1:{first}&host=127.0.0.1:{second}&target_session_attrs=read-write"
    with ExitStack() as house:
        with serving(command, tmp_path / "first.log"):
            await up(first, False)
            asked(first, "CREATE ROLE gateway LOGIN")  # no superuser
            asked(first, "GRANT ALL ON SCHEMA public TO gateway")
            running = Store(both, tmp_path)
            running.open()
            house.callback(running.close)
            assert takeovers(running.engine) == 0, "a first start is none"
            told: list[int] = []
            running.taken_over = told.append
            house.enter_context(serving(standby_of(command, tmp_path, first, second), tmp_path / "second.log"))
            await up(second, True)
        asked(second, "SELECT pg_promote()")
        await up(second, False)

        def writes() -> bool:
            try:
                running.probe()
            except StoreDown:
                return False
            return True

        await wait_until(writes, "who was running writes on the second", STARTS_S, 0.1)
        assert (takeovers(running.engine), told) == (1, [1]), "the spare's guard hears of it at once"

        house.enter_context(serving(command, tmp_path / "first.log"))
        await up(first, False)
        for port, count in ((first, 0), (second, 1)):
            if port == second:
                running.close()
            store = Store(f"postgresql://gateway@127.0.0.1:{port}/postgres", tmp_path)
            store.open()
            assert takeovers(store.engine) == count, "once, and only there"
            store.close()
