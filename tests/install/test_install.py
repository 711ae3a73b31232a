"""The package in a bare Debian that is really booted: installed by apt, run by systemd behind its own walls, used, upgraded, removed."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.install.bare_machine import ROOT, Machine

pytestmark = pytest.mark.timeout(900)  # the first test waits for debootstrap: a minute alone, several on a busy machine

UNITS = sorted(path.name for path in (ROOT / "systemd").iterdir() if path.suffix in (".service", ".socket", ".timer"))
SLOW_DISK = "提交耗时中位数"  # of gateway.doctor.words, commit_slow
MOST_EXPOSED = 2.0  # of 10, by systemd-analyze security

# A witness that shares no code with the gateway: host, port, account, password, topic, payload; with TLS by the broker's authority.
PUBLISH = """
import sys
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
port, account, password, topic, payload = sys.argv[1:]
client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
if account:
    client.username_pw_set(account, password)
if port == "8883":
    client.tls_set("/etc/mosquitto/gateway/ca.crt")
def connected(client, data, flags, reason, properties):
    if reason.is_failure:
        print(reason)
        client.disconnect()
    else:
        client.publish(topic, payload, qos=1)
def published(client, data, mid, reason, properties):
    print(reason)
    client.disconnect()
client.on_connect, client.on_publish = connected, published
client.connect("localhost", int(port))
client.loop_forever(retry_first_connection=False)
"""

# DC-09: one message over TCP, and what the receiver answers.
REPORT = """
import socket
def crc(data):
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value
body = b'"SIA-DCS"0001L0#1234[#1234|Nri1/PA01]'
with socket.create_connection(("127.0.0.1", 10501), 60) as panel:
    panel.sendall(b"\\n%04X%04X%s\\r" % (crc(body), len(body), body))
    print(panel.recv(200))
"""


def settings(machine: Machine, unit: str, *names: str) -> dict[str, str]:
    shown = machine.run("systemctl", "show", unit, *(f"--property={name}" for name in names))
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def publish(machine: Machine, port: int, account: str, password: str, topic: str, payload: str = '{"kind":"sos"}') -> str:
    return machine.python(PUBLISH, str(port), account, password, topic, payload).strip()


def reloads(machine: Machine) -> int:
    return machine.run("journalctl", "-u", "gateway", "-o", "cat").count("configuration in force")


def is_listening(machine: Machine, port: int) -> bool:
    return f":{port:04X} 00000000:0000 0A " in machine.run("cat", "/proc/net/tcp")


def register(machine: Machine, file: str, row: str) -> None:
    """Enter a row, as an editor run by root would."""
    with (machine.root / "var/lib/gateway/districts/ours" / file).open("a", encoding="utf-8") as opened:
        opened.write(row + "\n")


def test_who_and_what_is_there(installed: Machine) -> None:
    assert re.search(r"uid=\d+\(gateway\) gid=\d+\(gateway\) groups=\d+\(gateway\),20\(dialout\)", installed.run("id", "gateway"))
    assert installed.run("getent", "passwd", "gateway").strip().endswith(":/usr/sbin/nologin")
    stat = installed.run(
        "stat",
        "--format=%a %U:%G %n",
        *("/etc/gateway", "/etc/gateway/gateway.toml", "/etc/gateway/secrets/mqtt-password", "/var/lib/gateway", "/var/lib/gateway/districts/ours"),
        *("/etc/mosquitto/gateway/ca.key", "/etc/mosquitto/gateway/server.key", "/etc/mosquitto/gateway/passwords", "/etc/mosquitto/gateway/topics"),
    )
    assert stat.splitlines() == [
        "750 root:gateway /etc/gateway",
        "640 root:gateway /etc/gateway/gateway.toml",
        "640 root:gateway /etc/gateway/secrets/mqtt-password",
        "700 gateway:gateway /var/lib/gateway",
        "700 gateway:gateway /var/lib/gateway/districts/ours",
        "600 root:root /etc/mosquitto/gateway/ca.key",
        "640 root:mosquitto /etc/mosquitto/gateway/server.key",
        "640 root:mosquitto /etc/mosquitto/gateway/passwords",
        "640 root:mosquitto /etc/mosquitto/gateway/topics",
    ]
    journal = installed.run("systemd-analyze", "cat-config", "systemd/journald.conf")
    assert "\nSystemMaxUse=4G\n" in journal
    assert "\nStorage=persistent\n" in journal


def test_units(installed: Machine) -> None:
    assert installed.run("systemd-analyze", "verify", "--man=no", *UNITS) == ""
    for unit in UNITS:
        wanted = "enabled" if unit == "gateway.service" or unit.endswith(".timer") else "disabled"
        state = installed.run("systemctl", "is-enabled", unit, code=None).strip()
        assert state == wanted or state == "static", unit
    for unit in (unit for unit in UNITS if unit.endswith(".service")):
        told = installed.run("systemd-analyze", "security", "--no-pager", unit.replace("@.", "@one."))
        exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
        assert exposure is not None
        assert float(exposure[1]) <= MOST_EXPOSED, told


async def test_it_runs_behind_its_walls(installed: Machine) -> None:
    await installed.comes_true(lambda: settings(installed, "gateway", "SubState") == {"SubState": "running"}, "the gateway runs")
    await installed.comes_true(lambda: all(is_listening(installed, port) for port in (12349, 1883, 8883)), "console and broker listen")
    facts = settings(installed, "gateway", "MainPID", "NRestarts", "WatchdogUSec", "StatusText")
    assert (facts["NRestarts"], facts["WatchdogUSec"]) == ("0", "30s")
    assert facts["StatusText"].startswith("2 lines")
    status = dict(line.split(":\t") for line in installed.run("cat", f"/proc/{facts['MainPID']}/status").splitlines() if ":\t" in line)
    assert (status["Seccomp"], status["NoNewPrivs"], status["CapBnd"], status["CapEff"]) == ("2", "1", "0" * 16, "0" * 16)
    assert status["Uid"].split()[0] == installed.run("id", "-u", "gateway").strip()
    inside = ["nsenter", f"--target={facts['MainPID']}", "--mount", "--"]
    for path in ("/usr/x", "/etc/gateway/x", "/var/lib/mosquitto/x"):
        assert "Read-only file system" in installed.run(*inside, "touch", path, code=1)
    installed.run(*inside, "touch", "/var/lib/gateway/x")
    installed.run(*inside, "rm", "/var/lib/gateway/x")
    assert installed.run(*inside, "ls", "-A", "/root", "/home", code=None).count("deb") == 0
    listening = installed.run("cat", "/proc/net/tcp")
    for port, addresses in ((12349, {"0100007F"}), (1883, {"0100007F"}), (8883, {"00000000"})):
        assert set(re.findall(rf"(\w{{8}}):{port:04X} \w+:\w+ 0A ", listening)) == addresses, port


async def test_ten_minutes_from_the_package_to_a_call_for_help(installed: Machine) -> None:
    """The guide's way: an account, a person with a pendant, the pendant's password, a press over TLS, the incident."""
    said = installed.run("gateway", "account", "add", "chief", "--name", "值班长", "--role", "admin", given="so many words make a password\n")
    assert "chief" in said
    register(installed, "persons.csv", "p-1,李桂兰,1940,ours" + "," * 19)
    register(installed, "devices.csv", "w-0001,wearables,p-1" + "," * 8)
    register(installed, "devices.csv", "w-0002,wearables,p-1" + "," * 8)
    installed.run("gateway", "check")
    before = reloads(installed)
    installed.run("systemctl", "reload", "gateway")
    await installed.comes_true(lambda: reloads(installed) > before, "the register is in force")
    password = installed.run("gateway-broker", "show", "w-0001").strip().splitlines()[-1]
    assert publish(installed, 8883, "w-0001", password, "wearables/w-0001/event") == "Success"
    await installed.comes_true(lambda: "sos" in installed.run("gateway", "journal", "show"), "the press is in the journal")
    [row] = [line for line in installed.run("gateway", "journal", "show").splitlines() if "sos" in line]
    incident = json.loads(row)["incident"]
    assert "w-0001" in installed.run("gateway", "journal", "proof", incident, "--facts")
    assert installed.run("gateway", "journal", "verify")
    owners = installed.run("find", "/var/lib/gateway", "!", "-user", "gateway")
    assert owners == "", "what root's commands wrote is the service's"


async def test_a_device_speaks_as_itself_only(installed: Machine) -> None:
    register(installed, "devices.csv", "w-0003,wearables" + "," * 9)
    register(installed, "devices.csv", "w-0004,wearables" + "," * 9)
    password = installed.run("gateway-broker", "show", "w-0003").strip().splitlines()[-1]
    assert publish(installed, 8883, "w-0003", password, "wearables/w-0004/event") == "Not authorized"
    assert publish(installed, 8883, "w-0003", password, "stations/s-1/reply") == "Not authorized"
    assert publish(installed, 8883, "w-0003", password, "stations/s-1/dispatch") == "Not authorized"
    assert publish(installed, 8883, "w-0004", password, "wearables/w-0004/event") == "Not authorized", "another's password"
    assert publish(installed, 8883, "", "", "wearables/w-0004/event") == "Not authorized", "no account"
    assert publish(installed, 1883, "", "", "wearables/w-0004/event") == "Not authorized", "no account, on this machine"
    assert "w-0004" not in installed.run("gateway", "journal", "show")
    assert publish(installed, 8883, "w-0003", password, "wearables/w-0003/event", '{"kind":"battery","battery":80}') == "Success"
    # The device leaves the register: the hourly round takes its account away.
    devices = installed.root / "var/lib/gateway/districts/ours/devices.csv"
    devices.write_text("".join(line for line in devices.read_text().splitlines(keepends=True) if not line.startswith("w-0003")))
    installed.run("systemctl", "start", "gateway-broker.service")
    assert publish(installed, 8883, "w-0003", password, "wearables/w-0003/event") == "Not authorized"


async def test_the_doctor_misses_nobody_but_ears_and_so_does_his_round(installed: Machine) -> None:
    installed.run("gateway", "account", "add", "night", "--name", "夜班", "--role", "operator", "--own", given="so many words make a password\n")
    before = reloads(installed)
    installed.run("systemctl", "reload", "gateway")
    await installed.comes_true(lambda: reloads(installed) > before, "the register is in force")
    found = json.loads(installed.run("gateway", "doctor", "--json", code=1))["findings"]
    # Nobody has opened the page, and it is right to say so; of what the package laid down nothing is amiss.
    others = ("ears_none", "commit_slow")  # a slow disk is said rightly
    assert [(one["topic"], one["what"], one["text"]) for one in found if one["level"] == "bad" and one["word"] not in others] == []
    installed.run("systemctl", "start", "gateway-backup.service")
    installed.run("systemctl", "start", "gateway-doctor.service", code=1)
    assert settings(installed, "gateway-doctor.service", "ExecMainStatus") == {"ExecMainStatus": "1"}
    told = [line for line in installed.run("journalctl", "-u", "gateway-doctor", "-o", "cat").splitlines() if "✗" in line]
    assert len([line for line in told if SLOW_DISK not in line]) == 1
    installed.run("systemctl", "reset-failed", "gateway-doctor.service")
    assert installed.run("systemctl", "--failed", "--no-legend", "--plain") == ""


def test_the_nightly_backup(installed: Machine) -> None:
    installed.run("systemctl", "start", "gateway-backup.service")
    newest = max((installed.root / "var/backups/gateway").iterdir(), key=lambda path: path.stat().st_mtime)
    assert installed.run("gateway", "verify", f"/var/backups/gateway/{newest.name}")


def test_the_serial_names_are_understood_by_udev(installed: Machine) -> None:
    said = installed.run("udevadm", "test", "--action=add", "/sys/class/tty/ttyS0", code=None)
    if "99-gateway-serial.rules" not in said:
        said = installed.run("udevadm", "test", "--action=add", "/sys/class/mem/null", code=None)
    assert (
        "Reading rules file: /usr/lib/udev/rules.d/99-gateway-serial.rules" in said
        or "Reading rules file: /lib/udev/rules.d/99-gateway-serial.rules" in said
    )
    assert [line for line in said.splitlines() if re.search(r"99-gateway-serial\.rules:\d+", line)] == []


async def test_systemd_holds_a_port_while_the_gateway_is_away(installed: Machine) -> None:
    config = installed.root / "etc/gateway/gateway.toml"
    before = config.read_text()
    line = '[[line]]\nname = "panels"\ncodec = "sia_dc09"\nlisten = "systemd:domain=INET6:index=0"\n'
    config.write_text(before.replace("[[line]]", f"{line}\n[[line]]", 1))
    installed.run("systemctl", "stop", "gateway.service")
    installed.run("systemctl", "start", "gateway.socket")
    # Nobody is there: the connection waits in the queue, systemd starts the gateway for it, and the answer comes after the commit.
    assert '"ACK"0001L0#1234[]' in installed.python(REPORT)
    await installed.comes_true(lambda: settings(installed, "gateway", "SubState") == {"SubState": "running"}, "systemd was told that it runs")
    installed.run("systemctl", "stop", "gateway.service", "gateway.socket")
    config.write_text(before)
    installed.run("systemctl", "start", "gateway.service")


def contents(root: Path) -> dict[str, str]:
    """Every file of a machine but what packages are made to keep: dpkg's and apt's own records, logs, caches, what systemd notes of itself."""
    kept = (
        "var/lib/dpkg",
        "var/lib/apt",
        "var/log",
        "var/cache",
        "var/lib/systemd",
        "var/lib/mosquitto",
        "root",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "mnt",
    )
    found = {}
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if str(here / name) not in kept]
        for name in (*files, *folders):
            path = root / here / name
            found[str(here / name)] = "folder" if path.is_dir() and not path.is_symlink() else f"{path.lstat().st_size}"
    return found


async def test_upgrade_removal_and_purge(bare: Machine, package: Path) -> None:
    bare.run("apt-get", "install", "-y", *what_it_depends_on(package), "mosquitto")
    before = contents(bare.root)
    bare.run("apt-get", "install", "-y", f"/root/{package.name}")
    await bare.comes_true(lambda: "2 lines" in settings(bare, "gateway", "StatusText")["StatusText"], "the gateway runs")

    # An upgrade keeps what the house has written, and the gateway runs again.
    config = bare.root / "etc/gateway/gateway.toml"
    config.write_text(config.read_text().replace('language = "zh-CN"', 'language = "en"'))
    broker = bare.root / "etc/mosquitto/conf.d/gateway.conf"
    broker.write_text(broker.read_text() + "\n# ours\n")
    register(bare, "devices.csv", "w-0001,wearables" + "," * 9)
    ours = {
        path: path.read_bytes()
        for path in (config, broker, bare.root / "etc/mosquitto/gateway/ca.crt", bare.root / "etc/gateway/secrets/mqtt-password")
    }
    first = settings(bare, "gateway", "MainPID")
    newer(package, bare.root / "root/newer.deb", "9.9.9")
    bare.run("apt-get", "install", "-y", "/root/newer.deb")
    assert bare.run("dpkg-query", "-W", "-f=${Version}", "gateway-12349") == "9.9.9"
    await bare.comes_true(lambda: "2 lines" in settings(bare, "gateway", "StatusText")["StatusText"], "the gateway runs again")
    assert settings(bare, "gateway", "MainPID") != first
    assert {path: path.read_bytes() for path in ours} == ours

    # Everything is lost but a backup: root lays it back, and the service can read and write all of it.
    bare.run("gateway", "backup", "--to", "/var/backups/gateway/last.tar", "--with-secrets")
    bare.run("systemctl", "stop", "gateway")
    bare.run(
        "rm", "-r", "/var/lib/gateway/districts", "/var/lib/gateway/gateway.db", "/etc/gateway/gateway.toml", "/etc/gateway/secrets/mqtt-password"
    )
    bare.run("gateway", "restore", "/var/backups/gateway/last.tar", "--config", "/etc/gateway/gateway.toml")
    bare.run("systemctl", "start", "gateway")
    await bare.comes_true(lambda: "2 lines" in settings(bare, "gateway", "StatusText")["StatusText"], "the gateway runs on what was restored")
    assert bare.run("find", "/var/lib/gateway", "!", "-user", "gateway") == ""
    assert {path: path.read_bytes() for path in ours} == ours
    assert bare.run("find", "/etc/gateway", "-perm", "/o+rwx", "-type", "f", "!", "-path", "*/policies/*") == ""
    database = (bare.root / "var/lib/gateway/gateway.db").stat().st_ino

    # Removed: no program, no unit, no process; settings and data as they were.
    bare.run("apt-get", "remove", "-y", "gateway-12349")
    assert settings(bare, "gateway", "LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}
    assert not (bare.root / "usr/lib/gateway-12349").exists()
    assert {path: path.read_bytes() for path in ours} == ours
    bare.run("apt-get", "install", "-y", f"/root/{package.name}")
    await bare.comes_true(lambda: "2 lines" in settings(bare, "gateway", "StatusText")["StatusText"], "the gateway is back")
    assert {path: path.read_bytes() for path in ours} == ours
    assert (bare.root / "var/lib/gateway/gateway.db").stat().st_ino == database
    assert "w-0001" in (bare.root / "var/lib/gateway/districts/ours/devices.csv").read_text()

    # Purged: what is left is data and the user that owns it.
    bare.run("apt-get", "purge", "-y", "gateway-12349")
    after = contents(bare.root)
    left = sorted(path for path in after.keys() - before.keys() if not path.startswith(("var/lib/gateway", "var/backups/gateway")))
    assert [
        path
        for path in left
        if path not in ("etc/subuid-", "etc/subgid-", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock")
    ] == []
    assert sorted(before.keys() - after.keys()) == []
    assert {path.name for path in (bare.root / "var/lib/gateway").iterdir()} >= {"districts", "gateway.db"}
    bare.run("id", "gateway")
    bare.run("systemctl", "restart", "mosquitto")  # it starts without us


def what_it_depends_on(package: Path) -> list[str]:
    depends = subprocess.run(["dpkg-deb", "--field", package, "Depends"], capture_output=True, text=True, check=True).stdout
    return sorted({re.split(r"[ (|]", one.strip())[0] for one in depends.split(",")})


def newer(package: Path, target: Path, version: str) -> None:
    """The same package as a later release; packed without compression, which would take longer than all else."""
    folder = target.with_suffix("")
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder, target], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-r", folder], check=True)
