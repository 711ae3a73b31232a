"""Tries one broker as the gateway would: reach it, log in, subscribe, publish; and hears what it allows only to seem so.

MQTT 3.1.1 takes a publish that its access list forbids without a word, and Mosquitto's file of rights grants every subscription and then delivers
nothing. So this speaks MQTT 5, whose answers carry reasons, and sends itself an empty message where it listens: comes it back, we may read.
That message is of QoS 0 and kept for nobody; a gateway that runs counts it among its rejected ones.
"""

import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from drivers.lines.broker_tls import TlsFiles, client_context, refusal
from drivers.lines.mqtt_session import Broker
from gateway.errors import LineError

ANSWER_S = 2.0  # a broker answers within milliseconds
KEEPALIVE_S = 5  # paho waits as long for the end of a TLS handshake
BACK_S = 0.7  # … and so does a message to ourselves
OURS = "gateway-doctor"  # stands in a topic where a station would
TESTER = "self-test"  # … and where a device would: the gateway's own self-test may write there already
BAD_LOGIN = (0x86, 0x87, 4, 5)  # CONNACK of MQTT 5 (3.2.2.2) and of 3.1.1 (3.2.2.3)
DENIED = 0x87  # MQTT 5, 2.4: not authorized
TOO_OLD = (0x84, 1)  # unsupported protocol version


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. fault: "", unreachable, tls, login, subscribe, read, publish, secret; about: topics; reason: why, in the other side's words.

    untold: filters of which nobody can say whether we may read there, as this account may not write there (which is right).
    """

    fault: str = ""
    reason: str = ""
    about: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


class _Session:
    """One connection, turned by us: paho's own thread is not wanted."""

    def __init__(self, broker: Broker, password: str | None, tls: ssl.SSLContext | None, protocol: int) -> None:
        self.code: int | None = None
        self.granted: dict[int, list[int]] = {}
        self.confirmed: dict[int, int] = {}
        self.heard: set[str] = set()
        name = f"{OURS}-{secrets.token_hex(4)}"
        clean = {} if protocol == paho.MQTTv5 else {"clean_session": True}
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=protocol, **clean)  # type: ignore[arg-type]
        if broker.username is not None:
            client.username_pw_set(broker.username, password)
        if tls is not None:
            client.tls_set_context(tls)
        client.connect_timeout = ANSWER_S
        client.on_connect = lambda _c, _u, _f, code, _p: setattr(self, "code", int(code.value))
        client.on_subscribe = lambda _c, _u, mid, codes, _p: self.granted.update({mid: [int(one.value) for one in codes]})
        client.on_publish = lambda _c, _u, mid, code, _p: self.confirmed.update({mid: int(code.value)})
        client.on_message = lambda _c, _u, message: self.heard.add(message.topic)
        client.connect(broker.host, broker.port, keepalive=KEEPALIVE_S)

    def until(self, condition: Callable[[], object], wait_s: float = ANSWER_S) -> bool:
        """Turn until it is so; False when it is not in time, or the broker hung up."""
        give_up = time.monotonic() + wait_s
        while not condition():
            if time.monotonic() > give_up or self._client.loop(0.05) != paho.MQTT_ERR_SUCCESS:
                return bool(condition())
        return True

    def subscribe(self, filters: Sequence[str]) -> list[int]:
        """A code for each filter; empty when none came."""
        mid = self._client.subscribe([(one, 1) for one in filters])[1]
        self.until(lambda: mid in self.granted)
        return self.granted.get(mid or 0, [])

    def publish(self, topic: str, qos: int) -> int | None:
        """The code of its receipt, None when none came; of QoS 0 always None."""
        mid = self._client.publish(topic, b"", qos=qos).mid
        if not qos:
            return None
        self.until(lambda: mid in self.confirmed)
        return self.confirmed.get(mid)

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()


def probe(broker: Broker, filters: Sequence[str], written: Sequence[str], echoed: Iterable[str]) -> Answer:
    """Try it. filters: what is subscribed to; written: topics to which we publish; echoed: of filters, where an empty message does no harm."""
    try:
        password = Path(broker.password_file).read_text(encoding="utf-8").strip() if broker.password_file else None
    except OSError as error:
        return Answer(fault="secret", reason=f"{broker.password_file}: {error.strerror}")
    files = TlsFiles(broker.ca_file, broker.certificate_file, broker.key_file)
    try:
        tls = client_context(files) if broker.tls else None
        with socket.create_connection((broker.host, broker.port), ANSWER_S) as reached:
            if tls is not None:  # first by ourselves: paho leaves the socket of a handshake that fails behind
                tls.wrap_socket(reached, server_hostname=broker.host).close()
        session = _Session(broker, password, tls, paho.MQTTv5)
        session.until(lambda: session.code is not None)
        if session.code is None or session.code in TOO_OLD:
            session.close()
            session = _Session(broker, password, tls, paho.MQTTv311)
            session.until(lambda: session.code is not None)
    except LineError as error:
        return Answer(fault="tls", reason=str(error))
    except ssl.SSLError as error:
        return Answer(fault="tls", reason=refusal(error, files, broker.host))
    except (OSError, ValueError) as error:
        return Answer(fault="unreachable", reason=getattr(error, "strerror", None) or str(error))
    try:
        if session.code in BAD_LOGIN:
            return Answer(fault="login", reason=f"CONNACK {session.code:#04x}")
        if session.code is None and broker.tls:  # with TLS 1.3 a broker refuses our certificate after the handshake, by hanging up
            return Answer(fault="tls", reason=refusal(ConnectionResetError("hung up without a CONNACK"), files, broker.host))
        if session.code != 0:
            return Answer(fault="unreachable", reason="no CONNACK" if session.code is None else f"CONNACK {session.code:#04x}")
        return _rights(session, filters, written, frozenset(echoed))
    finally:
        session.close()


def _rights(session: _Session, filters: Sequence[str], written: Sequence[str], echoed: frozenset[str]) -> Answer:
    if filters:
        codes = session.subscribe(filters)
        refused = tuple(one for one, code in zip(filters, codes, strict=False) if code >= 0x80)
        if refused or not codes:
            return Answer(fault="subscribe", about=refused or tuple(filters), reason="SUBACK" if codes else "no SUBACK")
    forbidden = tuple(topic for topic in written if session.publish(topic.replace("+", OURS), 1) == DENIED)
    if forbidden:
        return Answer(fault="publish", about=forbidden, reason="PUBACK 0x87")
    topics = {one: one.replace("+", TESTER) for one in filters if one in echoed}
    for topic in topics.values():
        session.publish(topic, 0)
    session.until(lambda: session.heard >= set(topics.values()), BACK_S)
    silent = [one for one, topic in topics.items() if topic not in session.heard]
    # Not one of them came back: may we not read, or was it not written? Only a receipt tells.
    unread = tuple(one for one in silent if session.publish(topics[one], 1) not in (DENIED, None))
    if unread:
        return Answer(fault="read", about=unread, reason="nothing comes back")
    return Answer(untold=tuple(one for one in filters if one in silent or one not in echoed))
