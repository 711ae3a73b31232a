"""Each fault around a gateway that is to be started, planted for real: the doctor finds it, nothing else, and its advice cures it."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certificates import self_signed
from clinic import PASSWORD, Clinic, quick, sees
from servers import free_port

from gateway.doctor import Level, brokers

__all__ = ["quick"]  # a fixture

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root may mount a disk or give files away")


@pytest.fixture
async def clinic(quick: Path) -> AsyncIterator[Clinic]:
    async with Clinic(quick) as ready:
        yield ready


def let_others_pass(folder: Path) -> None:
    """Into the test's own folder, and those above it that are the tests' own."""
    for one in (folder, *folder.parents):
        if one.name.startswith(("clinic-", "test_", "popen-", "pytest-")) or one == folder:
            one.chmod(0o755)


def database_of(clinic: Clinic) -> Path:
    """A copy of a journal of some entries; the original is in its place."""
    clinic.add_operator()
    copy = clinic.folder / "copy.db"
    shutil.copy(clinic.data / "gateway.db", copy)
    return copy


async def test_a_healthy_house_has_no_faults(clinic: Clinic) -> None:
    found = clinic.findings()
    assert [(one.topic, one.word, one.text()) for one in found if one.level is Level.BAD] == []
    assert {one.word for one in found if one.good} >= {"config_good", "broker_good", "serial_there", "console_good", "disk_free", "stations_good"}
    assert {"data_ours", "secrets_looked_at", "store_to_be_made", "register_readable"} <= {one.word for one in found}


async def test_1_wrong_port_of_the_broker(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = f"mqtt://127.0.0.1:{free_port()}"
    clinic.rewrite(clinic.broker.url, wrong)
    told = clinic.fault("brokers", "broker_unreachable")
    assert told.facts["keys"].count(str(clinic.config)) == 3
    assert "dispatch.mqtt.broker" in told.remedy()
    monkeypatch.setattr(brokers, "USUAL", (clinic.broker.port,))
    told = clinic.fault("brokers", "broker_other_port")
    clinic.rewrite(told.facts["where"], told.facts["other"])
    assert not clinic.faults()


async def test_2_nobody_without_a_name_at_the_broker(clinic: Clinic) -> None:
    """Who gave no name needs one, not a password for "(anonymous)"."""
    text = clinic.config.read_text()
    clinic.config.write_text(re.sub(r'username = "[^"]*", password_file = "[^"]*"', "", text))
    told = clinic.fault("brokers", "broker_login_anonymous")
    assert "(anonymous)" not in told.text() + told.remedy()
    assert "write username and password_file under" in told.remedy()


async def test_2_wrong_password_at_the_broker(clinic: Clinic) -> None:
    clinic.secret.write_text("another one")
    told = clinic.fault("brokers", "broker_login")
    assert PASSWORD not in told.text() + told.remedy()
    Path(told.facts["file"]).write_text(PASSWORD)  # noqa: ASYNC240
    assert not clinic.faults()


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("topic write stations/+/dispatch\n", "broker_may_not_write"),
        ("topic read wearables/+/event\n", "broker_may_not_read"),
        ("topic read stations/+/reply\n", "broker_may_not_read"),
    ],
)
async def test_3_rights_at_the_broker(clinic: Clinic, rule: str, word: str) -> None:
    clinic.rewrite(rule, "", clinic.acl)
    clinic.hang_up_broker()
    told = await clinic.comes("brokers", word)
    with clinic.acl.open("a") as acl:
        acl.write(told.facts["rules"].replace("; ", "\n") + "\n")
    assert told.facts["rules"] in told.remedy()
    clinic.hang_up_broker()
    await sees(lambda: not clinic.faults(), "the broker allows it")


async def test_3_rights_that_nobody_can_try_are_no_fault(clinic: Clinic) -> None:
    """An account that may not write where it listens is as it should be; whether it may read shows with the first device."""
    clinic.rewrite("topic write wearables/self-test/event\n", "", clinic.acl)
    clinic.hang_up_broker()
    await sees(lambda: any(one.word == "broker_reading_untold" for one in clinic.findings(only=("brokers",))), "it is told as unknown")
    assert not clinic.faults()


async def test_4_serial_port_gone(clinic: Clinic) -> None:
    clinic.serial.unplug()
    told = clinic.fault("lines", "serial_gone")
    assert str(clinic.serial.link) in told.text()
    clinic.serial.plug()
    assert not clinic.faults()


@as_root
async def test_4_serial_port_not_ours(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.chown(clinic.data, "nobody")
    let_others_pass(clinic.folder)
    shutil.chown(clinic.secret, "nobody")
    device = clinic.serial.link.resolve()
    device.chmod(0o660)
    shutil.chown(device, "root", "dialout")
    told = clinic.fault("lines", "serial_no_right")
    assert told.remedy().startswith("put nobody into the group dialout: usermod -aG dialout nobody")
    import grp

    dialout = grp.getgrnam("dialout").gr_gid
    # as usermod would: the accounts of the machine on which tests run are not ours to change
    monkeypatch.setattr(os, "getgrouplist", lambda _name, group: [group, dialout])
    assert not clinic.faults()


async def _taken(kind: str, port: int) -> "subprocess.Popen[bytes]":
    """Another program on this port."""
    code = f"import socket,time; s=socket.socket(socket.AF_INET, socket.{kind}); s.bind(('127.0.0.1',{port}))"
    code += "; s.listen()" if kind == "SOCK_STREAM" else ""
    other = subprocess.Popen([sys.executable, "-c", f"{code}; print(1, flush=True); time.sleep(600)"], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert other.stdout is not None
    assert other.stdout.readline() == b"1\n"
    return other


@pytest.mark.parametrize(("word", "kind", "codec"), [("udp", "SOCK_DGRAM", "hep"), ("tcp", "SOCK_STREAM", "surgard")])
async def test_5_port_of_a_line_taken(clinic: Clinic, word: str, kind: str, codec: str) -> None:
    port = free_port(getattr(socket, kind))
    with clinic.config.open("a") as config:
        config.write(f'[[line]]\nname = "more"\ncodec = "{codec}"\nlisten = "{word}:{port}:interface=127.0.0.1"\n')
    assert not clinic.faults()
    other = await _taken(kind, port)
    try:
        told = clinic.fault("lines", "port_taken_by")
        assert f"{clinic.config}: line[4].listen" in told.text()
        command = told.remedy().partition("belongs to: ")[2].partition("   ")[0]
        assert command == f"systemctl status {other.pid}", "whose it is, before anything is ended"
        other.kill()
        other.wait()
        assert not clinic.faults()
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()


async def test_6_port_of_the_console_taken(clinic: Clinic) -> None:
    other = await _taken("SOCK_STREAM", clinic.port)
    try:
        told = clinic.fault("console", "port_taken_by")
        subprocess.run(["kill", told.facts["pid"]], check=True)  # noqa: ASYNC221
        other.wait()
        assert not clinic.faults()
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()


async def test_6_console_reached_from_elsewhere_in_clear(clinic: Clinic) -> None:
    clinic.rewrite(f'listen = "127.0.0.1:{clinic.port}"', f'listen = "0.0.0.0:{clinic.port}"')
    told = clinic.fault("console", "console_in_clear")
    better = f'listen = "127.0.0.1:{clinic.port}"'
    assert better in told.remedy()
    clinic.rewrite(f'listen = "0.0.0.0:{clinic.port}"', better)
    assert not clinic.faults()


@as_root
async def test_7_disk_nearly_full(clinic: Clinic) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "tmpfs", clinic.data], check=False)  # noqa: ASYNC221
    if mounted.returncode:
        pytest.skip("NOT TESTED: this machine lets nobody mount a tmpfs")
    try:
        assert not clinic.faults()
        large = clinic.data / "old.log"
        large.write_bytes(bytes(30 * 2**20))
        told = clinic.fault("disk", "disk_full")
        command = told.remedy().partition("free: ")[2].partition("   ")[0]
        said = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout  # noqa: ASYNC221
        assert str(large) in said, "the command shows what is large"
        large.unlink()
        assert not clinic.faults()
    finally:
        subprocess.run(["umount", clinic.data], check=True)  # noqa: ASYNC221


@pytest.mark.parametrize(("mode", "word"), [(0o755, "data_open"), (0o701, "data_open")])
async def test_14_data_folder_open_to_everybody(clinic: Clinic, mode: int, word: str) -> None:
    clinic.data.chmod(mode)
    told = clinic.fault("rights", word)
    subprocess.run(told.remedy(), shell=True, check=True)  # noqa: ASYNC221
    assert not clinic.faults()


@as_root
async def test_14_a_file_of_the_store_that_root_made(clinic: Clinic) -> None:
    let_others_pass(clinic.folder)
    for one in (clinic.data, clinic.secret, clinic.serial.link.resolve()):
        shutil.chown(one, "nobody")
    assert not clinic.faults()
    database_of(clinic)
    faults = {one.word: one for one in clinic.faults() if one.topic in ("store", "rights")}
    assert set(faults) == {"store_not_writable", "data_file_not_ours"}, "one file, told of where it hurts and of where it lies"
    subprocess.run(faults["data_file_not_ours"].remedy(), shell=True, check=True)  # noqa: ASYNC221
    assert not [one for one in clinic.faults() if one.topic in ("store", "rights")]


async def test_18_a_station_without_a_way_to_it(clinic: Clinic) -> None:
    clinic.rewrite("station-1,one,station,desk,,36.34,102.86,,,100,mqtt,,", "station-1,one,station,desk,,36.34,102.86,,,100,sms,,17400000009",
                   clinic.district / "responders.csv")  # fmt: skip
    told = clinic.fault("stations", "stations_without_channel")
    assert "[dispatch.sms]" in told.remedy()
    assert told.facts["ids"] == "station-1"
    clinic.rewrite("100,sms,,", "100,mqtt,,", Path(told.facts["file"]))
    assert not clinic.faults()


async def test_18_people_about_whom_too_little_is_known_are_to_note(clinic: Clinic) -> None:
    clinic.rewrite("p-1,某人,child,17400000002\n", "", clinic.district / "contacts.csv")
    clinic.rewrite("home-1,,36.34,102.86,", "home-1,,,,", clinic.district / "persons.csv")
    notes = {one.word: one for one in clinic.findings(only=("register",)) if one.level is Level.NOTE}
    assert set(notes) == {"persons_without_place", "persons_without_contact"}
    assert "100%" in notes["persons_without_place"].text()
    assert "1740" not in "".join(one.text() for one in notes.values())
    clinic.rewrite("home-1,,,,", "home-1,,36.34,102.86,", clinic.district / "persons.csv")
    with (clinic.district / "contacts.csv").open("a") as contacts:
        contacts.write("p-1,某人,child,17400000002\n")
    assert all(one.good for one in clinic.findings(only=("register",)))


async def test_23_a_console_without_log_in(clinic: Clinic) -> None:
    clinic.rewrite("no_ears_s = 0", "no_ears_s = 0\naccounts = false")
    told = clinic.fault("console", "console_no_accounts")
    assert "accounts = true" in told.remedy()
    clinic.rewrite("accounts = false", "accounts = true")
    assert not clinic.faults()


async def test_24_a_secret_that_everybody_reads(clinic: Clinic) -> None:
    clinic.secret.chmod(0o644)
    told = clinic.fault("rights", "secret_open")
    command = told.remedy().partition("   ")[0]
    assert command == f"chmod 600 {clinic.secret}"
    subprocess.run(command, shell=True, check=True)  # noqa: ASYNC221
    assert not clinic.faults()


async def test_a_fault_of_the_configuration_is_told_and_nothing_is_guessed_from_it(clinic: Clinic) -> None:
    clinic.rewrite('district = "invented"', 'district = "elsewhere"')
    told = clinic.fault("configuration", "config_fault")
    assert "there is no folder districts/elsewhere" in told.text()
    clinic.rewrite('district = "elsewhere"', 'district = "invented"')
    assert not clinic.faults()


async def test_13_a_journal_that_was_changed_and_a_schema_of_tomorrow(clinic: Clinic) -> None:
    database = clinic.data / "gateway.db"
    copy = database_of(clinic)
    clean = [one.word for one in clinic.findings(only=("journal", "store"))]
    assert clean == ["store_sqlite", "journal_whole"]

    def change(statement: str) -> None:
        with sqlite3.connect(database) as connection:
            connection.execute(statement)
        connection.close()

    change("UPDATE meta SET value = '99' WHERE name = 'schema'")
    (newer,) = [one for one in clinic.findings(only=("journal", "store")) if not one.good]
    assert newer.word == "store_newer"
    assert "restore a backup" in newer.remedy()
    shutil.copy(copy, database)
    change("UPDATE journal SET actor = 'somebody else' WHERE seq = 1")
    (broken,) = [one for one in clinic.findings(only=("journal", "store")) if not one.good]
    assert (broken.word, broken.facts["seq"]) == ("journal_broken", "1")
    said = subprocess.run(broken.facts["verify"], shell=True, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert said.returncode == 1, "the command that it names says the same"
    shutil.copy(copy, database)
    assert [one.word for one in clinic.findings(only=("journal", "store"))] == clean


async def test_13_a_database_that_another_program_holds(clinic: Clinic) -> None:
    database_of(clinic)
    code = f"import sqlite3,time; c=sqlite3.connect({str(clinic.data / 'gateway.db')!r}, isolation_level=None); c.execute('BEGIN IMMEDIATE')"
    other = subprocess.Popen([sys.executable, "-c", f"{code}; print(1, flush=True); time.sleep(600)"], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert other.stdout is not None
    other.stdout.readline()
    try:
        (told,) = [one for one in clinic.findings(only=("store",)) if not one.good]
        assert told.word == "store_locked"
        assert f"({other.pid})" in told.text()
        subprocess.run(["kill", str(other.pid)], check=True)  # noqa: ASYNC221
        other.wait()
        assert all(one.good for one in clinic.findings(only=("store",)))
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


async def test_18_agreements_that_ended_are_to_note(clinic: Clinic) -> None:
    providers = clinic.district / "providers.csv"
    providers.write_text("id,state,since,until\nstation-1,admitted,2020-01-01,2021-12-31\n")
    (told,) = [one for one in clinic.findings(only=("stations",)) if not one.good]
    assert (told.level, told.word, told.facts["ids"]) == (Level.NOTE, "providers_expired", "station-1")
    clinic.rewrite("2021-12-31", told.facts["today"], providers)
    assert all(one.good for one in clinic.findings(only=("stations",)))


async def test_10_the_certificate_of_the_broker_has_ended(clinic: Clinic) -> None:
    port = free_port()

    def issue(days: float) -> None:
        self_signed(clinic.folder, "broker", days=days)

    issue(-1)
    await clinic.broker.stop()
    clinic.broker.add(f"listener {port} 127.0.0.1\ncertfile {clinic.folder}/broker.pem\nkeyfile {clinic.folder}/broker.key\n")
    await clinic.broker.start()
    clinic.rewrite(clinic.broker.url, f"mqtts://localhost:{port}")
    clinic.rewrite('password_file = "broker.password"', 'password_file = "broker.password", ca_file = "broker.pem"')
    clinic.rewrite('"broker.password", ca_file = "broker.pem"\n[[line]]', '"broker.password"\nca_file = "broker.pem"\n[[line]]')
    words = {one.word for one in clinic.faults()}
    assert words == {"broker_tls", "certificate_expired"}, "the broker's, and the very same file by which we know it"
    (told,) = [one for one in clinic.faults() if one.word == "broker_tls"]
    assert "renew the broker's certificate" in told.text()
    issue(300)
    await clinic.broker.stop()
    await clinic.broker.start()
    assert not clinic.faults()
