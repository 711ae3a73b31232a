"""What `gateway check` says about several machines: everything that cannot be had there is named, with what to do instead."""

from pathlib import Path

import pytest

from gateway.config import Config, examine_config
from gateway.config.heartbeat import HeartbeatConfig, of_part
from gateway.config.upward import of_shard

BUS = '[store]\nurl = "postgresql://gateway@db/gateway"\n[bus]\nservers = ["nats://a:4222"]\nreplicas = 1\n'
KEY = 'pseudonym_key_file = "secret"\n'
COUNTERPART = f'[[counterpart]]\nname = "city"\nkind = "management"\nurl = "https://city.example/{{shard}}"\nsecret_file = "secret"\n{KEY}'
LINE = '[[line]]\nname = "pbx"\ncodec = "ami"\nconnect = "tcp:127.0.0.1:5038"\nedge = "north"\n'


def problems(folder: Path, text: str) -> list[str]:
    (folder / "districts" / "honggu").mkdir(parents=True, exist_ok=True)
    (folder / "secret").write_text("sixteen bytes and more\n")
    file = folder / "gateway.toml"
    file.write_text(text)
    return [one.removeprefix(f"{file}: ") for one in examine_config(file)[1]]


@pytest.mark.parametrize(
    ("more", "key", "remedy"),
    [
        ("", "store.url", "postgresql://"),
        ('[heartbeat]\nurl = "https://watch.example/ping"\n', "heartbeat.url", "{part}"),
        ("[heartbeat]\nsystemd = true\n", "heartbeat.systemd", "write false"),
        (COUNTERPART.replace("/{shard}", ""), "counterpart[1].url", "{shard}"),
        (COUNTERPART + 'reconciliation = "https://city.example/has"\n', "counterpart[1].reconciliation", "{shard}"),
        (COUNTERPART.replace(KEY, ""), "counterpart[1].pseudonym_key_file", "the same on every machine"),
        ('[[subscriber]]\nname = "app"\nurl = "https://app.example/hook"\nsecret_file = "secret"\n', "subscriber[1].url", "{shard}"),
    ],
)
def test_what_several_machines_cannot_do_is_told_with_the_way_out(tmp_path: Path, more: str, key: str, remedy: str) -> None:
    bus = BUS if key != "store.url" else BUS.replace("postgresql://gateway@db/gateway", "sqlite:///gateway.db")
    found = [one for one in problems(tmp_path, bus + more + LINE) if one.partition(": ")[0] == key]
    assert len(found) == 1, problems(tmp_path, bus + more + LINE)
    assert remedy in found[0]
    alone = problems(tmp_path, more + LINE)
    assert not [one for one in alone if one.partition(": ")[0] == key], alone


def test_a_cluster_with_a_switch_for_each_part_has_no_fault(tmp_path: Path) -> None:
    switch = '[heartbeat]\nurl = "https://watch.example/{part}"\n'
    more = f'{switch}[[subscriber]]\nname = "app"\nurl = "https://app.example/{{shard}}"\nsecret_file = "secret"\n'
    assert problems(tmp_path, BUS + more + LINE) == []


def test_a_cluster_reports_from_every_shard_at_an_address_of_its_own(tmp_path: Path) -> None:
    checked = COUNTERPART + 'reconciliation = "https://city.example/has/{shard}"\n'
    portal = COUNTERPART.replace("management", "portal").replace(KEY, "").replace('"city"', '"portal"')
    assert problems(tmp_path, BUS + checked + portal + LINE) == [], "who is told of no persons needs no key"
    config = examine_config(tmp_path / "gateway.toml")[0]
    there = [of_shard(one, 3) for one in config.counterpart]
    assert [(one.url, one.reconciliation) for one in there] == [
        ("https://city.example/3", "https://city.example/has/3"),
        ("https://city.example/3", ""),
    ]
    assert of_shard(config.counterpart[0], None) == config.counterpart[0]


@pytest.mark.parametrize(
    ("section", "key", "line"),
    [
        ('[telephone]\nline = "pbx"\n[dispatch.phone]\n', "telephone.line", LINE),
        ('[dispatch.sip]\nline = "texts"\n', "dispatch.sip.line", '[[line]]\nname = "texts"\ncodec = "sip"\nlisten = "udp:5060"\nedge = "north"\n'),
        (
            '[dispatch.modem]\nline = "modem"\n',
            "dispatch.modem.line",
            '[[line]]\nname = "modem"\ncodec = "gsm_modem"\nlisten = "serial:/dev/m"\nedge = "north"\n',
        ),
    ],
)
def test_a_line_by_which_orders_leave_has_an_edge(tmp_path: Path, section: str, key: str, line: str) -> None:
    assert problems(tmp_path, BUS + section + line) == []
    (fault,) = problems(tmp_path, BUS + section + line.replace('edge = "north"\n', ""))
    assert fault.startswith(f"{key}: ")
    assert "write edge = at the [[line]]" in fault
    assert problems(tmp_path, section + line.replace('edge = "north"\n', "")) == []


def test_each_part_beats_at_its_own_switch() -> None:
    common = Config(heartbeat=HeartbeatConfig(url="https://watch.example/{part}?k=1", file="alive")).heartbeat
    one = of_part(common, "shard-3")
    assert (one.url, one.file) == ("https://watch.example/shard-3?k=1", "alive-shard-3")
    assert of_part(HeartbeatConfig(), "edge-north") == HeartbeatConfig()


def test_a_test_station_may_be_named_as_in_one_process(tmp_path: Path) -> None:
    mqtt, webhook = '[dispatch.mqtt]\nbroker = "mqtt://a"\n', '[dispatch.webhook]\nsecret_file = "secret"\n'
    station = '[self_test]\nstation = "self-test"\n'
    assert problems(tmp_path, BUS + mqtt + station + LINE) == []
    assert problems(tmp_path, BUS + webhook + station + 'channel = "webhook"\naddress = "https://h/"\n' + LINE) == []
    (found,) = problems(tmp_path, BUS + station + LINE)
    assert "there is no [dispatch.mqtt]" in found
