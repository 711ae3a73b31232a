"""One gateway, five stations, five ways: each gets its order, accepts and finishes it over its own channel, and hears nothing of the others'."""

import asyncio
import hashlib
import hmac
import json
import socket
from pathlib import Path

from waiting import free_port, wait_until

from gateway.app import House
from gateway.config import read_config
from gateway.core.incident import Incident, State
from gateway.dispatch.order_words import code_of
from gateway.event import Event, Kind
from gateway.register_files import read_register
from simulators.gsm_modem import GsmModem
from simulators.pseudo_terminal import PseudoTerminal
from tests.dispatch.test_email import Mailbox
from tests.dispatch.test_email import server as mail_server
from tests.dispatch.test_sip_house import telephone
from tests.dispatch.text_house import web

SECRET = b"a secret of sixteen and more"
MODEM, SMS = "+8617400000001", "+8617400000002"  # no subscribers
WAYS = ("webhook", "sms", "modem", "sip", "email")


def write(folder: Path, addresses: dict[str, str], settings: str) -> Path:
    """A district of five places ten kilometres apart, an elder and a station in each."""
    district = folder / "districts" / "five"
    district.mkdir(parents=True)
    (folder / "var").mkdir()
    places = {way: (36.0 + number / 10, 102.0 + number / 10) for number, way in enumerate(WAYS)}
    files = {
        "district.toml": 'name = "five"\narea_code = "0931"\nlat = 36.2\nlon = 102.2\n',
        "areas.csv": "id,name,kind,parent,lat,lon\nfive,五处,district,,36.2,102.2\n",
        "persons.csv": "id,name,born,area,home,address,lat,lon,phones\n"
        + "".join(f"p-{way},某人,1940,five,h-{way},{way} 路,{lat},{lon},\n" for way, (lat, lon) in places.items()),
        "devices.csv": "id,line,person\n" + "".join(f"b-{way},buttons,p-{way}\n" for way in WAYS),
        "responders.csv": "id,name,kind,parent,lat,lon,capacity,channel,address\ndesk,坐席,desk,,,,1000,console,\n"
        + "".join(f"s-{way},{way},station,desk,{lat},{lon},9,{way},{addresses[way]}\n" for way, (lat, lon) in places.items()),
    }
    for name, text in files.items():
        (district / name).write_text(text, encoding="utf-8")
    config = folder / "gateway.toml"
    config.write_text(
        '[gateway]\ndistrict = "five"\ndata = "var"\n[console]\nenabled = false\n'
        f'[policy.critical]\nacknowledge_s = 600\nreply_s = 600\norder = "at_once"\n{settings}'
    )
    return config


async def test_five_ways_from_the_order_to_done(tmp_path: Path) -> None:
    terminal = PseudoTerminal(tmp_path / "modem0")
    terminal.plug()
    modem = GsmModem(terminal)
    (tmp_path / "webhook.secret").write_bytes(SECRET)
    sip_port, mailbox = free_port(socket.SOCK_DGRAM), Mailbox()
    modem_runs = asyncio.create_task(modem.run())
    try:
        async with telephone("station-5") as phone:
            with web() as server, mail_server(mailbox) as mail_port:
                addresses = {"webhook": f"{server.url}/orders", "sms": SMS, "modem": MODEM, "sip": phone.address, "email": "station@example.org"}
                settings = f"""
[dispatch.webhook]
secret_file = "webhook.secret"
[dispatch.sms]
url = "{server.url}/sms"
json = {{ to = "{{phone}}", text = "{{text}}" }}
[dispatch.sms.callback]
secret_file = "webhook.secret"
[dispatch.modem]
line = "modem"
[dispatch.sip]
line = "texts"
[dispatch.email]
server = "localhost:{mail_port}"
sender = "orders@12349.example"
security = "none"
[[line]]
name = "modem"
codec = "gsm_modem"
listen = "serial:{terminal.link}"
[[line]]
name = "texts"
codec = "sip"
listen = "udp:{sip_port}:interface=127.0.0.1"
"""
                config = read_config(write(tmp_path, addresses, settings))
                house = House(config, read_register(config.district_folder, config.channels))
                assert house.register.warnings == () or {doubt.what for doubt in house.register.warnings}.isdisjoint({"left_out"})
                stop = asyncio.Event()
                running = asyncio.create_task(house.run(stop))
                try:
                    await wait_until(lambda: running.done() or all(line.is_live for line in house.lines.values()), "the lines are live")
                    assert not running.done(), running.exception()
                    now = house.now()
                    for way in WAYS:
                        await house.receive([Event(kind=Kind.SOS, line="buttons", device=f"b-{way}", received_at=now, occurred_at=now)])
                    await wait_until(lambda: all(states(house)[way] == "sent" for way in WAYS), "five orders have left")

                    orders = {path: body for path, _, body in server.requests}
                    assert "webhook 路" in orders["/orders"].decode()
                    assert "sms 路" in json.loads(orders["/sms"])["text"]
                    assert len(server.requests) == 2
                    ((number, text),) = modem.texts()
                    assert (number, "modem 路" in text) == (MODEM, True)
                    ((_, recipients, _),) = mailbox.mails
                    assert (recipients, "email 路" in mailbox.mail().get_content()) == (["station@example.org"], True)
                    assert ["sip 路" in text for text in phone.texts] == [True]

                    for word, text, state in (("accept", "1", "accepted"), ("done", "4", "done")):
                        for way in ("webhook", "email"):  # a web server and what a mail leads to answer by the stations' door
                            house._answered(f"s-{way}", json.dumps({"delivery": delivery(house, way), "answer": word}).encode())
                        body = json.dumps({"from": SMS, "text": f"{text} {code_of(delivery(house, 'sms'))}", "id": text}).encode()
                        signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
                        assert (await house.short_message({"x-signature": signature}, "application/json", body))[0] == 200
                        modem.receive(MODEM, f"{text} {code_of(delivery(house, 'modem'))}")
                        assert await phone.writes(text, sip_port) == "SIP/2.0 200 OK"
                        await wait_until(lambda state=state: set(states(house).values()) == {state}, word)  # type: ignore[misc]
                    assert {one.kind for one in house.incidents.values()} == {Kind.SOS}, "no answer became a call for help"
                    assert {one.state for one in house.incidents.values()} <= {State.RAISED, State.ACKNOWLEDGED}
                finally:
                    stop.set()
                    await running
    finally:
        modem_runs.cancel()
        terminal.unplug()


def of(house: House, way: str) -> Incident:
    (incident,) = [one for one in house.incidents.values() if one.person == f"p-{way}"]
    return incident


def states(house: House) -> dict[str, str]:
    return {way: next((str(leg.state) for leg in of(house, way).legs if leg.responder == f"s-{way}"), "") for way in WAYS}


def delivery(house: House, way: str) -> str:
    return next(leg.delivery for leg in of(house, way).legs if leg.responder == f"s-{way}")
