"""The SIP line on real sockets: UDP, TCP, TLS, IPv6; stored before answered; nobody disturbs anybody else."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from certificates import self_signed
from servers import program
from waiting import WAIT_S, free_port, wait_until

from drivers.lines import sip_port, sip_sockets
from drivers.lines.measures import measures
from drivers.lines.sip_sockets import Endpoint, parse_endpoint
from drivers.registry import build_line, check_line
from drivers.sip import stream_frames
from drivers.sip.hop import Hop
from drivers.telephone import Texter
from drivers.user_agent import text_service
from gateway.config import CallsConfig, LineConfig
from gateway.errors import LineError
from tests.sip.rfc4475 import TORTURE
from tests.sip.sip_peer import Connection, Datagrams, Store, Told, a_line, ok, read, request, running, talking
from tests.sip.test_user_agent import ALARM, proof

LOCAL_TCP = "tcp:0:interface=127.0.0.1"


def trusting(cert: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cert)


# ---- UDP


async def test_a_message_is_stored_before_it_is_answered() -> None:
    store = Store(gate=asyncio.Event())
    async with talking(store) as (device, _, line):
        await device.send(request())
        await wait_until(lambda: store.emits, "the alarm is with the store")
        await device.send(request())  # repeated meanwhile: absorbed
        await wait_until(lambda: line.counts["retransmissions"], "the repetition")
        assert store.events == []
        with pytest.raises(BlockingIOError):
            device.socket.recv(1)
        assert store.gate is not None
        store.gate.set()
        assert read(await device.receive()).code == 200
        assert [(event.kind.value, event.device, event.line) for event in store.events] == [("help", "1234567890", "sip")]


async def test_five_transmissions_are_one_alarm_and_five_identical_answers() -> None:
    async with talking() as (device, store, line):
        answers = set()
        for _ in range(5):
            await device.send(request())
            answers.add(await device.receive())
        assert len(answers) == 1
        assert len(store.kept) == 1
        assert line.counts["retransmissions"] == 4


async def test_the_answer_goes_to_the_port_it_came_from_whatever_the_via_says() -> None:
    async with talking() as (device, _, _line):
        answer = await device.ask(request(sent_by="10.9.8.7:9"))
        assert answer.one("via") == f"SIP/2.0/UDP 10.9.8.7:9;branch=z9hG4bKdemo1;rport={device.port};received=127.0.0.1"


async def test_without_rport_it_goes_to_the_port_of_the_via() -> None:
    async with talking() as (device, _, _line):
        other = Datagrams(*reversed(device.line))
        await device.send(request(via=f"Via: SIP/2.0/UDP 10.9.8.7:{other.port};branch=z9hG4bK1"))
        assert read(await other.receive()).one("via").endswith(";received=127.0.0.1")
        other.close()


async def test_a_datagram_of_60_kb_and_keepalives() -> None:
    async with talking() as (device, store, line):
        assert (await device.ask(request(body=b"x" * 60_000))).code == 200
        for silence in (b"\r\n\r\n", b"\0\0\0\0", b"\r\n"):
            await device.send(silence)
        assert await device.is_silent()
        assert len(store.events[0].raw) > 60_000
        assert line.counts["keepalives"] == 3


async def test_the_store_is_away_and_comes_back() -> None:
    async with talking(Store(down=1)) as (device, store, _line):
        refused = await device.ask(request(content_type="application/scaip+xml", body=ALARM))
        assert (refused.code, refused.one("retry-after")) == (503, "10")
        assert await device.is_silent()
        again = request(branch="z9hG4bK2", cseq=2, content_type="application/scaip+xml", body=ALARM)
        assert (await device.ask(again)).code == 200
        assert len(store.events) == 1


async def test_the_scaip_reply_comes_after_the_200_and_is_repeated_until_it_is_answered() -> None:
    async with talking() as (device, store, line):
        assert (await device.ask(request(content_type="application/scaip+xml", body=ALARM))).code == 200
        first, second = await device.receive(), await device.receive()
        assert first == second
        assert read(first).first.startswith("MESSAGE sip:1234567890@example.net")
        assert b"<snu>0</snu>" in first
        await device.send(ok(first))
        await wait_until(lambda: line.counts["follow_up_sent"], "the reply is known to have arrived")
        assert [event.kind.value for event in store.events] == ["sos"]


async def test_every_torture_message_is_followed_by_a_good_one() -> None:
    async with talking() as (device, store, _line):
        codes = []
        for index, row in enumerate(TORTURE):
            await device.send(row.wire)
            await device.send(request(branch=f"z9hG4bKgood{index}", cseq=index + 1, call_id="good"))
            while read(answer := await device.receive()).one("call-id") != "good":
                codes.append(read(answer).code)
        assert len([event for event in store.events if event.detail.get("call_id") == "good"]) == len(TORTURE) == 49
        assert set(codes) <= {200, 400, 405, 415, 416, 420, 481, 501, 505, 513}


async def test_unknown_sources_hear_nothing() -> None:
    async with talking(sources=["192.0.2.0/24"], also=[LOCAL_TCP]) as (device, store, line):
        await device.send(request())
        await device.send(request("OPTIONS", body=b""))
        await wait_until(lambda: line.counts["unknown_source"] == 2, "both came")
        connection = await Connection.open(line.ports[1][2])
        assert await connection.ended() == b""
        await connection.close()
        with pytest.raises(BlockingIOError):
            device.socket.recv(1)
        assert store.kept == []


async def test_passwords_out_of_the_file(tmp_path: Path) -> None:
    passwords = tmp_path / "sip.toml"
    passwords.write_text('[devices]\nalarm-01 = "s3cret"\n')
    async with talking(authentication="required", credentials_file=str(passwords)) as (device, store, _line):
        asked = await device.ask(request())
        assert asked.code == 401
        for index, challenge in enumerate(asked.headers["www-authenticate"]):
            good = request(branch=f"z9hG4bK{index}", cseq=index + 2, headers=[proof(challenge, nc=f"{index + 1:08x}")])
            assert (await device.ask(good)).code == 200
        assert [event.integrity for event in store.events] == ["verified"] * 2


async def test_ipv6() -> None:
    store = Store()
    async with running(a_line("udp:0:interface=\\:\\:1", also=["tcp:0:interface=\\:\\:1"]), store) as line:
        device = Datagrams(line.ports[0][2], "::1")
        answer = await device.ask(request(sent_by="[2001:db8::5]:5060"))
        assert answer.one("via") == f"SIP/2.0/UDP [2001:db8::5]:5060;branch=z9hG4bKdemo1;rport={device.port};received=::1"
        device.close()
        connection = await Connection.open(line.ports[1][2], "::1")
        assert (await connection.ask(request(transport="TCP", branch="z9hG4bK2", cseq=2))).code == 200
        await connection.close()
        assert len(store.events) == 2
        text = asyncio.create_task(line.send_text(f"sip:x@[::1]:{device_port(line)}", b"x", "text/plain"))
        assert await text == ""


def device_port(line: object) -> int:
    """A peer on ::1 that accepts whatever it is told, as a thread of the loop."""
    peer = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    peer.bind(("::1", 0))
    peer.setblocking(False)
    loop = asyncio.get_running_loop()

    def accept() -> None:
        data, source = peer.recvfrom(65_535)
        peer.sendto(ok(data), source)
        loop.remove_reader(peer)
        peer.close()

    loop.add_reader(peer, accept)
    port: int = peer.getsockname()[1]
    return port


# ---- TCP and TLS


@contextlib.asynccontextmanager
async def connected(**options: object):  # type: ignore[no-untyped-def]
    store = Store()
    async with running(a_line(also=[LOCAL_TCP], **options), store) as line:
        connection = await Connection.open(line.ports[1][2])
        try:
            yield connection, store, line
        finally:
            await connection.close()


def tcp(number: int = 1, **changes: object) -> bytes:
    return request(transport="TCP", branch=f"z9hG4bK{number}", cseq=number, **changes)  # type: ignore[arg-type]


async def test_two_messages_in_one_segment_and_one_in_many() -> None:
    async with connected() as (connection, store, _line):
        await connection.send(tcp(1) + tcp(2))
        assert [read(await connection.receive()).one("cseq") for _ in range(2)] == ["1 MESSAGE", "2 MESSAGE"]
        data = tcp(3)
        for index in range(0, len(data), 20):
            await connection.send(data[index : index + 20])
            await asyncio.sleep(0)
        assert read(await connection.receive()).one("cseq") == "3 MESSAGE"
        assert len(store.events) == 3


async def test_pings_are_answered() -> None:
    async with connected() as (connection, _store, line):
        await connection.send(b"\r\n\r\n")
        assert await connection.reader.readexactly(2) == b"\r\n"
        assert (await connection.ask(b"\r\n" + tcp())).code == 200
        assert line.counts["pings"] == 1


async def test_the_reply_comes_over_the_same_connection() -> None:
    async with connected() as (connection, _store, line):
        assert (await connection.ask(tcp(content_type="application/scaip+xml", body=ALARM))).code == 200
        reply = await connection.receive()
        assert read(reply).one("via").startswith(f"SIP/2.0/TCP 127.0.0.1:{line.ports[1][2]};")
        await connection.send(ok(reply))
        await wait_until(lambda: line.counts["follow_up_sent"], "the reply has arrived")


async def test_a_stuck_peer_disturbs_nobody_and_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_frames, "MESSAGE_S", 0.2)
    monkeypatch.setattr(stream_frames, "FIRST_S", 0.3)
    async with connected() as (stuck, store, line):
        silent = await Connection.open(line.ports[1][2])
        await stuck.send(tcp()[:50])
        good = await Connection.open(line.ports[1][2])
        assert (await good.ask(tcp(2))).code == 200
        assert await stuck.ended() == b""
        assert await silent.ended() == b""
        assert (await good.ask(tcp(3))).code == 200
        assert (line.counts["slow_message"], line.counts["silent"]) == (1, 1)
        await good.close()
        await silent.close()
        assert len(store.events) == 2


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (tcp().replace(b"Content-Length: 12", b"Content-Length: 12\r\nContent-Length: 13"), "two_content_lengths"),
        (tcp().replace(b"Content-Length: 12", b"Content-Length: -12"), "bad_content_length"),
        (tcp().replace(b"Content-Length: 12\r\n", b""), "no_content_length"),
        (b"\xfe" * 64 + b"A" * 70_000, "too_long"),
    ],
)
async def test_what_cannot_be_cut_ends_its_own_connection(data: bytes, word: str) -> None:
    async with connected() as (connection, store, line):
        with contextlib.suppress(ConnectionError):
            await connection.send(data)
        assert await connection.ended() == b""
        assert line.counts[word] == 1
        other = await Connection.open(line.ports[1][2])
        assert (await other.ask(tcp())).code == 200
        await other.close()
        assert len(store.events) == 1


async def test_a_body_beyond_the_limit_gets_513_and_is_not_waited_for() -> None:
    async with connected(max_body=65_536) as (connection, store, _line):
        answer = await connection.ask(tcp(body=b"", length=70_000, content_type=""))
        assert answer.code == 513
        assert await connection.ended() == b""
        assert store.events == []


async def test_a_peer_that_reads_no_answers_is_hung_up_on() -> None:
    async with connected(requests_per_s=100_000) as (connection, _store, line):
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        options = b"".join(tcp(index, method="OPTIONS", body=b"") for index in range(1, 1001))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(4 * WAIT_S):
                while True:
                    await connection.send(options)
        other = await Connection.open(line.ports[1][2])
        assert (await other.ask(tcp(9000))).code == 200
        await other.close()
        assert line.counts["reads_no_answers"] == 1


async def test_the_quietest_connection_makes_room() -> None:
    async with connected(max_connections=2) as (first, _store, line):
        assert (await first.ask(tcp(1))).code == 200
        second = await Connection.open(line.ports[1][2])
        assert (await second.ask(tcp(2))).code == 200
        third = await Connection.open(line.ports[1][2])
        assert (await third.ask(tcp(3))).code == 200
        assert await first.ended() == b""
        assert (await second.ask(tcp(4))).code == 200
        assert line.counts["connections_evicted"] == 1
        await second.close()
        await third.close()


async def test_one_address_that_opens_many_connections_at_once_costs_nobody_else_theirs() -> None:
    line = a_line(also=[LOCAL_TCP], max_connections=8)
    async with running(line, Store()):
        port = line.ports[1][2]
        device = await Connection.open(port)
        assert (await device.ask(tcp(1))).code == 200
        crowd = [socket.socket() for _ in range(40)]
        for one in crowd:
            one.bind(("127.0.0.2", 0))
            one.connect(("127.0.0.1", port))  # accepted together, when the loop has its turn
        await wait_until(lambda: line.counts["connections"] == 41, "all have been accepted")
        assert line.connections == 8
        assert (await device.ask(tcp(2))).code == 200
        for one in crowd:
            one.close()
        await device.close()


async def test_answers_to_connections_that_are_gone_open_no_more_than_half_of_ours() -> None:
    store = Store(gate=asyncio.Event())
    line = a_line(also=[LOCAL_TCP], max_connections=8)
    async with running(line, store):
        for number in range(20):
            device = await Connection.open(line.ports[1][2])
            await device.send(tcp(number, sent_by=f"127.0.0.1:{9 + number}"))
            await wait_until(lambda wanted=number + 1: line.counts["messages"] == wanted, "it was read")  # type: ignore[misc]
            await device.close()
        await wait_until(lambda: line.connections == 0, "all are gone")
        assert store.gate is not None
        store.gate.set()
        await wait_until(lambda: line.counts["connections_refused"] == 16, "as many answers as may still be tried")
        assert len(store.events) == 20


async def test_tls_and_a_renewed_certificate(tmp_path: Path) -> None:
    cert, key = map(str, self_signed(tmp_path))
    store = Store()
    line = a_line(also=[f"ssl:0:privateKey={key}:certKey={cert}:interface=127.0.0.1"])
    async with running(line, store):
        port = line.ports[1][2]
        connection = await Connection.open(port, tls=trusting(cert))
        assert connection.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
        assert (await connection.ask(request(transport="TLS"))).code == 200
        await connection.close()
        old = trusting(cert)
        self_signed(tmp_path)
        with pytest.raises(ssl.SSLError):
            await Connection.open(port, tls=old)
        connection = await Connection.open(port, tls=trusting(cert))
        assert (await connection.ask(request(transport="TLS", branch="z9hG4bK2", cseq=2))).code == 200
        await connection.close()
        (tmp_path / "certificate.pem").write_text("half written")  # the old one stays in force
        connection = await Connection.open(port, tls=trusting_anybody())
        await connection.close()
    assert len(store.events) == 2


def trusting_anybody() -> ssl.SSLContext:
    """The question is only whether a connection comes about."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    cert, key = map(str, self_signed(tmp_path))
    async with running(a_line(also=["ssl:0:interface=127.0.0.1"], key_file=key, certificate_file=cert), Store()) as line:
        asked = f"127.0.0.1:{line.ports[1][2]}"
        process = await asyncio.create_subprocess_exec(
            *(program("openssl"), "s_client", "-connect", asked, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode != 0
        assert b"alert protocol version" in said


# ---- sending


async def test_a_text_by_each_transport(tmp_path: Path) -> None:
    cert, key = map(str, self_signed(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    told: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                told.append(await connection.receive())
                await connection.send(ok(told[-1]))

    async with talking(ca_file=cert, address="sip:12349@hotline.example") as (peer, _store, line):
        assert isinstance(line, Texter)
        plain = await asyncio.start_server(accept, "127.0.0.1", 0)
        secret = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
        for server, transport, host in ((plain, "tcp", "127.0.0.1"), (secret, "tls", "localhost")):
            port = server.sockets[0].getsockname()[1]
            for _ in range(2):
                assert await line.send_text(f"sip:station-7@{host}:{port};transport={transport}", b"go", "text/plain") == ""
        assert line.counts["connections"] == 2
        assert [read(one).one("via")[:11] for one in told] == ["SIP/2.0/TCP", "SIP/2.0/TCP", "SIP/2.0/TLS", "SIP/2.0/TLS"]
        sending = asyncio.create_task(line.send_text(f"sip:station-7@127.0.0.1:{peer.port}", "去现场".encode(), "text/plain;charset=utf-8"))
        asked = await peer.receive()
        assert read(asked).body.decode() == "去现场"
        await peer.send(ok(asked, 486))
        assert await sending == "sip_486"
        for server in (plain, secret):
            server.close()


async def test_a_certificate_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    cert, key = map(str, self_signed(tmp_path, hosts=("another.example",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with talking(ca_file=cert) as (_peer, _store, line):
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        assert await line.send_text(f"sips:x@localhost:{port}", b"go", "text/plain") == "connection_lost"
        server.close()


async def test_a_long_text_goes_by_tcp_and_by_udp_when_refused() -> None:
    async with talking() as (peer, _store, line):
        sending = asyncio.create_task(line.send_text(f"sip:x@127.0.0.1:{peer.port}", b"x" * 2000, "text/plain"))
        asked = await peer.receive()
        assert len(asked) > 2000
        await peer.send(ok(asked))
        assert await sending == ""


async def test_names_that_nobody_knows_and_ports_that_nobody_has() -> None:
    async with talking() as (_peer, _store, line):
        assert await line.send_text("sip:x@nobody.invalid", b"x", "text/plain") == "no_route"
        assert await line.send_text("tel:12349", b"x", "text/plain") == "no_route"
        assert await line.send_text(f"sip:x@127.0.0.1:{free_port()};transport=tcp", b"x", "text/plain") == "unreachable"
        assert await line.send_text("sip:x@[::1]:5060", b"x", "text/plain") == "no_route"  # no socket of that family
    assert await line.send_text("sip:x@127.0.0.1", b"x", "text/plain") == "line_down"


async def test_a_text_whose_way_is_still_being_looked_up_fails_when_the_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def slow_resolver(*_: object) -> list[Hop]:
        asked.set()
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(sip_port, "find_hops", slow_resolver)
    async with talking() as (_peer, _store, line):
        sending = asyncio.create_task(line.send_text("sip:x@slow.invalid", b"x", "text/plain"))
        await asyncio.wait_for(asked.wait(), WAIT_S)
    assert await asyncio.wait_for(sending, WAIT_S) == "line_down"


async def test_registered_and_unregistered(tmp_path: Path) -> None:
    passwords = tmp_path / "sip.toml"
    passwords.write_text('[accounts]\n12349 = "hush"\n')
    registrar = Datagrams(1)
    options = {
        "register": {"registrar": f"sip:127.0.0.1:{registrar.port}", "address": "sip:12349@pbx.example"},
        "account": "12349",
        "credentials_file": str(passwords),
    }
    async with running(a_line(**options), Store()) as line:
        registrar.line = ("127.0.0.1", line.port or 0)
        first = await registrar.receive()
        await registrar.send(ok(first, 401, ['WWW-Authenticate: Digest realm="pbx", nonce="n", algorithm=SHA-256, qop="auth"']))
        second = await registrar.receive()
        assert 'username="12349"' in read(second).one("authorization")
        await registrar.send(ok(second, 200, ["Expires: 600"]))
        await wait_until(lambda: line.agent.is_quiet, "registered")
        goodbye = asyncio.create_task(answer_next(registrar))
    last = read(await goodbye)
    assert (last.first, last.one("expires")) == (f"REGISTER sip:127.0.0.1:{registrar.port} SIP/2.0", "0")
    registrar.close()


async def test_who_comes_while_we_say_goodbye_is_sent_on_too() -> None:
    registrar = Datagrams(1)
    store = Store()
    line = a_line(register={"registrar": f"sip:127.0.0.1:{registrar.port}", "address": "sip:12349@pbx.example"})
    device = Datagrams(1)

    async def last_minute() -> None:
        goodbye = await registrar.receive()
        await device.send(request())
        await wait_until(lambda: len(line._waiting) == 1, "it was read")
        await registrar.send(ok(goodbye))

    async with running(line, store):
        registrar.line = device.line = ("127.0.0.1", line.port or 0)
        await registrar.send(ok(await registrar.receive(), 200, ["Expires: 600"]))
        await wait_until(lambda: line.agent.is_quiet, "registered")
        late = asyncio.create_task(last_minute())
    await late
    assert read(await device.receive()).code == 503
    assert store.events == []
    registrar.close()
    device.close()


async def answer_next(peer: Datagrams) -> bytes:
    asked = await peer.receive()
    await peer.send(ok(asked))
    return asked


# ---- the line itself


async def test_a_port_that_is_taken_is_a_line_error_and_leaves_nothing_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(LineError, match=str(port)):
            await a_line(f"udp:{port}:interface=127.0.0.1").run(Store().emit, Told())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = a_line(also=[f"tcp:{port}:interface=127.0.0.1"])
        for _ in range(2):
            with pytest.raises(LineError, match=str(port)):
                await line.run(Store().emit, Told())


async def test_a_bug_of_ours_ends_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    line = a_line()
    told = Told()
    task = asyncio.create_task(line.run(Store().emit, told))
    await wait_until(lambda: told.states, "the line is live")
    monkeypatch.setattr(line.agent, "receive", broken)
    device = Datagrams(line.port or 0)
    await device.send(request())
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(task, WAIT_S)
    device.close()


async def test_who_waits_when_the_line_stops_is_told_to_go_elsewhere() -> None:
    store, line, told = Store(gate=asyncio.Event()), a_line(), Told()
    task = asyncio.create_task(line.run(store.emit, told))
    await wait_until(lambda: told.states, "the line is live")
    device = Datagrams(line.port or 0)
    await device.send(request())
    text = asyncio.create_task(line.send_text(f"sip:x@127.0.0.1:{device.port}", b"x", "text/plain"))
    assert read(await device.receive()).first.startswith("MESSAGE sip:x@")
    await wait_until(lambda: store.emits, "the alarm is with the store")
    task.cancel()
    assert read(await device.receive()).code == 503
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await text == "line_down"
    device.close()


async def test_a_line_may_run_again() -> None:
    line, store = a_line(), Store()
    for index in range(2):
        async with running(line, store):
            device = Datagrams(line.port or 0)
            assert (await device.ask(request(branch=f"z9hG4bK{index}", cseq=index + 1))).code == 200
            device.close()
    assert len(store.events) == 2


async def test_a_flood_of_undecided_messages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_service, "MAX_UNDECIDED", 5)
    store = Store(gate=asyncio.Event())
    async with talking(store) as (device, _, _line):
        for index in range(8):
            await device.send(request(branch=f"z9hG4bK{index}", cseq=index + 1))
        assert [read(await device.receive()).code for _ in range(3)] == [503] * 3
        assert store.gate is not None
        store.gate.set()
        assert [read(await device.receive()).code for _ in range(5)] == [200] * 5


# ---- configuration


def test_endpoints() -> None:
    assert parse_endpoint("udp:5060") == Endpoint("udp", 5060)
    assert parse_endpoint("tcp:5060:interface=\\:\\:1") == Endpoint("tcp", 5060, "::1")
    assert parse_endpoint("ssl:5061:privateKey=k.pem:certKey=c.pem") == Endpoint("tls", 5061, "", "k.pem", "c.pem")
    assert parse_endpoint("ssl:5061", "k.pem", "c.pem") == Endpoint("tls", 5061, "", "k.pem", "c.pem")
    for wrong in ("5060", "serial:/dev/x", "udp:x", "udp:70000", "tcp:5060:backlog=5", "tcp:5060:certKey=x", "ssl:5061", "udp:5060:interface="):
        with pytest.raises(ValueError, match=wrong.partition(":")[0]):
            parse_endpoint(wrong)
    assert sip_sockets.WORDS == {"udp": "udp", "tcp": "tcp", "ssl": "tls"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"also": ["tcp:x"]}, "options.also: 'tcp:x'"),
        ({"also": ["udp:5060"]}, "port 5060 is taken"),
        ({"also": ["ssl:5061"]}, "certificate"),
        ({"also": ["ssl:5061:privateKey=/nowhere/k:certKey=/nowhere/c"]}, "cannot be used"),
        ({"sources": ["nowhere"]}, "sources"),
        ({"advertise": "pbx.example"}, "advertise"),
        ({"authentication": "maybe"}, "options.authentication"),
        ({"authentication": "required"}, "credentials_file"),
        ({"authentication_for": {"nowhere": "off"}}, "authentication_for"),
        ({"credentials_file": "/nowhere/sip.toml"}, "options.credentials_file"),
        ({"account": "12349"}, "has no password"),
        ({"invite": 200}, "options.invite"),
        ({"bodies": ["morse"]}, "morse"),
        ({"body_options": {"scaip": {"colour": "red"}}}, "colour"),
        ({"subscribe": ["8001"]}, "options.subscribe"),
        ({"register": {"registrar": "pbx", "address": "sip:1@pbx"}}, "options.register"),
        ({"max_body": 10_000_000}, "options.max_body"),
        ({"ca_file": "/nowhere/ca.pem"}, "options.ca_file"),
        ({"address": "12349"}, "options.address"),
        ({"colour": "red"}, "options.colour"),
    ],
)
def test_faults_of_the_configuration_name_key_and_remedy(options: dict[str, object], words: str) -> None:
    problems = check_line(LineConfig(name="sip", codec="sip", listen="udp:5060", options=options))
    assert len(problems) == 1
    assert problems[0].startswith("line 'sip': ")
    assert words in problems[0]


def test_a_password_never_stands_in_a_fault(tmp_path: Path) -> None:
    passwords = tmp_path / "sip.toml"
    for text in ('[devices]\na = "s3cret\n', "[devices]\na = 12345678\n", '[users]\na = "s3cret"\n'):
        passwords.write_text(text)
        [problem] = check_line(LineConfig(name="sip", codec="sip", listen="udp:5060", options={"credentials_file": str(passwords)}))
        assert "s3cret" not in problem
        assert "12345678" not in problem


def test_all_options_together_can_be_built(tmp_path: Path) -> None:
    passwords = tmp_path / "sip.toml"
    passwords.write_text('[devices]\nalarm-01 = "s3cret"\n[accounts]\n12349 = "hush"\n')
    cert, key = map(str, self_signed(tmp_path))
    options = {
        "also": ["tcp:5060:interface=127.0.0.1", f"ssl:5061:privateKey={key}:certKey={cert}"],
        "sources": ["127.0.0.0/8", "::1"],
        "advertise": "192.0.2.10",
        "realm": "12349.example",
        "credentials_file": str(passwords),
        "authentication": "accept_and_mark",
        "authentication_for": {"192.0.2.0/24": "required"},
        "invite": 486,
        "register": {"registrar": "sip:pbx.example", "address": "sip:12349@pbx.example"},
        "account": "12349",
        "subscribe": ["sip:8001@pbx.example"],
        "bodies": ["scaip", "text"],
        "body_options": {"text": {"kind": "sos"}},
    }
    line = build_line(LineConfig(name="sip", codec="sip", listen="udp:5060:interface=127.0.0.1", options=options), CallsConfig())
    assert (line.name, line.codec_name) == ("sip", "sip")


async def test_the_answer_finds_a_device_that_has_hung_up_meanwhile() -> None:
    """RFC 3261, 18.2.2: at the address it came from, on the port of its Via."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        await answers.put(await connection.receive())
        await connection.close()

    device = await asyncio.start_server(accept, "127.0.0.1", 0)
    store = Store(gate=asyncio.Event())
    async with running(a_line(also=[LOCAL_TCP]), store) as line:
        connection = await Connection.open(line.ports[1][2])
        await connection.send(tcp(sent_by=f"127.0.0.1:{device.sockets[0].getsockname()[1]}"))
        await wait_until(lambda: store.emits, "the alarm is with the store")
        await connection.close()
        await wait_until(lambda: not line.connections, "the line knows that it is gone")
        assert store.gate is not None
        store.gate.set()
        assert read(await asyncio.wait_for(answers.get(), WAIT_S)).code == 200
    device.close()


async def test_what_the_line_counts_is_on_metrics() -> None:
    async with talking() as (device, _store, line):
        await device.ask(request())
        await device.ask(request())
        told = {measure.labels.get("what", measure.name): measure.value for measure in measures(line)}
        assert told == {"messages": 2, "code_200": 1, "retransmissions": 1, "dropped": 0, "held": 0, "connections": 0}


async def test_a_site_may_do_without_udp(tmp_path: Path) -> None:
    cert, key = map(str, self_signed(tmp_path))
    async with running(a_line("ssl:0:interface=127.0.0.1", key_file=key, certificate_file=cert), store := Store()) as line:
        assert [transport for transport, _, _ in line.ports] == ["tls"]
        connection = await Connection.open(line.port or 0, tls=trusting(cert))
        assert (await connection.ask(request(transport="TLS"))).code == 200
        await connection.close()
        assert await line.send_text("sip:x@127.0.0.1", b"x", "text/plain") == "no_route"
        assert len(store.events) == 1
    [problem] = check_line(LineConfig(name="sip", codec="sip", listen="serial:/dev/x"))
    assert "udp: or tcp: or ssl:" in problem
