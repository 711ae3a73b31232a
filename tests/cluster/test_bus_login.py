"""Logging in to real NATS servers: with user, password and TLS; and what is said, once and with the key to correct, when that does not do."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster.nats import NatsServer
from security.authority import Authority
from servers import until
from structlog.testing import capture_logs

from gateway.bus.login import login_of
from gateway.bus.nats_bus import NatsBus
from gateway.bus.together import end
from gateway.config import BusConfig
from gateway.errors import ConfigError

ACCOUNT = 'authorization { users: [{ user: "gateway", password: "let-me-in" }] }'
OTHER = 'authorization { users: [{ user: "gateway", password: "another" }] }'


def config(folder: Path, url: str, password: str = "", ca: str = "") -> BusConfig:
    if password:
        (folder / "bus.password").write_text(f"{password}\n")
    user, file = ("gateway", "bus.password") if password else ("", "")
    return BusConfig(servers=(url,), user=user, password_file=file, ca_file=ca, shards=1, replicas=1, max_mib=64)


def tls(folder: Path, authority: Authority) -> str:
    issued = authority.issue("nats", hosts=("localhost",))
    return f'tls {{ cert_file: "{issued.certificate}", key_file: "{issued.key}" }}'


@asynccontextmanager
async def dialling(bus: NatsBus) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(bus.connect())
    try:
        yield task
    finally:
        await end([task])
        await bus.close()


def warnings(logged: Sequence[Any]) -> list[str]:
    return [str(entry.get("reason")) for entry in logged if entry["log_level"] == "warning"]


async def test_user_and_password_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with NatsServer(tmp_path, f"{ACCOUNT}\n{tls(tmp_path, authority)}") as server:
        bus = NatsBus(config(tmp_path, f"tls://localhost:{server.port}", "let-me-in", authority.certificate.name), tmp_path, "test")
        with capture_logs() as logged:
            async with dialling(bus) as task:
                await asyncio.wait_for(task, 10)
                await bus.see_to_streams()
                await bus.keep(0, "one", b"\x94\x00")
                assert await bus.last(0) == 1
        assert warnings(logged) == []


async def test_a_wire_with_tls_that_was_cut_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever would say goodbye over it waits for an answer for as long as asyncio allows."""
    monkeypatch.setattr("asyncio.constants.SSL_SHUTDOWN_TIMEOUT", 3600.0)
    authority = Authority(tmp_path)
    async with NatsServer(tmp_path, tls(tmp_path, authority)) as server:
        ends: list[asyncio.StreamWriter] = []
        is_cut = asyncio.Event()

        async def passing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", server.port)
            mine = len(ends)
            ends.extend((writer, back))

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    if not (mine == 0 and is_cut.is_set()):  # the first of all
                        sink.write(data)

            await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

        wire = await asyncio.start_server(passing, "127.0.0.1", 0)
        port = wire.sockets[0].getsockname()[1]
        bus = NatsBus(config(tmp_path, f"tls://localhost:{port}", ca=authority.certificate.name), tmp_path, "test")
        try:
            with capture_logs() as logged:
                await asyncio.wait_for(bus.connect(), 10)
                await bus.see_to_streams()
                is_cut.set()
                await until(lambda: any(entry["event"] == "bus_found" for entry in logged), "it is with the server again, by another connection", 60)
                await bus.keep(0, "one", b"\x94\x00")
        finally:
            await bus.close()
            wire.close()
            for one in ends:
                one.transport.abort()
            await asyncio.gather(*(one.wait_closed() for one in ends), return_exceptions=True)


@pytest.mark.parametrize(
    ("rights", "password", "word"),
    [
        (ACCOUNT, "wrong", "correct bus.user and bus.password_file"),
        (ACCOUNT, "", "bus.user: write one, with bus.password_file"),
    ],
)
async def test_a_refusal_is_told_once_with_its_key_and_ends_when_the_server_lets_us_in(tmp_path: Path, rights: str, password: str, word: str) -> None:
    async with NatsServer(tmp_path, rights) as server:
        bus = NatsBus(config(tmp_path, server.url, password), tmp_path, "test")
        with capture_logs() as logged:
            async with dialling(bus) as task:
                await until(lambda: server.log.read_text().count("authentication error") >= 3, "it was refused three times")
                assert sum(word in one for one in warnings(logged)) == 1, "told once"
                assert "let-me-in" not in str(logged)
                assert password == "" or password not in str(logged)
                server.write('authorization { users: [{ user: "gateway", password: "wrong" }] }' if password else "")
                server.signal(signal.SIGHUP)
                await asyncio.wait_for(task, 10)
        assert [entry["event"] for entry in logged if entry["log_level"] == "info"] == ["bus_found"]


async def test_a_certificate_of_somebody_else_is_not_trusted(tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    async with NatsServer(tmp_path, tls(tmp_path, Authority(tmp_path))) as server:
        bus = NatsBus(config(tmp_path, f"tls://localhost:{server.port}", ca=other.certificate.name), tmp_path, "test")
        with capture_logs() as logged:
            async with dialling(bus):
                await until(lambda: warnings(logged), "it is told")
        assert "is not trusted" in warnings(logged)[0]
        assert "correct bus.ca_file" in warnings(logged)[0]


async def test_where_tls_is_wanted_no_password_leaves_in_clear(tmp_path: Path) -> None:
    """Somebody between us and the server may say that it speaks no TLS."""
    authority = Authority(tmp_path)
    async with NatsServer(tmp_path, f"{ACCOUNT}\ntrace: true\nlogtime: false") as server:
        bus = NatsBus(config(tmp_path, f"tls://localhost:{server.port}", "let-me-in", authority.certificate.name), tmp_path, "test")
        with capture_logs() as logged:
            async with dialling(bus):
                await until(lambda: warnings(logged), "it is told")
        assert "does not speak TLS" in warnings(logged)[0]
        assert "CONNECT" not in server.log.read_text()


async def test_a_server_that_wants_tls_and_a_configuration_without(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, tls(tmp_path, Authority(tmp_path))) as server:
        bus = NatsBus(config(tmp_path, server.url), tmp_path, "test")
        with capture_logs() as logged:
            async with dialling(bus):
                await until(lambda: warnings(logged), "it is told")
        assert "bus.ca_file" in warnings(logged)[0]


async def test_whoever_loses_the_right_while_connected_ends_and_begins_anew(tmp_path: Path) -> None:
    """The client would stay closed for ever; systemd starts the process again, which then says what is wrong."""
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom gateway.bus.nats_bus import NatsBus\nfrom gateway.config import BusConfig\n"
        "async def main():\n"
        " bus = NatsBus(BusConfig(servers=(sys.argv[1],), user='gateway', password_file='bus.password', shards=1), Path(sys.argv[2]), 't')\n"
        " await bus.connect()\n print('in', flush=True)\n await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    config(tmp_path, "", "let-me-in")
    async with NatsServer(tmp_path, ACCOUNT) as server:
        with subprocess.Popen([sys.executable, "-c", code, server.url, str(tmp_path)], stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
            try:
                assert process.stdout is not None
                assert await asyncio.to_thread(process.stdout.readline) == b"in\n"
                server.write(OTHER)
                server.signal(signal.SIGHUP)
                await until(lambda: process.poll() is not None, "it has ended")
                assert process.returncode == os.EX_TEMPFAIL
                assert b"correct bus.user and bus.password_file" in await asyncio.to_thread(process.stdout.read)
            finally:
                process.kill()


def test_files_that_cannot_be_used_name_their_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bus\.password_file: .*cannot be read"):
        login_of(BusConfig(servers=("nats://h:1",), user="gateway", password_file="gone"), tmp_path)
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"bus\.ca_file: .*in PEM"):
        login_of(BusConfig(servers=("tls://h:1",), ca_file="no.pem"), tmp_path)
