"""`gateway check` finds what two edges both own, in one file for all machines and in files of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.check_edges import meet

REGION = Path(__file__).parents[2] / "config" / "districts" / "honggu"


def configuration(folder: Path, name: str, lines: str, more: str = "", shards: int = 4) -> Path:
    """gateway.toml of a cluster with the lines of some edges; nothing of it is dialled."""
    path = folder / name
    path.write_text(
        f'[gateway]\ndistrict = "honggu"\ndata = "data"\n[store]\nurl = "postgresql://gateway@db.example/gateway"\n'
        f'[bus]\nservers = ["nats://a.example:4222"]\nreplicas = 1\nshards = {shards}\n[console]\naccounts = false\n{more}\n{lines}'
    )
    districts = folder / "districts"
    if not districts.exists():
        districts.symlink_to(REGION.parent)
    return path


def line(name: str, edge: str, topics: str = "", broker: str = "mqtt://broker.example", codec: str = "generic", **more: str) -> str:
    options = f"topics = {topics}\n" if topics else ""
    options += "".join(f'{key} = "{value}"\n' for key, value in more.items())
    return f'[[line]]\nname = "{name}"\ncodec = "{codec}"\nbroker = "{broker}"\nedge = "{edge}"\n[line.options]\n{options}'


def check(path: Path, *beside: Path) -> str:
    words = [word for one in beside for word in ("--beside", str(one))]
    command = [sys.executable, "-m", "gateway.cli", "check", "--config", str(path), "--lang", "en", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ("a/+/event", "a/b/event", True),
        ("a/+/event", "b/+/event", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/b/#", "a", False),
        ("#", "north/x", True),
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("+/+", "a", False),
        ("$share/g/a/+", "a/b", True),
        ("+/b/#", "a/+", True),
    ],
)
def test_two_filters_meet_where_one_topic_fits_both(one: str, other: str, do: bool) -> None:
    """MQTT 3.1.1, 4.7.1."""
    assert meet(one, other) is do
    assert meet(other, one) is do


def test_one_file_for_all_machines(tmp_path: Path) -> None:
    lines = line("north", "n", '["wearables/+/event"]') + line("south", "s", '["+/w-1/event"]')
    said = check(configuration(tmp_path, "gateway.toml", lines))
    assert "2 lines of two edges that read the same topic of one broker (wearables/+/event · +/w-1/event)" in said
    assert "n/north, s/south" in said
    apart = line("north", "n", '["n/+/event"]') + line("south", "s", '["s/+/event"]')
    apart += line("here", "n", '["x/+"]', "mqtt://127.0.0.1") + line("there", "s", '["x/+"]', "mqtt://127.0.0.1")  # a broker of each machine's own
    said = check(configuration(tmp_path, "apart.toml", apart))
    assert "edges" not in said, said


def test_a_session_a_peer_and_a_port_have_one_owner(tmp_path: Path) -> None:
    lines = line("north", "n", '["n/+"]', client_id="gateway") + line("south", "s", '["s/+"]', client_id="gateway")
    for edge in "ns":
        lines += f'[[line]]\nname = "panels-{edge}"\ncodec = "sia_dc09"\nlisten = "tcp:9999:interface=10.1.2.3"\nedge = "{edge}"\n'
        lines += f'[[line]]\nname = "any-{edge}"\ncodec = "sia_dc09"\nlisten = "tcp:9998"\nedge = "{edge}"\n'
        lines += f'[[line]]\nname = "espa-{edge}"\ncodec = "espa444"\nconnect = "tcp:espa.example:4001"\nedge = "{edge}"\n'
    said = check(configuration(tmp_path, "gateway.toml", lines))
    assert "2 lines of two edges that are 'gateway' at one broker" in said
    assert "2 lines of two edges that listen on the same address (tcp:9999:interface=10.1.2.3)" in said
    assert "2 lines of two edges that dial the same peer (tcp:espa.example:4001)" in said
    assert "(tcp:9998)" not in said


def test_files_of_two_machines_are_compared(tmp_path: Path) -> None:
    both = line("south", "s", '["s/+/event"]')
    one = configuration(tmp_path, "north.toml", line("north", "n", '["a/+/event"]') + both)
    other = configuration(tmp_path, "south.toml", line("more", "s", '["+/b/event"]') + line("south", "s", '["s/+"]'), shards=8)
    assert "two edges" not in check(one)
    said = check(one, other)
    assert "read the same topic of one broker (a/+/event · +/b/event)" in said
    assert f"south.toml: 1 line that {one} describes otherwise: a line must be the same on every machine: s/south" in said
    assert "1 key that" in said
    assert "bus.shards" in said


def test_a_machine_that_does_not_order_by_the_same_line_is_named(tmp_path: Path) -> None:
    """Its edge would carry nothing out."""
    modem = '[[line]]\nname = "modem"\ncodec = "gsm_modem"\nlisten = "serial:/dev/ttyUSB0"\nedge = "n"\n'
    ways = '[dispatch.modem]\nline = "modem"\n'
    core, edge = configuration(tmp_path, "core.toml", modem, ways), configuration(tmp_path, "edge.toml", modem)
    assert "dispatch.modem" in check(core, edge)
    assert "dispatch.modem" not in check(core, configuration(tmp_path, "same.toml", modem, ways))


def test_a_machine_that_reports_otherwise_is_named(tmp_path: Path) -> None:
    """Whichever core owns a shard, the city must hear of it."""
    (tmp_path / "secret").write_text("an invented secret")
    city = '[[counterpart]]\nname = "city"\nkind = "portal"\nurl = "https://city.example/{shard}"\nsecret_file = "secret"\n'
    app = '[[subscriber]]\nname = "app"\nurl = "https://app.example/{shard}"\nsecret_file = "secret"\n'
    one = configuration(tmp_path, "one.toml", "", city + app)
    assert "must have alike" not in check(one, configuration(tmp_path, "same.toml", "", city + app))
    assert "must have alike: counterpart" in check(
        one, configuration(tmp_path, "other.toml", "", city.replace("city.example", "province.example") + app)
    )
    assert "counterpart, subscriber" in check(one, configuration(tmp_path, "none.toml", ""))


def test_a_machine_with_another_test_station_is_named(tmp_path: Path) -> None:
    """Every probe of an edge would be a miss where the core has none."""
    mqtt = '[dispatch.mqtt]\nbroker = "mqtt://broker.example"\n'
    station = f'{mqtt}[self_test]\nstation = "self-test"\n'
    edge, core = configuration(tmp_path, "edge.toml", "", station), configuration(tmp_path, "core.toml", "", mqtt)
    assert "must have alike: self_test.station" in check(edge, core)
    assert "must have alike" not in check(edge, configuration(tmp_path, "same.toml", "", station))
