"""The machine beneath: certificates found wherever the configuration names one, and their end; room on the disk; the clock, where it may be asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config import Config, ConsoleConfig, DispatchConfig, GatewayConfig, LineConfig, MqttChannelConfig
from gateway.machine import Clock, MachineCollector, certificates, ends_at, read_clock

NOW = datetime(2026, 3, 14, tzinfo=UTC)


def certificate(days: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "invented")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), NOW - timedelta(days=400), NOW + timedelta(days=days)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def config_in(folder: Path) -> Config:
    return Config(
        path=str(folder / "gateway.toml"),
        gateway=GatewayConfig(data="."),
        console=ConsoleConfig(tls_certificate="page.pem", tls_key="page.key"),
        dispatch=DispatchConfig(mqtt=MqttChannelConfig(broker="mqtts://broker.lan", ca_file="ca.pem", certificate_file="us.pem", key_file="us.key")),
        line=(
            LineConfig(name="receiver", codec="sia_dc09", listen="ssl:10501:privateKey=a.key:certKey=receiver.pem:interface=127.0.0.1"),
            LineConfig(name="wearables", codec="generic", broker="mqtts://broker.lan", options={"ca_file": str(folder / "ca.pem")}),
        ),
    )


def values(collector: MachineCollector) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for family in collector.collect() for sample in family.samples}


def test_every_certificate_of_the_configuration_is_found(tmp_path: Path) -> None:
    assert dict(certificates(config_in(tmp_path))) == {
        "console.tls_certificate": tmp_path / "page.pem",
        "dispatch.mqtt.ca_file": tmp_path / "ca.pem",
        "dispatch.mqtt.certificate_file": tmp_path / "us.pem",
        "line.receiver.listen": tmp_path / "receiver.pem",
        "line.wearables.options.ca_file": tmp_path / "ca.pem",
    }


def test_when_they_end(tmp_path: Path) -> None:
    soon, later = certificate(3), certificate(30)
    (tmp_path / "page.pem").write_bytes(soon + later)  # a chain: its first is the certificate itself
    (tmp_path / "ca.pem").write_bytes(soon + later)  # a list of authorities: one that holds is enough
    (tmp_path / "us.pem").write_text("no certificate")
    found = values(MachineCollector(lambda: config_in(tmp_path), lambda: None))
    name = "gateway_certificate_not_after_seconds"
    assert found[name, "console.tls_certificate"] == (NOW + timedelta(days=3)).timestamp()
    assert found[name, "dispatch.mqtt.ca_file"] == (NOW + timedelta(days=30)).timestamp()
    assert found[name, "dispatch.mqtt.certificate_file"] == 0  # unreadable
    assert found[name, "line.receiver.listen"] == 0  # not there
    assert ends_at(tmp_path / "ca.pem", is_authority=False) == (NOW + timedelta(days=3)).timestamp()


def test_room_and_clock(tmp_path: Path) -> None:
    found = values(MachineCollector(lambda: config_in(tmp_path), lambda: Clock(is_synchronised=False, error_s=16.0)))
    assert 0 < found["gateway_data_free_bytes",] < found["gateway_data_size_bytes",]
    assert (found["gateway_clock_synchronised",], found["gateway_clock_error_seconds",]) == (0, 16)
    unknown = values(MachineCollector(lambda: config_in(tmp_path), lambda: None))
    assert not [name for name, *_ in unknown if name in ("gateway_clock_synchronised", "gateway_clock_error_seconds")]  # left out, not told as 0
    assert unknown["gateway_clock_seconds",] > 0


def test_no_data_folder_is_no_fault_of_the_scrape(tmp_path: Path) -> None:
    assert "gateway_data_free_bytes" not in {name for name, *_ in values(MachineCollector(lambda: config_in(tmp_path / "nowhere")))}


def test_the_kernel_answers_plausibly() -> None:
    clock = read_clock()
    assert clock is None or clock.error_s is None or 0 <= clock.error_s <= 16  # the kernel gives up at 16 s (NTP's own limit)
