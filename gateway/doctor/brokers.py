"""Brokers: each once, as whoever the gateway is there: reached, logged in, allowed to hear and to order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from drivers.lines.mqtt_session import Broker
from drivers.registry import build_line
from gateway.config import LineConfig, MqttChannelConfig
from gateway.doctor.broker_probe import Answer, probe
from gateway.doctor.finding import Finding, bad, good, unknown
from gateway.doctor.gateway_itself import restart
from gateway.doctor.patient import Patient, connects
from gateway.errors import ConfigError

TOPIC = "brokers"
ORDERS = "stations/+/dispatch"
ECHOED = ("generic", "station_reply")  # codecs for which an empty message is nothing but one rejected message
USUAL = (1883, 8883)


class Use(msgspec.Struct):
    """What the configuration wants of one broker under one name."""

    broker: Broker
    keys: list[str]
    lines: list[str]
    filters: dict[str, str]  # filter → line
    echoed: set[str]
    written: list[str]


def look(patient: Patient) -> Iterator[Finding]:
    """A finding for each broker and name there."""
    uses: dict[Broker, Use] = {}
    for number, line in enumerate(patient.config.line, 1):
        if line.broker is not None and line.name not in patient.lines_elsewhere:
            try:
                built: Any = build_line(line, patient.config.calls)
            except ConfigError as error:
                yield bad(TOPIC, f"line {line.name}", "broker_bad_line", reason="; ".join(error.problems))
                continue
            use = uses.setdefault(built.broker, Use(built.broker, [], [], {}, set(), []))
            use.keys.append(patient.where(number, "broker"))
            use.lines.append(line.name)
            use.filters |= dict.fromkeys(built.codec.topics, line.name)
            if line.codec in ECHOED and not _is_heard(patient, line):
                use.echoed |= set(built.codec.topics)
    mqtt = patient.config.dispatch.mqtt
    if mqtt is not None:
        try:
            broker = of_channel(mqtt, patient.config.folder)
        except ConfigError as error:
            yield bad(TOPIC, "dispatch.mqtt", "broker_bad_line", reason="; ".join(error.problems))
        else:
            use = uses.setdefault(broker, Use(broker, [], [], {}, set(), []))
            use.keys.append(f"{patient.config.path}: dispatch.mqtt.broker")
            use.written.append(ORDERS)
    for use in uses.values():
        yield _look_at(patient, use)


def of_channel(mqtt: MqttChannelConfig, folder: Path) -> Broker:
    """Where orders leave, as the channel itself reads it."""

    def at(name: str) -> str:
        value = str(getattr(mqtt, name, ""))
        return str(folder / value) if value else ""

    files = {name: at(name) for name in ("password_file", "ca_file", "certificate_file", "key_file")}
    return Broker.parse(mqtt.broker, username=mqtt.username, **files)


def _is_heard(patient: Patient, line: LineConfig) -> bool:
    """Has the gateway that runs received anything over this line? Then it may read there, and nothing need be tried."""
    return patient.running is not None and patient.running.metric("gateway_received_total", line=line.name) > 0


def _look_at(patient: Patient, use: Use) -> Finding:
    broker = use.broker
    where = f"{broker.host}:{broker.port}"
    heard = {one for one, name in use.filters.items() if any(line.name == name and _is_heard(patient, line) for line in patient.config.line)}
    answer = probe(broker, list(use.filters), use.written, use.echoed)
    what = f"{where} ({', '.join([*use.lines, *(['dispatch.mqtt'] if use.written else [])])})"
    if answer.fault:
        patient.brokers_bad |= set(use.lines)
        return _fault(patient, use, what, where, answer)
    untold = [one for one in answer.untold if one not in heard]
    if untold:
        return unknown(TOPIC, what, "broker_reading_untold", where=where, topics=", ".join(untold))
    return good(TOPIC, what, "broker_good", where=where)


def _fault(patient: Patient, use: Use, what: str, where: str, answer: Answer) -> Finding:
    broker, keys = use.broker, ", ".join(use.keys)
    user = broker.username or "(anonymous)"
    facts: dict[str, object] = {"where": where, "reason": answer.reason, "keys": keys, "user": user, "restart": restart(patient)}
    if answer.fault == "unreachable":
        others = [port for port in USUAL if port != broker.port and connects(broker.host, port) is None]
        if others:
            return bad(TOPIC, what, "broker_other_port", other=f"{broker.host}:{others[0]}", **facts)
        return bad(TOPIC, what, "broker_unreachable", **facts)
    if answer.fault == "login" and not broker.username:
        return bad(TOPIC, what, "broker_login_anonymous", **facts)
    if answer.fault == "login":
        file = broker.password_file or "password_file"
        return bad(TOPIC, what, "broker_login", file=file, **facts)
    if answer.fault in ("subscribe", "read"):
        rules = "; ".join(f"topic read {one}" for one in answer.about)
        return bad(TOPIC, what, "broker_may_not_read", rules=rules, topics=", ".join(answer.about), **facts)
    if answer.fault == "publish":
        rules = "; ".join(f"topic write {one}" for one in answer.about)
        return bad(TOPIC, what, "broker_may_not_write", rules=rules, topics=", ".join(answer.about), **facts)
    return bad(TOPIC, what, "broker_tls" if answer.fault == "tls" else "broker_secret", **facts)
