"""A cluster each of whose parts has a machine of its own, as far as the network goes: any wire between them can be cut (`wires`).

Consoles are where the operators are, beyond every cut; NATS, PostgreSQL, Mosquitto, edges and cores hang on the switch, too.
"""

from pathlib import Path

from cluster.cluster import Cluster, Plan
from cluster.wires import NETWORK, Wires


class Wired(Cluster):
    """As Cluster. Its ports are the same outside, through windows that no cut closes."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        plan = plan or Plan()
        parts = [("nats", plan.servers), ("e", plan.edges), ("c", plan.cores), ("page", plan.consoles)]
        self.wires = Wires(["postgres", "mosquitto", *(f"{kind}{number}" for kind, count in parts for number in range(count))])
        super().__init__(folder, plan)

    async def __aenter__(self) -> "Wired":
        with self.wires.until_left():
            self._move_in()
            for name, port in self._doors():
                self.wires.window(name, port)
            await super().__aenter__()
        return self

    async def __aexit__(self, *how: object) -> None:
        try:
            await super().__aexit__(*how)
        finally:
            self.wires.remove()

    def configuration(self, page: int, console: int) -> str:
        text = super().configuration(page, console)
        for name, port in [
            ("postgres", self.postgres.port),
            ("mosquitto", self.broker.port),
            *((name, self.servers[name].port) for name in self.nats),
        ]:
            text = text.replace(f"127.0.0.1:{port}", f"{self.wires.address(name)}:{port}")
        return text

    def _doors(self) -> list[tuple[str, int]]:
        """What somebody outside asks."""
        pages = [(name, int(url.rpartition(":")[2])) for name, url in self.pages.items()]
        return [("postgres", self.postgres.port), ("mosquitto", self.broker.port), *pages]

    def _move_in(self) -> None:
        """Every server listens at its place for those at others."""
        with (self.postgres.folder / "pg_hba.conf").open("a") as rights:
            rights.write(f"host all all {NETWORK}.0/24 trust\n")
        self.postgres.command = [*self.postgres.command, "-h", f"127.0.0.1,{self.wires.address('postgres')}"]
        self.broker.add(f"listener {self.broker.port} {self.wires.address('mosquitto')}\n")
        self.broker.before = self.wires.inside("mosquitto", [])
        for name in self.nats:
            file = self.folder / f"{name}.conf"
            text = file.read_text().replace("listen: 127.0.0.1:", f"listen: {self.wires.address(name)}:")
            for other, route in zip(self.nats, self.routes, strict=True):
                text = text.replace(f"nats://127.0.0.1:{route}", f"nats://{self.wires.address(other)}:{route}")
            file.write_text(text)
        for name, server in self.servers.items():
            server.command = self.wires.inside(name, server.command)
