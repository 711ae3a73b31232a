"""A busy minute of a whole gateway, at its most talkative, with people whose names, numbers, addresses and illnesses we know: none of it gets out.

Looked through: every line of the log, every sample of /metrics, the command line that everybody on the machine can read, and every URL that is
asked of others. What comes in carries personal data where it can: texts of panels, names of callers, rubbish, notes, registers with shifted columns.
"""

import asyncio
import csv
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.publish
from desk import Desk
from house import District, House

from simulators.espa_panel import EspaPanel
from simulators.pbx import Outcome, Pbx
from simulators.stations import Behaviour, Stations
from simulators.wearables import Fleet

# Invented, every one; the numbers belong to no subscriber, the identity number's area code is not given out.
NAMES = ("欧阳梦蝶", "司徒望舒", "诸葛听雨", "慕容清秋")
FAMILY = "令狐远山"
RESPONDER = "上官驰援"
STREETS = tuple(f"幸福里{number}号楼{number}02室" for number in range(71, 75))
ILLNESS = "胰岛素依赖须随身注射"
IDENTITY = "99010119400101123X"
FAMILY_PHONE = "17400777888"
STATION_PHONE = "17400999111"
MAIL = "linghu.yuanshan@example.org"
NOTE = f"女儿{FAMILY}电话{FAMILY_PHONE}，钥匙在{STREETS[0]}门垫下"
STATIONS = ("station-1", "station-2")


class Known(District):
    """The district of the tests, with people one can tell from one another."""

    def write(self, folder: Path) -> None:
        super().write(folder)
        rows = self.rows(folder / "persons.csv")
        for number, row in enumerate(rows):
            row |= {"name": NAMES[number % len(NAMES)], "address": STREETS[number % len(STREETS)], "health_note": ILLNESS, "risks": ""}
            row["phones"] = row["phones"] or f"1740001{number:04}"
        self.save(folder / "persons.csv", rows)
        contacts = [{"person": row["id"], "name": FAMILY, "relation": "女儿", "phone": FAMILY_PHONE} for row in rows]
        self.save(folder / "contacts.csv", contacts)
        responders = self.rows(folder / "responders.csv")
        for row in responders:
            row |= {"name": RESPONDER, "phone": STATION_PHONE if row["kind"] == "station" else row["phone"]}
        self.save(folder / "responders.csv", responders)

    @staticmethod
    def rows(path: Path) -> list[dict[str, str]]:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    @staticmethod
    def save(path: Path, rows: list[dict[str, str]]) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


class Asked:
    """A web server of others: keeps the URLs that it was asked for, and refuses every other time."""

    def __init__(self) -> None:
        self.urls: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                self.urls.append(handler.path)
                handler.rfile.read(int(handler.headers["content-length"] or 0))
                handler.send_response(200 if len(self.urls) % 2 else 503)
                handler.send_header("content-length", "0")
                handler.end_headers()

            do_GET = do_POST

            def log_message(handler, *_: object) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "Asked":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def secrets(house: House) -> list[str]:
    """Everything that may stand nowhere; numbers also as they are said aloud and as E.164."""
    callers = [house.district.caller(number).removeprefix("+86") for number in range(house.district.callers)]
    numbers = [FAMILY_PHONE, STATION_PHONE, *callers]
    spelled = [f"{number[:3]} {number[3:7]} {number[7:]}" for number in numbers] + [f"{number[:3]}-{number[3:7]}-{number[7:]}" for number in numbers]
    return [*NAMES, FAMILY, RESPONDER, *STREETS, ILLNESS, IDENTITY, MAIL, *numbers, *spelled]


def named(text: str, secret: list[str]) -> list[str]:
    """What of it stands there, plainly or escaped as JSON may do."""
    return [one for one in secret if one in text or json.dumps(one)[1:-1] in text]


def test_the_search_finds_what_is_there() -> None:
    """Else it proves nothing."""
    assert named(f"x {NAMES[0]} y", [NAMES[0]]) == [NAMES[0]]
    assert named(json.dumps({"a": NAMES[1]}), [NAMES[1]]) == [NAMES[1]]
    assert named("tel:+8617400777888", [FAMILY_PHONE]) == [FAMILY_PHONE]
    assert named("nobody", [NAMES[0]]) == []


async def test_a_busy_minute_names_nobody(tmp_path: Path) -> None:
    with Asked() as asked:
        async with House(tmp_path, Known(wearables=6, rooms=2, buttons=1, callers=4)) as house:
            text = house.config.read_text(encoding="utf-8").replace('format = "json"', 'format = "json"\nlevel = "debug"')
            (tmp_path / "hook.secret").write_text("an invented secret of thirty-two bytes")
            text += f'[dispatch.webhook]\nsecret_file = "hook.secret"\n[heartbeat]\nurl = "{asked.url}/alive"\ninterval_s = 1\n'
            house.config.write_text(text, encoding="utf-8")
            responders = tmp_path / "districts" / "chaos" / "responders.csv"
            rows = Known.rows(responders)
            for row in rows:
                if row["id"] in STATIONS:
                    row |= {"channel": "webhook", "address": f"{asked.url}/orders"}
            Known.save(responders, rows)
            house.start()
            await house.ready()
            await house.lines_live()
            secret = secrets(house)
            desk = Desk(house, name="值班员")
            fleet, panel = Fleet(house.address, prefix="wearables-of-the-test"), EspaPanel(house.panel, answer_s=0.5)
            stations = Stations(
                house.address, choose=lambda *_: Behaviour("helpful", answer_after=(0.0, 0.1), travel=(0.1, 0.2)), seed=1, identifier="stations"
            )
            async with Pbx(house.hep, seed=1, area_code="0931") as pbx:
                tasks = [asyncio.create_task(part.run()) for part in (desk, fleet, panel, stations)]
                try:
                    await say_it_all(house, fleet, panel, pbx)
                    await house.sees(lambda: enough(house, asked), "alarms were heard, ordered and answered")
                    await work_at_the_desk(house, desk)
                    await break_things(house)
                    metrics = await house.get("/metrics")
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
            assert metrics is not None
            assert house.process is not None
            command_line = await asyncio.to_thread(Path(f"/proc/{house.process.pid}/cmdline").read_text)
            assert await house.stop() == 0

        said = house.log.read_text(encoding="utf-8", errors="replace")
        lines = said.splitlines()
        assert len(lines) > 10
        entries = [json.loads(line) for line in lines]  # every line is JSON, whatever happened
        assert all({"event", "level", "at"} <= set(entry) for entry in entries)
        assert [(line, found) for line in lines if (found := named(line, secret))] == []
        assert [(line, found) for line in metrics.text.splitlines() if (found := named(line, secret))] == []
        assert asked.urls
        assert [url for url in asked.urls if named(url, secret)] == []
        assert named(command_line, secret) == []


async def say_it_all(house: House, fleet: Fleet, panel: EspaPanel, pbx: Pbx) -> None:
    """Alarms, calls, and messages that are wrong in every way, all with personal data in them."""
    for number in range(house.district.wearables):
        fleet.send(house.district.wearable(number), "sos")
    panel.press(house.district.room(0), f"{NAMES[0]} {FAMILY_PHONE}")
    panel.press("99999", f"{NAMES[1]} {IDENTITY}")
    person = {"name": NAMES[0], "phone": FAMILY_PHONE, "id_number": IDENTITY, "address": STREETS[0]}
    bodies: list[Any] = [
        json.dumps(person),
        json.dumps({"kind": "sos", "ts": IDENTITY, **person}),
        json.dumps({"kind": NAMES[0], "ts": 1, "text": NOTE}, ensure_ascii=False),
        NOTE.encode("gbk"),
        f'{{"kind": "sos", "ts": {FAMILY_PHONE}, "lat": "{STREETS[0]}"',
    ]
    topics = [f"wearables/{device}/event" for device in (house.district.wearable(0), FAMILY_PHONE, NAMES[0], IDENTITY)]
    messages = [{"topic": topic, "payload": body, "qos": 1} for topic in topics for body in bodies]
    messages += [
        {"topic": f"stations/{one}/reply", "payload": json.dumps({"delivery": "x", "answer": NOTE, "by": FAMILY}), "qos": 1}
        for one in (*STATIONS, FAMILY)
    ]
    await asyncio.to_thread(paho.mqtt.publish.multiple, messages, hostname="127.0.0.1", port=house.address.port)
    outcomes = [Outcome.ANSWERED, Outcome.ABANDONED, Outcome.NO_ANSWER, Outcome.QUEUED]
    calls = [
        pbx.call(f"call {number}", house.district.caller(number), outcome, ring_s=0.1, talk_s=0.2, display=NAMES[number])
        for number, outcome in enumerate(outcomes)
    ]
    await asyncio.gather(*calls)


async def enough(house: House, asked: Asked) -> bool:
    return (
        await house.metric("gateway_events_total", outcome="accepted") >= 10
        and len(asked.urls) >= 3
        and await house.metric("gateway_rejected_total") >= 3
    )


async def work_at_the_desk(house: House, desk: Desk) -> None:
    """Look for people by what is known of them, open them, write notes; and do it wrong."""
    await house.sees(lambda: taken(desk), "somebody at the desk took an alarm")
    session = await house.get("/api/v1/session")
    assert session is not None
    csrf = session.json()["csrf"]
    for wanted in (NAMES[0], FAMILY_PHONE, IDENTITY, STREETS[0]):
        for path in ("/api/v1/search", "/api/v1/register/search", "/api/v1/persons"):
            await house.post(path, {"q": wanted, "text": wanted}, csrf)
        for path in (f"/api/v1/persons/{wanted}", f"/{wanted}", f"/api/v1/incidents/{wanted}"):  # nobody should, somebody will
            await house.get(path, q=wanted)
    for name in [*desk.rows][:3]:
        for action, body in (("note", {"text": NOTE}), ("note", {"wrong": NOTE}), ("resolve", {"outcome": NOTE}), (FAMILY, {})):
            await house.post(f"/api/v1/incidents/{name}/{action}", {"key": f"{name}{action}", **body}, csrf)
    facts = await house.get("/api/v1/incidents")
    assert facts is not None


async def taken(desk: Desk) -> bool:
    return bool(desk.taken)


async def break_things(house: House) -> None:
    """A register with its columns shifted by one, as spreadsheets do; a broker that goes; a message that comes when nobody reads."""
    persons = house.folder / "districts" / "chaos" / "persons.csv"
    right = persons.read_text(encoding="utf-8")
    header, *rows = right.splitlines()
    cells = [row.split(",") for row in rows]
    rotated = [[",".join(row[by:] + row[:by]) for row in cells] for by in (1, -1, 3)]  # as many cells as there should be, in the wrong columns
    shifts = (*rotated, [f",{row}" for row in rows], [f"{NAMES[0]},{FAMILY_PHONE},{IDENTITY},{STREETS[0]},{ILLNESS}"])
    for count, shifted in enumerate(shifts, 1):
        persons.write_text("\n".join([header, *shifted]) + "\n", encoding="utf-8")
        house.hang_up()
        await house.sees(lambda count=count: refused(house, count), "the shifted register is refused")  # type: ignore[misc]
    contacts = persons.with_name("contacts.csv")
    contacts.write_text(contacts.read_text(encoding="utf-8").replace(FAMILY_PHONE, f"{FAMILY_PHONE} {MAIL} {NOTE}"), encoding="utf-8")
    persons.write_text(right, encoding="utf-8")
    house.hang_up()
    await house.broker.stop()
    await house.sees(lambda: lost(house), "the line is lost")


async def refused(house: House, count: int) -> bool:
    return await house.metric("gateway_config_reload_total", result="failed") >= count


async def lost(house: House) -> bool:
    return await house.line("wearables") == "lost"
