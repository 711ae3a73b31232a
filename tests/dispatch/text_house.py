"""A whole gateway in this process whose station has the channel that a test is about, and the parts around it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from waiting import WAIT_S, wait_until

from gateway.app import House
from gateway.config import read_config
from gateway.core.incident import Incident
from gateway.event import Event, Kind
from gateway.register_files import read_register
from tests.dispatch.test_phone_house import FILES

STATION, CENTRE = "+8617400000001", "+8617400000002"  # no subscribers


class Web:
    """A web server of somebody else's: remembers what it got, answers what the test lays out, the last answer for ever."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, bytes]] = [(200, b"{}")]
        self.answer: Callable[[str, dict[str, str], bytes], tuple[int, bytes]] | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = (self.path, {key.lower(): value for key, value in self.headers.items()}, body)
                web.requests.append(request)
                if web.answer is not None:
                    status, answer = web.answer(*request)
                else:
                    status, answer = web.answers.pop(0) if len(web.answers) > 1 else web.answers[0]
                web.may_answer.wait(WAIT_S)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments: object) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_arguments: object) -> None: ...  # who gave up waiting is no error here

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def web() -> Iterator[Web]:
    server = Web()
    try:
        yield server
    finally:
        server.close()


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, channel: str, settings: str, station: str = STATION, centre: str = CENTRE, *, language: str = "zh-CN"
) -> AsyncIterator[House]:
    """Station and centre have `channel`; settings: its section and its line, if it has one."""
    district = folder / "districts" / "small"
    district.mkdir(parents=True)
    (folder / "var").mkdir()
    files = FILES | {
        "responders.csv": "id,name,kind,parent,lat,lon,capacity,channel,address\n"
        f"desk,坐席,desk,,,,1000,console,\ncentre,中心,district_centre,desk,36.35,102.87,9,{channel},{centre}\n"
        f"station,驿站,station,centre,36.34,102.86,9,{channel},{station}\n"
    }
    for name, text in files.items():
        (district / name).write_text(text, encoding="utf-8")
    config_file = folder / "gateway.toml"
    config_file.write_text(
        f'[gateway]\ndistrict = "small"\ndata = "var"\nlanguage = "{language}"\n[console]\naccounts = false\nenabled = false\n'
        f'[policy.critical]\nacknowledge_s = 600\nreply_s = 600\norder = "at_once"\n{settings}\n'
    )
    config = read_config(config_file)
    house = House(config, read_register(config.district_folder, config.channels))
    stop = asyncio.Event()
    running = asyncio.create_task(house.run(stop))
    try:
        await wait_until(lambda: running.done() or all(line.is_live for line in house.lines.values()), "the lines are live")
        assert not running.done(), running.exception()
        yield house
    finally:
        stop.set()
        await running


async def cries(house: House, device: str = "A00001:1") -> None:
    now = house.now()
    await house.receive([Event(kind=Kind.SOS, line="buttons", device=device, received_at=now, occurred_at=now)])


def elders(house: House) -> Incident:
    (incident,) = [one for one in house.incidents.values() if one.person == "p1"]
    return incident


def legs(house: House) -> list[tuple[str, str]]:
    return [(leg.responder, leg.state.value) for leg in elders(house).legs]
