"""The warm spare: it follows a gateway under load over its real wire, the gateway is killed, one command makes the spare the gateway."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from certificates import self_signed
from house import District, House
from servers import Outsider, until

from gateway.spare_copy import DATABASE, read_state
from gateway.spare_guard import runs
from gateway.store import backup
from tests.house.test_backup import everything

TOKEN = "a long random word"
RATE = 200  # cries a second


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "gateway.cli", *map(str, arguments)]


def done(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


class Pair:
    """A house that may be followed, and the folder of its spare."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house, self.folder = house, folder
        self.token = folder.parent / "spare.token"
        self.token.write_text(TOKEN + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def write_config(self) -> None:
        (self.house.folder / "spare.token").write_text(TOKEN + "\n")
        self.house.config.write_text(self.house.config.read_text() + '[spare]\ntoken_file = "spare.token"\n')

    def start(self, *more: object) -> None:
        with (self.folder.parent / "spare.log").open("ab") as log:
            self.process = subprocess.Popen(
                command("spare", "--from", self.house.console, "--token-file", self.token, "--folder", self.folder, *more), stdout=log, stderr=log
            )

    def kill(self, number: int = signal.SIGKILL) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(15)

    async def has(self, seq: int) -> None:
        """Wait until the spare has shown that it has this entry."""
        await until(lambda: (state := read_state(self.folder)) is not None and state.had.seq >= seq, f"the spare has entry {seq}: {self.said()}")

    def said(self) -> str:
        return (self.folder.parent / "spare.log").read_text()[-2000:]


@contextmanager
def followed(house: House, folder: Path) -> Iterator[Pair]:
    pair = Pair(house, folder)
    pair.write_config()
    try:
        yield pair
    finally:
        pair.kill()


async def cries(witness: Outsider, start: int, count: int, rate: float = RATE) -> None:
    tasks = []
    for number in range(start, start + count):
        event = {"kind": "sos", "ts": 1_790_000_000_000 + number, "seq": number}
        tasks.append(asyncio.create_task(witness.publish(f"wearables/w-{number % 200:06}/event", json.dumps(event))))
        await asyncio.sleep(1 / rate)
    await asyncio.gather(*tasks)


async def follows(house: House) -> bool:
    return await house.metric("gateway_spare_lag_seconds") < 2 and await house.metric("gateway_spare_proven_seq") >= 600


async def accepted(house: House, count: int) -> bool:
    return await house.metric("gateway_events_total", line="wearables", outcome="accepted") >= count


async def test_the_spare_follows_and_takes_over(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    async with House(tmp_path / "house", District(wearables=200)) as house:
        with followed(house, tmp_path / "spare") as pair:
            house.start()
            await house.ready()
            await house.lines_live("wearables")
            witness = await Outsider(house.broker.port).ready()
            pair.start()
            await cries(witness, 0, 600)
            await house.sees(lambda: accepted(house, 600), "all cries are entries")
            await pair.has(600)
            await house.sees(lambda: follows(house), "the spare has had everything within two seconds")

            loading = asyncio.create_task(cries(witness, 600, 400))
            await house.sees(lambda: accepted(house, 800), "the second load has begun")
            refused = await asyncio.to_thread(
                done, "takeover", "--folder", pair.folder, "--config", tmp_path / "etc" / "gateway.toml", "--old-is-off"
            )
            assert refused.returncode == 1
            assert "still answers" in refused.stderr
            house.kill()
            await loading
            witness.close()
            live = backup.prove(house.folder / "data" / "gateway.db")
            assert live.faults == ()

            config = tmp_path / "etc" / "gateway.toml"
            unsure = await asyncio.to_thread(done, "takeover", "--folder", pair.folder, "--config", config)
            assert unsure.returncode == 1
            assert "--old-is-off" in unsure.stderr
            assert pair.process is not None
            assert pair.process.poll() is None
            taken = await asyncio.to_thread(done, "takeover", "--folder", pair.folder, "--config", config, "--old-is-off")
            assert taken.returncode == 0, taken.stderr
            await until(lambda: pair.process is not None and pair.process.poll() is not None, "the spare ended by itself")
            had = backup.prove(tmp_path / "etc" / "data" / "gateway.db")
            assert had.faults == ()
            assert f"the last entry that is here: {had.head.seq}" in taken.stdout
            assert 600 < had.head.seq <= live.head.seq
            with backup.reading(house.folder / "data" / "gateway.db") as connection:
                assert backup.link_at(connection, had.head.seq) == had.head.chain
            assert (tmp_path / "etc" / "districts" / "chaos" / "persons.csv").exists()
            assert (tmp_path / "etc" / "spare.token").exists()
            assert "lost: " in taken.stdout
            again = await asyncio.to_thread(done, "takeover", "--folder", pair.folder, "--config", config, "--old-is-off")
            assert again.returncode == 1
            assert "has taken over already" in again.stderr

            house.config, house.log = config, tmp_path / "second.log"
            house.start()
            await house.ready()
            await house.lines_live("wearables")
            witness = await Outsider(house.broker.port).ready()
            await cries(witness, 5000, 5)
            await house.sees(lambda: accepted(house, 5), "the machine that took over hears the next cries")
            assert await house.unbalanced() == {}
            witness.close()
            assert done("verify", "--config", config).returncode == 0
            assert done("spare", "--from", house.console, "--token-file", pair.token, "--folder", pair.folder).stdout.startswith(
                "this machine has taken"
            )
            second = done("run", "--config", config)
            assert second.returncode == 1
            assert "another gateway is using" in second.stderr


async def test_every_table_is_the_same_through_logs_that_begin_anew_restarts_and_kills(tmp_path: Path) -> None:
    """The log begins anew every 8,000 pages: more than that is written, the spare killed in the middle, the gateway killed and restarted."""
    (tmp_path / "house").mkdir()
    async with House(tmp_path / "house", District(wearables=200)) as house:
        with followed(house, tmp_path / "spare") as pair:
            house.start()
            await house.ready()
            await house.lines_live("wearables")
            witness = await Outsider(house.broker.port).ready()
            pair.start()
            log = house.folder / "data" / "gateway.db-wal"
            generations, sent = {log.read_bytes()[16:24]}, 0
            while len(generations) < 2:
                await cries(witness, sent, 200, rate=2000)
                sent += 200
                if sent == 400:
                    pair.kill()
                    pair.start()
                generations.add(log.read_bytes()[16:24])
                assert sent < 20_000, "the log never began anew"
            await house.sees(lambda: accepted(house, sent), "all cries are entries", 60)
            house.kill()
            house.start()
            await house.ready()
            await house.lines_live("wearables")
            await cries(witness, sent, 50)
            await house.sees(lambda: accepted(house, 50), "all cries are entries")
            witness.close()
            await house.stop()
            house.start()  # a log of another line: what differs of the database is fetched again
            await house.ready()
            await pair.has(backup.prove(house.folder / "data" / "gateway.db").head.seq)
            await house.stop()
            assert pair.kill(signal.SIGTERM) == 0
            proof = backup.prove(pair.folder / "copy" / DATABASE)
            assert proof.faults == ()
            live = everything(house.folder / "data" / "gateway.db")
            copy = everything(pair.folder / "copy" / DATABASE)
            had = proof.head.seq
            assert {name for name in live if live[name] != copy[name]} <= {"journal", "last_seen", "meta", "audit"}  # of the last stop
            assert [row for row in live["journal"] if row[0] <= had] == copy["journal"]  # type: ignore[index]
            assert "Traceback" not in pair.said()


async def test_who_has_no_token_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    async with House(tmp_path / "house", District(wearables=2)) as house:
        with followed(house, tmp_path / "spare") as pair:
            house.start()
            await house.ready()
            pair.token.write_text("a wrong word of some length\n")
            pair.start()
            await until(lambda: "does not know the token" in pair.said(), "it says why")
            assert not (pair.folder / "copy").exists()
            assert await house.metric("gateway_spare_refused_total") > 0
            for what in ("begin", "base", "log", "head", "files", "else"):
                answer = await house.get(f"/api/v1/spare/{what}")
                assert answer is not None
                assert (answer.status_code, answer.json()) == (401, {"reason": "bad_token"})
            async with httpx.AsyncClient(trust_env=False, headers={"Authorization": f"Bearer {TOKEN}", "Via": "1.1 somewhere"}) as client:
                answer = await client.get(f"{house.console}/api/v1/spare/head?seq=0")  # in the clear, and not from this machine itself
            assert (answer.status_code, answer.json()) == (403, {"reason": "not_encrypted"})


async def test_a_machine_whose_other_has_taken_over_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    async with House(tmp_path / "house", District(wearables=2)) as house:
        house.start()
        await house.ready()
        old = tmp_path / "old"
        old.mkdir()
        (old / "gateway.toml").write_text(
            f'[gateway]\ndistrict = "chaos"\ndata = "data"\n[console]\nlisten = "127.0.0.1:1"\n[spare]\nother = "{house.console}"\n'
        )
        District(wearables=2).write(old / "districts" / "chaos")
        refused = done("run", "--config", old / "gateway.toml")
        assert refused.returncode == 1
        assert "it has taken over" in refused.stderr
        assert not (old / "data" / "gateway.db").exists()


async def test_over_tls_whose_certificate_is_known_and_nobody_elses(tmp_path: Path) -> None:
    """The way it goes between two machines: https with the first one's own certificate."""
    (tmp_path / "house").mkdir()
    async with House(tmp_path / "house", District(wearables=2)) as house:
        with followed(house, tmp_path / "spare") as pair:
            for name in ("first", "other"):
                self_signed(house.folder, name)
            text = house.config.read_text().replace("[console]\n", '[console]\ntls_certificate = "first.pem"\ntls_key = "first.key"\n')
            house.config.write_text(text)
            house.console = house.console.replace("http:", "https:")
            house.start()
            await until(lambda: runs(house.console), "the console answers over TLS")
            pair.start("--ca-file", house.folder / "other.pem")
            await until(lambda: "does not answer" in pair.said(), "it does not believe another certificate")
            assert not (pair.folder / "copy").exists()
            pair.kill()
            pair.start("--ca-file", house.folder / "first.pem")
            await pair.has(1)
            status = done("spare", "--status", "--folder", pair.folder)
            assert status.returncode == 0
            assert f"of {house.console}: entry " in status.stdout


@pytest.mark.parametrize("words", ["", "short"])
def test_a_token_that_is_none(tmp_path: Path, words: str) -> None:
    (tmp_path / "t").write_text(words)
    refused = done("spare", "--from", "http://127.0.0.1:1", "--token-file", tmp_path / "t", "--folder", tmp_path / "spare")
    assert refused.returncode == 1
    assert "openssl rand -hex 32" in refused.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["t"]
