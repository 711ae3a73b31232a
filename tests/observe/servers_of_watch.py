"""Debian's Prometheus and Alertmanager, each started by the test on a free loopback port and ended by its process id; and somebody who is called."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from servers import end, program, until
from waiting import free_port

from tests.observe.rules import FOLDER, ROOT

ALERTMANAGER = ROOT / "config" / "alertmanager"


class Prometheus:
    """config/prometheus/ as it is, but for the targets and the pace: every second, and what waits waits one second."""

    def __init__(self, folder: Path, target: str, alertmanager: str = "127.0.0.1:1") -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
        config = config.replace("127.0.0.1:12349", target).replace("127.0.0.1:9093", alertmanager)
        config = re.sub(r"_interval: 15s", "_interval: 1s", config).replace("scrape_timeout: 10s", "scrape_timeout: 1s")
        (folder / "prometheus.yml").write_text(config, encoding="utf-8")
        for path in FOLDER.glob("*.rules.yml"):
            (folder / path.name).write_text(re.sub(r"\bfor: \w+", "for: 1s", path.read_text(encoding="utf-8")), encoding="utf-8")
        self.log = folder / "prometheus.log"
        self._http = httpx.AsyncClient(base_url=f"http://{self.address}", timeout=30, trust_env=False)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Prometheus"]:
        arguments = [
            program("prometheus"),
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'series'}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]
        async with ended_by_pid(arguments, self.log, self.address), self._http:
            while (await self._http.get("/-/ready")).status_code != 200:  # noqa: ASYNC110 another process
                await asyncio.sleep(0.05)
            yield self

    async def query(self, expr: str) -> dict[str, Any]:
        """The answer of the query API, whatever it says."""
        answer: dict[str, Any] = (await self._http.get("/api/v1/query", params={"query": expr})).json()
        return answer

    async def alerts(self) -> dict[str, dict[str, Any]]:
        """Those that fire, by name; of several of one name any."""
        found = (await self._http.get("/api/v1/alerts")).json()["data"]["alerts"]
        return {one["labels"]["alertname"]: one for one in found if one["state"] == "firing"}

    async def rules(self) -> list[dict[str, Any]]:
        groups = (await self._http.get("/api/v1/rules")).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextlib.asynccontextmanager
async def ended_by_pid(arguments: list[str], log: Path, address: str) -> AsyncIterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=out)  # noqa: ASYNC220 forking takes a millisecond

    def listens() -> bool:
        assert process.poll() is None, f"{arguments[0]} ended: {log.read_text()[-2000:]}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0

    try:
        await until(listens, f"{arguments[0]} listens")
        yield
    finally:
        await asyncio.to_thread(end, process)


class Alertmanager:
    """config/alertmanager/ as it is, but for the addresses, and without the patience."""

    def __init__(self, folder: Path, on_call: str) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        config = (ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8").replace("http://127.0.0.1:9095/on-call", on_call)
        config = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", config)
        config = config.replace("mail.example:587", f"127.0.0.1:{free_port()}")  # nobody listens: mail is tried and given up
        config = config.replace("/etc/prometheus/mail.password", str(folder / "mail.password"))
        (folder / "mail.password").write_text("invented")
        (folder / "alertmanager.yml").write_text(config, encoding="utf-8")
        shutil.copy(ALERTMANAGER / "gateway.tmpl", folder)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Alertmanager"]:
        arguments = [
            program("prometheus-alertmanager"),
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'notices'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]
        async with ended_by_pid(arguments, self.folder / "alertmanager.log", self.address):
            yield self


class OnCall:
    """Whoever is rung: keeps what was posted."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                self.told.append(json.loads(handler.rfile.read(int(handler.headers["content-length"]))))
                handler.send_response(200)
                handler.end_headers()

            def log_message(handler, *_: object) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/on-call"

    @contextlib.contextmanager
    def listening(self) -> Iterator["OnCall"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def heard(self, alert: str, status: str = "firing") -> bool:
        return any(one["labels"]["alertname"] == alert and one["status"] == status for call in self.told for one in call["alerts"])
