"""The doctor beside a gateway that runs: all is well, and what only such a gateway can have; each fault is cured by what is said."""

import os
import resource
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import self_signed
from clinic import OWN, Clinic, quick
from servers import START_S
from waiting import BEFORE_THE_SERVER, WAIT_S
from websockets.asyncio.client import connect

import drivers.mqtt
from gateway.doctor import Level
from gateway.spare_guard import GAVE_WAY

__all__ = ["quick"]  # a fixture
AS_A_PAGE: dict[str, Any] = {"trust_env": False, "timeout": WAIT_S, "limits": BEFORE_THE_SERVER}


@pytest.fixture
async def clinic(quick: Path) -> AsyncIterator[Clinic]:
    async with Clinic(quick) as ready:
        ready.add_operator()
        yield ready


def shell(command: str) -> None:
    """What a person types at the prompt; a gateway that it starts is left to run."""
    subprocess.run(command, shell=True, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=START_S)


def start_as_told(clinic: Clinic, command: str) -> None:
    """`…; gateway run …`: what comes before it is done, the gateway itself becomes the test's."""
    before, found, run = command.rpartition("; ")
    if found:
        subprocess.run(before, shell=True, check=True, timeout=START_S)
        if clinic.process is not None:
            clinic.process.wait(START_S)
    with clinic.log.open("ab") as log:
        clinic.process = subprocess.Popen(run.split(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


async def test_a_healthy_running_house_has_no_faults_and_is_not_disturbed(clinic: Clinic) -> None:
    await clinic.start()
    began = time.monotonic()
    found = clinic.findings()
    took = time.monotonic() - began
    assert [(one.topic, one.word, one.text()) for one in found if one.level is Level.BAD] == []
    assert {"gateway_runs", "register_in_force", "line_live", "broker_good", "store_sqlite", "journal_whole", "files_enough", "accounts_good"} <= {
        one.word for one in found
    }
    assert took < START_S, "it waits for nothing in vain when all is well"
    assert clinic.process is not None
    assert clinic.process.poll() is None
    told = clinic.log.read_text()
    assert "error" not in told.lower(), told
    for language in ("en", "zh-CN"):
        assert clinic.run("doctor", "--language", language).returncode == 0
    assert "1740" not in clinic.run("doctor").stdout, "no personal data"


async def test_16_a_gateway_that_does_not_run(clinic: Clinic) -> None:
    told = clinic.fault("gateway", "gateway_not_running")
    start_as_told(clinic, told.remedy().partition("   ")[0])
    await clinic.well()


async def test_16_a_gateway_that_gave_way(clinic: Clinic) -> None:
    mark = clinic.data / GAVE_WAY
    mark.write_text("2026-11-22T03:00:00Z to second.example\n")
    told = clinic.fault("gateway", "gateway_gave_way")
    assert "second.example" in told.text()
    assert str(mark) in told.remedy()
    mark.unlink()
    clinic.fault("gateway", "gateway_not_running")


async def test_16_a_gateway_that_hangs(clinic: Clinic) -> None:
    await clinic.start()
    assert clinic.process is not None
    clinic.process.send_signal(signal.SIGSTOP)
    told = clinic.fault("gateway", "gateway_hangs")
    assert told.facts["pid"] == str(clinic.process.pid)
    start_as_told(clinic, told.remedy().partition("   ")[0])
    await clinic.well()


async def test_16_another_version_runs_than_is_installed(clinic: Clinic) -> None:
    older = clinic.folder / "older"
    older.mkdir()
    (older / "sitecustomize.py").write_text("import gateway\ngateway.__version__ = '0.0.9'\n")
    await clinic.start({"PYTHONPATH": str(older)}, waits=False)
    told = await clinic.comes("gateway", "gateway_other_version")
    assert told.facts["runs"] == "0.0.9"
    start_as_told(clinic, told.remedy())
    await clinic.well()


async def test_11_a_line_that_is_silent(clinic: Clinic) -> None:
    clinic.rewrite('codec = "espa444"', 'codec = "espa444"\nsilence_s = 2\noptions = { poll_silence_s = 0 }')
    await clinic.start(waits=False)
    told = await clinic.comes("lines", "line_silent")
    assert "longer than 2 s" in told.text()
    enough = threading.Event()

    def talk() -> None:
        """In a thread: a look of the doctor keeps the loop busy."""
        while not enough.wait(0.05):
            clinic.serial.write(b"1\x05")

    talking = threading.Thread(target=talk)
    talking.start()  # the cable is in again: the panel polls
    try:
        await clinic.well("lines")
    finally:
        enough.set()
        talking.join()


async def test_11_a_dead_line(clinic: Clinic) -> None:
    """Its port was taken when the gateway started; what it knows is told with who has the port."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with clinic.config.open("a") as config:
            config.write(f'[[line]]\nname = "pbx"\ncodec = "hep"\nlisten = "udp:{port}:interface=127.0.0.1"\n')
        await clinic.start(waits=False)
        told = await clinic.comes("lines", "port_taken_by")
        assert told.facts["pid"] == str(os.getpid())
    await clinic.well("lines")  # whoever had it is gone: it comes back by itself


async def test_12_a_stale_and_a_faulty_register(clinic: Clinic) -> None:
    await clinic.start()
    persons = clinic.district / "persons.csv"
    before = persons.read_text()
    persons.write_text(before.replace("36.34,102.86,17400000001", "36.35,102.87,17400000001"))
    told = clinic.fault("register", "register_stale")
    shell(told.remedy())
    await clinic.well()
    persons.write_text(before.replace("self_caring", "very_able"))
    told = clinic.fault("register", "register_faulty_kept")
    assert "persons.csv" in told.text()
    persons.write_text(before)
    shell((await clinic.comes("register", "register_stale")).remedy())
    await clinic.well()


async def test_10_certificates_of_the_console(clinic: Clinic) -> None:
    def issue(days: float) -> None:
        self_signed(clinic.folder, "console", days=days)

    issue(200)
    clinic.rewrite("no_ears_s = 0", 'no_ears_s = 0\ntls_certificate = "console.pem"\ntls_key = "console.key"')
    await clinic.start()
    assert not clinic.faults()
    issue(-1)
    told = clinic.fault("certificates", "certificate_expired")
    assert "renew it and put the new one" in told.remedy()
    issue(10)
    (near,) = [one for one in clinic.findings(only=("certificates",)) if not one.good]
    assert (near.level, near.word) == (Level.NOTE, "certificate_ends")
    key = clinic.folder / "console.key"
    before = key.read_bytes()
    issue(200)
    key.write_bytes(before)
    told = clinic.fault("certificates", "certificate_other_key")
    issue(200)
    await clinic.well()
    (clinic.folder / "console.key").write_text("no key")
    clinic.fault("certificates", "certificate_bad_key")
    issue(200)
    await clinic.well()


async def test_17_nobody_who_could_log_in(quick: Path) -> None:
    async with Clinic(quick) as clinic:
        await clinic.start()
        told = clinic.fault("people", "accounts_none")
        command = told.remedy().replace("LOGIN", "wanghong").replace("NAME", "王红")
        subprocess.run(command, shell=True, check=True, input=f"{OWN}\n{OWN}\n", text=True, timeout=START_S, stdout=subprocess.DEVNULL)  # noqa: ASYNC221
        told = clinic.fault("people", "accounts_never_used")
        assert f"log in at 127.0.0.1:{clinic.port}" in told.remedy()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{clinic.port}", **AS_A_PAGE) as page:
            csrf = (await page.get("/api/v1/session")).json()["csrf"]
            answer = await page.post("/api/v1/login", json={"login": "wanghong", "password": OWN}, headers={"x-csrf": csrf})
            assert answer.status_code == 200, answer.text
            csrf = (await page.get("/api/v1/session")).json()["csrf"]
            changed = await page.post("/api/v1/password", json={"old": OWN, "new": "four other words entirely"}, headers={"x-csrf": csrf})
            assert changed.status_code == 200, changed.text
        await clinic.well()


async def test_17_nobody_hears(clinic: Clinic) -> None:
    clinic.rewrite("no_ears_s = 0", "no_ears_s = 3600")
    await clinic.start(waits=False)
    told = await clinic.comes("people", "ears_none")
    assert "come on duty and switch the sound on" in told.remedy()
    where = f"127.0.0.1:{clinic.port}"
    async with httpx.AsyncClient(base_url=f"http://{where}", **AS_A_PAGE) as page:
        csrf = (await page.get("/api/v1/session")).json()["csrf"]
        await page.post("/api/v1/login", json={"login": "wanghong", "password": OWN}, headers={"x-csrf": csrf})
        csrf = (await page.get("/api/v1/session")).json()["csrf"]
        await page.post("/api/v1/duty", json={"name": "王红"}, headers={"x-csrf": csrf})
        cookie = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
        origin = f"http://{where}"
        async with connect(f"ws://{where}/api/v1/feed", additional_headers={"Cookie": cookie, "Origin": origin}) as link:  # type: ignore[arg-type]
            await link.send('{"ears":true}')
            await clinic.well()


async def test_22_few_open_files(clinic: Clinic) -> None:
    await clinic.start()
    assert clinic.process is not None
    before = resource.prlimit(clinic.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(clinic.process.pid, resource.RLIMIT_NOFILE, (256, before[1]))
    told = clinic.fault("limits", "files_few")
    assert "ulimit -n 65536" in told.remedy()
    command = f"ulimit -n {min(65536, before[1])}; {told.facts['restart'].partition('; ')[2]}"
    clinic.process.terminate()
    clinic.process.wait(START_S)
    with clinic.log.open("ab") as log:
        clinic.process = subprocess.Popen(["bash", "-c", command.replace("; ", "; exec ")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: ASYNC220
    await clinic.well()


async def test_20_no_backup_and_an_old_one(clinic: Clinic) -> None:
    await clinic.start()
    elsewhere = clinic.folder / "backups"

    def look() -> list[tuple[Level, str]]:
        return [(one.level, one.word) for one in clinic.findings(only=("backups",), backups=(str(elsewhere),))]

    (none,) = clinic.findings(only=("backups",))
    assert (none.level, none.word) == (Level.NOTE, "backups_none")
    assert look() == [(Level.BAD, "backups_none_there")]
    (told,) = clinic.findings(only=("backups",), backups=(str(elsewhere),))
    shell(told.facts["command"])
    assert look() == [(Level.NOTE, "backups_beside")], "one disk in this test"
    (made,) = elsewhere.glob("*.tar")
    old = time.time() - 3 * 86_400
    os.utime(made, (old, old))
    assert look() == [(Level.BAD, "backups_old")]
    (told,) = clinic.findings(only=("backups",), backups=(str(elsewhere),))
    shell(told.facts["command"])
    assert look() == [(Level.NOTE, "backups_beside")]


async def test_21_the_self_test_misses_a_line(clinic: Clinic) -> None:
    clinic.rewrite("topic write wearables/self-test/event\n", "", clinic.acl)
    clinic.hang_up_broker()
    with clinic.config.open("a") as config:
        config.write("[self_test]\nevery_s = 4\nwithin_s = 3\n")
    await clinic.start(waits=False)
    told = await clinic.comes("self-test", "self_test_missed")
    assert told.facts["line"] == "wearables"
    assert "its rights there" in told.remedy()
    with clinic.acl.open("a") as acl:
        acl.write("topic write wearables/self-test/event\n")
    clinic.hang_up_broker()
    await clinic.well()


async def test_13_restoring_the_newest_backup_cures_a_broken_chain(clinic: Clinic) -> None:
    assert clinic.run("backup", "--to", str(clinic.folder / "good.tar")).returncode == 0
    with sqlite3.connect(clinic.data / "gateway.db") as database:
        database.execute("UPDATE journal SET actor = 'somebody else' WHERE seq = 1")
    database.close()
    (told,) = [one for one in clinic.findings(only=("journal",)) if not one.good]
    assert told.word == "journal_broken"
    assert "gateway restore --replace" in told.remedy()
    done = clinic.run("restore", "--replace", "--data-only", str(clinic.folder / "good.tar"))
    assert done.returncode == 0, done.stderr
    assert [one.word for one in clinic.findings(only=("journal",))] == ["journal_whole"]


async def test_19_a_mapping_profile_that_is_not_in_use(clinic: Clinic) -> None:
    shipped = (Path(drivers.mqtt.__file__).parent / "profiles" / "owntracks.toml").read_text(encoding="utf-8")
    own = clinic.folder / "mappings" / "own.toml"
    own.parent.mkdir()
    good = shipped.replace('name = "owntracks"', 'name = "own"')
    own.write_text(good.replace("[[rule]]", "[[rul]]", 1))
    with clinic.acl.open("a") as acl:
        acl.write("topic read owntracks/#\n")
    clinic.hang_up_broker()
    with clinic.config.open("a") as config:
        login = f'username = "gateway", password_file = "{clinic.secret}"'
        config.write(f'[[line]]\nname = "phones"\ncodec = "mapping"\nbroker = "{clinic.broker.url}"\n')
        config.write(f'options = {{ {login}, mappings = ["own", "minew"] }}\n')
    with clinic.acl.open("a") as acl:
        acl.write("topic read #\n")
    clinic.hang_up_broker()
    await clinic.start(waits=False)
    told = await clinic.comes("lines", "profile_refused")
    assert "own.toml" in told.text()
    own.write_text(good)
    start_as_told(clinic, told.remedy().partition("then ")[2])
    await clinic.well()
