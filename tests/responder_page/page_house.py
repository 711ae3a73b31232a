"""A whole gateway with a responder page over TLS, and telephones that know nothing but the link they were sent."""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
from certificates import self_signed
from house import District, House, Setting
from servers import Outsider, until
from waiting import free_port

SECRET = "5f" * 32
FORM = re.compile(r'<form method="post">(.*?)</form>', re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


class Telephone:
    """A browser without JavaScript: opens a page, presses a button on it, keeps cookies."""

    def __init__(self, context: ssl.SSLContext | bool = False, language: str = "en") -> None:
        self._client = httpx.AsyncClient(verify=context, headers={"accept-language": language}, timeout=30, trust_env=False, follow_redirects=True)
        self.page: httpx.Response | None = None

    async def open(self, url: str) -> httpx.Response:
        self.page = await self._client.get(url)
        return self.page

    @property
    def text(self) -> str:
        assert self.page is not None
        return self.page.text

    @property
    def offered(self) -> list[str]:
        """The answers of the buttons on the page."""
        return [self.form_of(inner)["do"] for inner in FORM.findall(self.text)]

    @staticmethod
    def form_of(inner: str) -> dict[str, str]:
        return dict(HIDDEN.findall(inner))

    def form(self, do: str) -> dict[str, str]:
        """What the button sends."""
        forms = [form for inner in FORM.findall(self.text) if (form := self.form_of(inner))["do"] == do]
        assert len(forms) == 1, f"no button {do}: {self.text}"
        return forms[0]

    async def press(self, do: str, **more: str) -> httpx.Response:
        return await self.send({**self.form(do), **more})

    async def send(self, form: dict[str, str], url: str = "") -> httpx.Response:
        assert self.page is not None
        self.page = await self._client.post(url or str(self.page.url), data=form)
        return self.page

    async def close(self) -> None:
        await self._client.aclose()


class PageHouse:
    """The gateway, a witness at its broker, and as many telephones as are asked for."""

    def __init__(self, house: House, folder: Path, **keys: object) -> None:
        self.house = house
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        cert, key = self_signed(folder, "cert")
        self.trust = ssl.create_default_context(cafile=str(cert))
        self.witness: Outsider
        self._telephones: list[Telephone] = []
        self._csrf = ""
        (folder / "page.secret").write_text(SECRET)
        settings = {
            "listen": f"127.0.0.1:{self.port}",
            "public_url": self.url,
            "cert_file": cert.name,
            "key_file": key.name,
            "secret_file": "page.secret",
            "per_minute": 100_000,
            **keys,
        }
        with house.config.open("a") as config:
            config.write("\n[responder_page]\n" + "".join(f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in settings.items()))

    def telephone(self, language: str = "en") -> Telephone:
        telephone = Telephone(self.trust, language)
        self._telephones.append(telephone)
        return telephone

    async def start(self) -> None:
        self.house.start()
        await self.house.ready()
        await self.house.lines_live("wearables", "station-replies")

    async def cry(self, number: int = 1) -> None:
        """Somebody presses."""
        await self.witness.publish(
            f"wearables/{self.house.district.wearable(number)}/event", msgspec.json.encode({"kind": "sos", "ts": 1_700_000_000_000 + number})
        )

    def orders(self) -> list[dict[str, Any]]:
        """What reached the stations, oldest first."""
        return [msgspec.json.decode(body) for topic, body in self.witness.received if topic.endswith("/dispatch")]

    async def order(self, number: int = 1) -> dict[str, Any]:
        """The order for this press."""
        device = self.house.district.wearable(number)
        await until(lambda: [one for one in self.orders() if one.get("device") == device], "the order reached its station")
        return next(one for one in self.orders() if one.get("device") == device)

    async def ordered(self, number: int = 1) -> dict[str, Any]:
        """Somebody presses, and the order with its link comes to the station."""
        await self.cry(number)
        return await self.order(number)

    async def incident(self, name: str) -> dict[str, Any]:
        await self._duty()
        answer = await self.house.get(f"/api/v1/incidents/{name}")
        assert answer is not None
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def leg(self, order: dict[str, Any]) -> str:
        """The state of an order as it stands in the gateway."""
        incident = await self.incident(order["incident"])
        return next(str(leg["state"]) for leg in incident["legs"] if leg["delivery"] == order["delivery"])

    async def command(self, incident: str, action: str, **facts: object) -> httpx.Response:
        return await self.post(f"/api/v1/incidents/{incident}/{action}", **facts)

    async def post(self, path: str, **facts: object) -> httpx.Response:
        """As an operator on duty."""
        await self._duty()
        answer = await self.house.post(path, facts, self._csrf)
        assert answer is not None
        return answer

    async def _duty(self) -> None:
        if self._csrf:
            return
        session = await self.house.get("/api/v1/session")
        assert session is not None
        self._csrf = session.json()["csrf"]
        answer = await self.house.post("/api/v1/duty", {"name": "Li Na"}, self._csrf)
        assert answer is not None
        assert answer.status_code == 200, answer.text

    def forget_session(self) -> None:
        """The gateway was started anew."""
        self._csrf = ""

    async def close(self) -> None:
        for telephone in self._telephones:
            await telephone.close()


@dataclass(frozen=True, slots=True)
class Families(District):
    """Everybody with a wearable is watched over and has a daughter who may be told, and a neighbour who never agreed to anything."""

    def write(self, folder: Path) -> None:
        super(Families, self).write(folder)
        header, *rows = (folder / "persons.csv").read_text().splitlines()
        (folder / "persons.csv").write_text(
            "\n".join([f"{header},watch", *(f"{row},{'alone' if row.startswith('pw') else ''}" for row in rows)]) + "\n"
        )
        self.write_contacts(folder, "2026-01-05")

    def write_contacts(self, folder: Path, consent_on: str) -> None:
        rows = [
            row
            for number in range(self.wearables)
            for row in (
                f"pw-{number},某女儿,女儿,174007{number:05},{'alarm;coming;over' if consent_on else ''},,,{consent_on}",
                f"pw-{number},某邻居,邻居,174008{number:05},,,,",
            )
        ]
        (folder / "contacts.csv").write_text("\n".join(["person,name,relation,phone,tell,channel,address,consent_on", *rows]) + "\n")


@asynccontextmanager
async def page_house(folder: Path, *, families: bool = False, **keys: object) -> AsyncIterator[PageHouse]:
    """Started and ready."""
    async with House(folder, (Families if families else District)(wearables=5, rooms=1, buttons=1, callers=1), Setting()) as house:
        if families:
            with house.config.open("a") as config:
                config.write('\n[[watch]]\nname = "alone"\nquiet = ""\nwithin_s = 86400\n')
        place = PageHouse(house, folder, **keys)
        place.witness = await Outsider(house.broker.port, "stations/#").ready()
        try:
            await place.start()
            yield place
        finally:
            await place.close()
            place.witness.close()
