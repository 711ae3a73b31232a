"""Telephone and texts in the configuration and in the register: what is refused, naming file, key and remedy, and what is rung."""

from pathlib import Path

import pytest

from gateway.app import House
from gateway.cli import main
from gateway.config import PhoneChannelConfig, SipChannelConfig, read_config
from gateway.core.register import Register, Responder, ResponderKind
from gateway.dispatch.outbox import address_of
from gateway.dispatch.phone import PhoneChannel
from gateway.dispatch.sip import SipChannel
from gateway.errors import ConfigError
from gateway.register_files import read_register

AMI = '[[line]]\nname = "pbx"\ncodec = "ami"\nconnect = "tcp:127.0.0.1:5038"\noptions = {username = "gateway", secret_file = "secret"}\n'
HEP = '[[line]]\nname = "ear"\ncodec = "hep"\nlisten = "udp:9060:interface=127.0.0.1"\n'
SIP = '[[line]]\nname = "texts"\ncodec = "sip"\nlisten = "udp:5062:interface=127.0.0.1"\n'
DESK = "desk,desk,desk,console,,\n"


def write(folder: Path, settings: str, responders: str = "") -> Path:
    """A configuration with these settings, and its district; gives the file."""
    district = folder / "districts" / "small"
    district.mkdir(parents=True, exist_ok=True)
    (district / "district.toml").write_text('name = "small"\narea_code = "0931"\n')
    for name, header in (
        ("areas", "id,name,kind,parent,lat,lon"),
        ("persons", "id,name,area,home,phones"),
        ("contacts", "person,name,relation,phone"),
        ("devices", "id,line,person,home,area,place"),
    ):
        (district / f"{name}.csv").write_text(f"{header}\n")
    (district / "responders.csv").write_text("id,name,kind,channel,address,phone\n" + DESK + responders, encoding="utf-8")
    (folder / "secret").write_text("geheim\n")
    file = folder / "gateway.toml"
    file.write_text(f'[gateway]\ndistrict = "small"\n{settings}')
    return file


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        ('[telephone]\nline = "nobody"\n' + AMI, "telephone.line", ("'nobody'", "codec is ami or esl")),
        ('[telephone]\nline = "ear"\n' + HEP, "telephone.line", ("speaks hep", "codec is ami or esl")),
        ("[dispatch.phone]\n" + AMI, "dispatch.phone", ("no telephone", "[telephone]")),
        ('[telephone]\nline = "pbx"\n[dispatch.phone]\naccept_key = "2"\n' + AMI, "dispatch.phone.decline_key", ("accept_key", "key of its own")),
        ('[dispatch.sip]\nline = "pbx"\n' + AMI, "dispatch.sip.line", ("speaks ami", "codec is sip")),
        ('[dispatch.sip]\nline = "nobody"\n' + SIP, "dispatch.sip.line", ("'nobody'", "codec is sip")),
    ],
)
def test_a_wrong_line_is_told_by_check_and_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: str, key: str, words: tuple[str, ...]
) -> None:
    file = write(tmp_path, settings)
    with pytest.raises(ConfigError) as refused:
        read_config(file)
    [problem] = refused.value.problems
    assert problem.startswith(f"{file}: {key}: ")
    assert all(word in problem for word in words), problem
    assert main(["check", "--config", str(file)]) == 1
    assert problem in capsys.readouterr().out


def test_a_house_has_the_ways_out_that_are_configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, '[telephone]\nline = "pbx"\n[dispatch.phone]\n[dispatch.sip]\nline = "texts"\n' + AMI + SIP)
    assert main(["check", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "phone" in said
    assert "pbx" in said
    assert "texts" in said
    config = read_config(file)
    assert config.dispatch.phone == PhoneChannelConfig()
    assert config.dispatch.sip == SipChannelConfig(line="texts")
    house = House(config, read_register(config.district_folder, config.channels))
    assert isinstance(house.channels["phone"], PhoneChannel)
    assert isinstance(house.channels["sip"], SipChannel)
    assert house.telephone.is_there


@pytest.mark.parametrize(
    ("row", "key", "words"),
    [
        ("s,s,station,phone,,\n", "phone", ("is empty", "number that is rung")),
        ("s,s,station,phone,https://a.example,\n", "address", ("no telephone number", "under phone")),
        ("s,s,station,phone,12,\n", "address", ("",)),
        ("s,s,station,sip,,17400000001\n", "address", ("is empty", "sip:USER@HOST")),
        ("s,s,station,sip,https://a.example,\n", "address", ("no SIP address", "sip:USER@HOST")),
        ("s,s,station,sip,sip:nobody,\n", "address", ("",)),
        ("s,s,station,webhook,sip:a@b.example,\n", "address", ("no web address",)),
        ("s,s,station,phone,120,\n", "address", ("",)),  # emergency services are never rung by machine
    ],
)
def test_a_responder_must_be_reachable_by_its_channel(tmp_path: Path, row: str, key: str, words: tuple[str, ...]) -> None:
    file = write(tmp_path, "", row)
    with pytest.raises(ConfigError) as refused:
        read_register(read_config(file).district_folder)
    problem = refused.value.problems[0]  # of a faulty cell it is told, too, that nothing usable stands there
    assert f"responders.csv: line 3: {key}: " in problem
    assert all(word in problem for word in words), problem


def test_the_number_rung_is_the_address_or_else_the_phone(tmp_path: Path) -> None:
    rows = "a,a,station,phone,17400000001,17400000002\nb,b,station,phone,,0931-5550001\nc,c,station,sip,sip:c@pbx.example:5070,17400000003\n"
    file = write(tmp_path, "", rows)
    register = read_register(read_config(file).district_folder)
    assert isinstance(register, Register)
    assert {one.id: address_of(one) for one in register.responders.values()} == {
        "desk": "",
        "a": "+8617400000001",
        "b": "+869315550001",
        "c": "sip:c@pbx.example:5070",
    }
    assert address_of(Responder(id="m", name="m", kind=ResponderKind.STATION, channel="mqtt", phone="+8617400000001")) == ""
