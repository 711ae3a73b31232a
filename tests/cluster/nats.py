"""One real nats-server with JetStream on a free loopback port, with whatever rights and TLS a test wants; ended by its process id."""

import socket
import subprocess
from pathlib import Path

from servers import free_port, program, until


class NatsServer:
    """extra: lines of its configuration beside port and JetStream. A context manager."""

    def __init__(self, folder: Path, extra: str = "", *, jetstream: bool = True) -> None:
        self.port = free_port()
        self.log = folder / "nats.log"
        self.folder = folder
        self._conf = folder / "nats.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.write(extra, jetstream=jetstream)

    def write(self, extra: str = "", *, jetstream: bool = True) -> None:
        """Another configuration, for the next start or reload."""
        store = f'jetstream {{ store_dir: "{self.folder / "nats"}", max_file: 1G, max_mem: 64M }}\n' if jetstream else ""
        self._conf.write_text(f"listen: 127.0.0.1:{self.port}\n{store}{extra}\n")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> "NatsServer":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([program("nats-server"), "-c", str(self._conf)], stdout=log, stderr=log)  # noqa: ASYNC220
        await until(self._listens, "nats-server listens")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def __aenter__(self) -> "NatsServer":
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        self.stop()
