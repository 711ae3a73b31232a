"""The page of one house: its links for channels, its listener for telephones. Off: there is none of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from gateway.clock import utc_now
from gateway.config import Config
from gateway.config.responder_page import ResponderPageConfig
from gateway.core.register import Person
from gateway.dispatch.contract import Order
from gateway.errors import ConfigError
from gateway.responder_page.app import Page
from gateway.responder_page.links import Links
from gateway.responder_page.listener import Listener
from gateway.responder_page.order_page import expires_of
from gateway.responder_page.seam import House


class ResponderPage:
    """Build once. `link` is what channels are given, `run` keeps the listener open."""

    def __init__(self, house: House, config: Config, registry: CollectorRegistry) -> None:
        page = config.responder_page
        self._house = house
        self._valid_s = page.valid_s
        self._family_valid_s = page.family_valid_s
        self.links = links_of(page, config.folder)
        requests = Counter("gateway_page_requests", "Requests to the responder page, by what became of them", ["outcome"], registry=registry)
        refused = Counter("gateway_page_refused", "Connections to the responder page for which there was no place", registry=registry)
        app = Page(house, config, self.links, lambda outcome: requests.labels(outcome).inc())
        self._listener = Listener(page, config.folder, app, refused.inc)

    def link(self, order: Order) -> str:
        """The signed link of an order, always the same one for it; "" when there is none."""
        name = self._house.working.by_delivery.get(order.delivery)
        incident = self._house.incidents.get(name) if name else None
        leg = incident.leg(order.delivery) if incident is not None else None
        if incident is None or leg is None:
            return ""
        return self.links.link_for(order.delivery, leg.responder, expires_of(incident, leg, self._valid_s)) or ""

    def family_link(self, person: Person, place: int) -> tuple[str, datetime] | None:
        """The link of this contact (in the person's list, from 0), and until when it is good; None: the person's id is too long for one."""
        return family_link(self.links, self._family_valid_s, person, place)

    async def run(self) -> None:
        """Serve until cancelled. Raises ConfigError when the port is taken."""
        await self._listener.run()


def family_link(links: Links, valid_s: float, person: Person, place: int) -> tuple[str, datetime] | None:
    """As ResponderPage.family_link; a new one each time, good from now on."""
    chosen = person.contacts[place]
    expires = utc_now() + timedelta(seconds=valid_s)
    link = links.family_link(person.id, place, chosen.name, chosen.phone, expires)
    return (link, expires) if link is not None else None


def links_of(page: ResponderPageConfig, folder: Path) -> Links:
    """With the keys of the configuration. Raises ConfigError."""
    return Links(page.public_url, read_keys(page, folder), allow_forward=page.allow_forward)


def read_keys(page: ResponderPageConfig, folder: Path) -> Sequence[bytes]:
    """The key that signs, then the one before it if there is one. Raises ConfigError."""
    keys: list[bytes] = []
    for name in ("secret_file", "previous_secret_file"):
        if file := getattr(page, name):
            try:
                keys.append((folder / file).read_bytes().strip())
            except OSError as error:
                raise ConfigError([f"responder_page.{name}: {file}: {error.strerror}; write `openssl rand -hex 32` into it"]) from error
    return keys
