"""Accounts and rights at the broker out of the register, tried at a real Mosquitto: who may say what, and who hears it."""

import asyncio
import errno
import os
import runpy
import stat
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from servers import Mosquitto, Outsider, program, until

from gateway.access_list import Rule, access_list, shared_accounts
from gateway.access_list_forms import DESK, acl_file, fits, password_file, read_passwords
from gateway.cli import main
from gateway.config import Config, DispatchConfig, LineConfig, MqttChannelConfig
from gateway.core.corrections import Correction, Level, RecordKind, What, key_of
from gateway.core.register import Device, Register, Responder, ResponderKind
from gateway.errors import ConfigError
from gateway.store.corrections import correction, row_of_correction
from gateway.store.store import Store

ROOT = Path(__file__).parents[2]
DISTRICT = {
    "district.toml": 'name = "here"\n[names]\nen = "Here"\n',
    "areas.csv": "id,name,kind,parent,lat,lon\nhere,这里,district,,36.3,102.8\n",
    "persons.csv": "id,name,born,area,home,address,lat,lon,phones,ability,categories,risks,health_note\n"
    "p-1,张三,1940,here,h-1,某路一号,36.3,102.8,+8617400000001,self_caring,general,living_alone,\n",
    "devices.csv": "id,line,person,home,area,place,lat,lon,model\nw-1,wearables,p-1,,,,,,\nw-2,wearables,,h-1,,,,,\nodd/one,wearables,,h-1,,,,,\n",
    "responders.csv": "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh\n"
    "desk,坐席,desk,,,,,,,1000,console,,+8617400000002,\nstation-1,一站,station,desk,here,36.3,102.8,,,4,mqtt,,+8617400000003,\n"
    "station-2,二站,station,desk,here,36.3,102.8,,,4,mqtt,,+8617400000004,\n",
}
CONFIG = """
[gateway]
district = "here"
data = "var"
[[line]]
name = "wearables"
codec = "generic"
broker = "mqtt://127.0.0.1:1883"
[[line]]
name = "station-replies"
codec = "station_reply"
broker = "mqtt://127.0.0.1:1883"
[dispatch.mqtt]
broker = "mqtt://127.0.0.1:1883"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration with a small invented district; gives the configuration's path."""
    folder = tmp_path / "districts" / "here"
    folder.mkdir(parents=True)
    for name, text in DISTRICT.items():
        (folder / name).write_text(text, "utf-8")
    (tmp_path / "gateway.toml").write_text(CONFIG)
    return tmp_path / "gateway.toml"


def run(place: Path, *words: str) -> int:
    return main(["access-list", "--config", str(place), *words])


# --- what is written


def test_rights_are_those_of_the_register_and_nothing_personal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place) == 0
    out = capsys.readouterr()
    assert out.out.split("\n\n", 1)[1] == (
        "# gateway\nuser gateway\ntopic read stations/+/reply\ntopic read wearables/+/event\ntopic write stations/+/dispatch\n"
        "topic write stations/self-test/reply\ntopic write wearables/self-test/event\n\n"
        "# station\nuser station-1\ntopic read stations/station-1/dispatch\ntopic write stations/station-1/reply\n\n"
        "# station\nuser station-2\ntopic read stations/station-2/dispatch\ntopic write stations/station-2/reply\n\n"
        "# device\nuser w-1\ntopic write wearables/w-1/event\n\n"
        "# device\nuser w-2\ntopic write wearables/w-2/event\n"
    )
    assert "left out of devices.csv, as no account can have such a name: 'odd/one' (1)" in out.err
    for private in ("张三", "p-1", "h-1", "17400", "某路"):
        assert private not in out.out + out.err


def test_files_are_for_their_readers_alone_and_change_only_when_the_register_does(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place.parent / "broker"
    assert run(place, "--out", str(folder)) == 0
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {"topics": 0o640, "passwords": 0o640, "accounts.secret": 0o600}
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert run(place, "--out", str(folder)) == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert run(place, "--out", str(folder), "--check") == 0

    devices = place.parent / "districts" / "here" / "devices.csv"
    devices.write_text(DISTRICT["devices.csv"].replace("w-2,", "w-3,"), "utf-8")
    capsys.readouterr()
    assert run(place, "--out", str(folder), "--check") == 1
    told = capsys.readouterr().out
    assert f"{folder / 'topics'}: is not what the register says (lacks w-3; still has w-2); run gateway access-list --out {folder}" in told
    assert run(place, "--out", str(folder)) == 0
    old, new = read_passwords(before["accounts.secret"].decode()), read_passwords((folder / "accounts.secret").read_text())
    assert new.keys() == {"gateway", "station-1", "station-2", "w-1", "w-3"}
    assert new["w-1"] == old["w-1"]
    assert len(set(new.values())) == 5


def test_one_password_can_be_made_anew(place: Path) -> None:
    folder = place.parent / "broker"
    run(place, "--out", str(folder))
    old = read_passwords((folder / "accounts.secret").read_text())
    assert run(place, "--out", str(folder), "--renew", "w-1") == 0
    new = read_passwords((folder / "accounts.secret").read_text())
    assert {name for name in new if new[name] != old[name]} == {"w-1"}
    assert run(place, "--out", str(folder), "--renew", "nobody") == 1


def test_what_was_entered_at_a_desk_cannot_be_read_then_nothing_is_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A device of a correction would lose its account, and its password for good, because a database was away for a moment."""
    out = place.parent / "out"
    assert run(place, "--out", str(out)) == 0, "without any journal yet: the files alone"
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    (place.parent / "var").mkdir()
    (place.parent / "var" / "gateway.db").write_bytes(b"this is no database, and long enough to be looked at " * 100)
    assert run(place, "--out", str(out)) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def entered_at_a_desk(place: Path) -> None:
    """Somebody enters the device w-desk at a console: it stands in no file."""
    data = place.parent / "var"
    data.mkdir(exist_ok=True)
    added = Correction(
        number=1,
        kind=RecordKind.DEVICES,
        key=key_of(RecordKind.DEVICES, {"line": "wearables", "id": "w-desk"}),
        what=What.NEW,
        by="Li Na",
        role="supervisor",
        level=Level.STREET,
        at=datetime(2026, 3, 14, tzinfo=UTC),
        reason="new",
        person="p-1",
        cells={"person": "p-1"},
    )
    store = Store("sqlite:///gateway.db", data)
    store.open()
    with store.engine.begin() as connection:
        connection.execute(correction.insert().values(dict(zip(correction.c.keys(), row_of_correction(added), strict=True))))
    store.close()


@pytest.mark.parametrize("missing", ["disk", "begun anew"])
@pytest.mark.parametrize("form", ["mosquitto", "mosquitto-passwords", "dynsec"])
def test_what_stands_only_in_the_database_is_not_dropped_when_the_database_is_away(
    place: Path, capsys: pytest.CaptureFixture[str], missing: str, form: str
) -> None:
    entered_at_a_desk(place)
    out = place.parent / "out"
    assert run(place, "--out", str(out), "--format", form) == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    assert any(b"w-desk" in content for content in before.values())
    assert run(place, "--out", str(out), "--format", form, "--check") == 0
    (place.parent / "var").rename(place.parent / "unmounted")  # what is below a mount point is an empty folder
    (place.parent / "var").mkdir()
    if missing == "begun anew":
        store = Store("sqlite:///gateway.db", place.parent / "var")
        store.open()
        store.close()
    capsys.readouterr()
    for words in ((), ("--renew", "w-1"), ("--check",)):
        assert run(place, "--out", str(out), "--format", form, *words) == 1
        told = capsys.readouterr().err
        assert "would lose their accounts and passwords. The list stays as it is. Is the disk of the data mounted?" in told
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    for file in out.iterdir():  # whoever knows better does as it says
        file.write_text(file.read_text().replace(f"{DESK}\n", ""))
    assert run(place, "--out", str(out), "--format", form) == 0
    assert not any(b"w-desk" in file.read_bytes() for file in out.iterdir())


def test_the_packages_own_tool_makes_no_new_passwords_when_the_folder_of_the_old_ones_is_gone(tmp_path: Path) -> None:
    """gateway-broker keeps them on the disk of the data: not mounted, every device would be locked out within the hour."""
    broker = runpy.run_path(str(ROOT / "packaging" / "gateway-broker"))
    update = broker["_update"]
    called: list[object] = []
    update.__globals__.update(FOLDER=tmp_path / "mosquitto", DRAFTS=tmp_path / "broker", _as_gateway=lambda *words, **_: called.append(words))
    (tmp_path / "mosquitto").mkdir()
    (tmp_path / "mosquitto" / "passwords").write_text("w-1:$7$…\n", "utf-8")
    with pytest.raises(broker["Failed"], match="is the disk of /var/lib/gateway mounted"):
        update([])
    assert called == []


def test_a_database_that_cannot_even_be_seen_is_no_beginning(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run by somebody who may not look into the gateway's folder."""
    look = Path.stat

    def stat_of(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if self.name == "gateway.db":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return look(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat_of)
    assert run(place, "--out", str(place.parent / "out")) == 1
    assert "cannot be read (Permission denied)" in capsys.readouterr().err
    assert not (place.parent / "out").exists()


def test_addresses_that_can_be_no_accounts_are_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    devices = place.parent / "districts" / "here" / "devices.csv"
    panels = "".join(f"71{number:02}:001,,,h-1,,,,,\n" for number in range(12))
    devices.write_text(DISTRICT["devices.csv"].replace("odd/one,wearables,,h-1,,,,,\n", panels), "utf-8")
    assert run(place) == 0
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if "left out" in line] == [
        "left out of devices.csv, as no account can have such a name: '7100:001', '7101:001', '7102:001' … (12);"
        " where one is at the broker give it another address, else its line (column line)"
    ]


def test_other_passwords_than_those_of_the_broker_are_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place.parent / "broker"
    run(place, "--out", str(folder))
    secret = folder / "accounts.secret"
    secret.write_text(secret.read_text().replace("w-1\t", "w-1\tx"))
    capsys.readouterr()
    assert run(place, "--out", str(folder), "--check") == 1
    assert "holds other passwords" in capsys.readouterr().out


def test_passwords_are_never_printed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "--format", "mosquitto-passwords") == 1
    assert "--out" in capsys.readouterr().err
    folder = place.parent / "broker"
    run(place, "--out", str(folder))
    run(place, "--out", str(folder), "--check")
    out = capsys.readouterr()
    assert not [one for one in read_passwords((folder / "accounts.secret").read_text()).values() if one in out.out + out.err]


# --- what follows from lines and devices


def of(register: Register, *lines: LineConfig) -> dict[str, tuple[Rule, ...]]:
    config = Config(line=lines, dispatch=DispatchConfig(mqtt=MqttChannelConfig(broker="mqtt://h")))
    return {one.name: one.rules for one in access_list(config, register).accounts}


WEARABLES = LineConfig(name="wearables", codec="generic", broker="mqtt://h")


def test_a_bridge_speaks_for_the_devices_behind_it_and_for_no_other() -> None:
    devices = (Device(id="hub-1", line="wearables"), Device(id="a", line="wearables", via="hub-1"), Device(id="b", line="wearables"))
    found = of(Register(devices=devices[1:]), WEARABLES)
    assert found["hub-1"] == (Rule("write", "wearables/a/event"),)
    assert found["b"] == (Rule("write", "wearables/b/event"),)
    assert "a" not in found


def test_an_address_that_is_a_wildcard_gives_its_bridge_no_right_over_others() -> None:
    devices = [Device(id="hub", line="other"), *(Device(id=name, line="wearables", via="hub") for name in ("b:1", "+", "#", "x+"))]
    rules = of(Register(district="x", devices=devices), LineConfig(name="wearables", codec="generic", broker="mqtt://h"))
    assert rules["hub"] == (Rule("write", "wearables/b:1/event"),)


def test_a_mapping_line_gives_its_bridge_what_the_profile_reads_and_tells() -> None:
    line = LineConfig(name="home", codec="mapping", broker="mqtt://h", options={"mappings": ["zigbee2mqtt"], "username": "gateway-home"})
    found = of(Register(devices=(Device(id="button", line="home"),)), line)
    bridge, ours = found["bridge-home"], found["gateway-home"]
    assert bridge
    assert {rule.topic for rule in ours if rule.access == "read"} == {rule.topic for rule in bridge if rule.access == "write"}
    assert {rule.topic for rule in ours if rule.access == "write"} == {rule.topic for rule in bridge if rule.access == "read"}


def test_one_name_is_never_two_things() -> None:
    register = Register(
        devices=(Device(id="same", line="wearables"),), responders=(Responder(id="same", name="x", kind=ResponderKind.STATION, channel="mqtt"),)
    )
    with pytest.raises(ConfigError, match="'same' would be the broker's account of a device and of a station"):
        of(register, WEARABLES)


def test_connections_that_share_an_account_are_known() -> None:
    lines = (WEARABLES, LineConfig(name="other", codec="generic", broker="mqtt://h", options={"username": "other"}))
    assert shared_accounts(Config(line=lines)) == ()
    assert shared_accounts(Config(line=lines, dispatch=DispatchConfig(mqtt=MqttChannelConfig(broker="mqtt://h")))) == ("gateway",)


# --- at the broker


def test_hashes_are_those_of_mosquitto_passwd(tmp_path: Path) -> None:
    """The outside witness: what its own tool writes fits here, and the other way round at the broker below."""
    file = tmp_path / "passwords"
    file.touch(0o600)
    subprocess.run([program("mosquitto_passwd"), "-b", str(file), "w-1", "s3cret"], check=True, capture_output=True)
    hashed = file.read_text().strip().removeprefix("w-1:")
    assert fits(hashed, "s3cret")
    assert not fits(hashed, "secret")
    assert password_file({"w-1": "s3cret"}, file.read_text()) == file.read_text()


class AtBroker:
    """A guarded broker and those who come to it."""

    def __init__(self, server: Mosquitto, passwords: dict[str, str]) -> None:
        self.server = server
        self.passwords = passwords
        self.there: list[Outsider] = []

    async def comes(self, name: str, subscribe: str = "") -> Outsider:
        found = Outsider(self.server.port, subscribe, name, self.passwords[name])
        self.there.append(found)
        return await found.ready()


Start = Callable[[str], AsyncIterator[AtBroker]]


@pytest.fixture(params=["mosquitto", "dynsec"])
async def broker(request: pytest.FixtureRequest, place: Path) -> AsyncIterator[AtBroker]:
    folder = place.parent / "broker"
    if request.param == "mosquitto":
        run(place, "--out", str(folder))
        extra = f"allow_anonymous false\nacl_file {folder / 'topics'}\npassword_file {folder / 'passwords'}"
    else:
        plugin = next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))  # noqa: ASYNC240 - it comes with Debian's mosquitto
        run(place, "--out", str(folder), "--format", "dynsec")
        extra = f"allow_anonymous false\nplugin {plugin}\nplugin_opt_config_file {folder / 'dynamic-security.json'}"
    server = Mosquitto(place.parent, extra=extra)
    await server.start()
    found = AtBroker(server, read_passwords((folder / "accounts.secret").read_text()))
    yield found
    for one in found.there:
        one.close()
    await server.stop()


async def test_each_speaks_as_itself_alone_and_reads_its_own_alone(broker: AtBroker) -> None:
    """One refused message is followed by one allowed on the same connection: what does not arrive before it never will."""
    gateway = await broker.comes("gateway", "wearables/+/event")
    replies = await broker.comes("gateway", "stations/+/reply")
    one, two = await broker.comes("station-1", "stations/station-1/dispatch"), await broker.comes("station-2", "stations/station-1/dispatch")
    nosy = await broker.comes("w-2", "stations/+/dispatch")
    device = await broker.comes("w-1")

    await device.publish("wearables/w-2/event", b"as another device")
    await device.publish("stations/station-1/reply", b"as a station")
    await device.publish("stations/station-1/dispatch", b"an order of nobody's")
    await device.publish("wearables/w-1/event", b"as itself")
    await until(lambda: gateway.received, "the gateway hears the device")
    assert gateway.received == [("wearables/w-1/event", b"as itself")]

    await two.publish("stations/station-1/reply", b"for another")
    await two.publish("stations/station-2/reply", b"for itself")
    await until(lambda: replies.received, "the gateway hears the station")
    assert replies.received == [("stations/station-2/reply", b"for itself")]

    await gateway.publish("stations/station-1/dispatch", b"an order")
    await until(lambda: one.received, "the station hears its order")
    await gateway.publish("stations/station-1/dispatch", b"another")
    await until(lambda: len(one.received) == 2, "and the next")
    assert one.received == [("stations/station-1/dispatch", b"an order"), ("stations/station-1/dispatch", b"another")]
    assert (two.received, nosy.received, device.received) == ([], [], [])


@pytest.mark.parametrize(("name", "password"), [("w-9", "anything"), ("w-1", "wrong"), ("", "")])
async def test_who_is_not_registered_or_has_another_password_is_refused(broker: AtBroker, name: str, password: str) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if name:
        client.username_pw_set(name, password)
    answers: list[str] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(str(reason))
    client.connect("127.0.0.1", broker.server.port)
    while not answers:
        client.loop(timeout=0.01)
        await asyncio.sleep(0)
    client.disconnect()
    assert answers == ["Not authorized"]


def test_twenty_thousand_devices_are_no_trouble() -> None:
    register = Register(devices=(Device(id=f"w-{number:06}", line="wearables") for number in range(20_000)))
    found = access_list(Config(line=(WEARABLES,)), register)
    assert acl_file(found.accounts).count("\nuser ") == 20_001
