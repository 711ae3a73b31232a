"""Notices leave for people who are not asked to come: the family, a home district, a centre that is to know. By the channels of the orders.

What is pending stands in the incident (gateway.core.incident.Notice.state), so nothing is kept here that a crash could lose. Orders never wait
for them: they have lanes of their own, so narrow that a modem or a web server shared with orders is never full of them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol

import msgspec
import structlog

from gateway.clock import utc_now
from gateway.core.duty import CHINA
from gateway.core.incident import Incident, Notice
from gateway.core.notices import centre_of, contact_of
from gateway.core.policy import is_deaf
from gateway.core.register import Register
from gateway.dispatch.contract import Channel, DeliveryError, Order
from gateway.dispatch.outbox import address_of
from gateway.dispatch.under_way import UnderWay
from gateway.dispatch.words import notice_in_words
from gateway.metrics import Metrics

log = structlog.get_logger("notices")

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 60.0
GIVE_UP = timedelta(hours=1)  # older news of an alarm only frightens
AT_ONCE = 2  # of one channel: an order that shares a modem with them waits for two texts at most


class Reports(Protocol):
    """Where results go: the pipeline, which writes them down."""

    def informed(self, incident: str, notice: str, reason: str) -> None: ...

    def still_informing(self, incident: str, notice: str) -> tuple[Incident, Notice] | None: ...


class To(NamedTuple):
    """Whom a notice reaches. who: whose words are said (family, district, responder); address as the channel wants it."""

    who: str
    responder: str
    address: str


class Notices(UnderWay):
    """One task a pending notice, AT_ONCE of a channel at work; an incident holds at most gateway.core.notices.LIMIT of them."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        reports: Reports,
        register: Callable[[], Register],
        metrics: Metrics,
        language: Callable[[], str],
    ) -> None:
        super().__init__()
        self._channels = channels
        self._reports = reports
        self._register = register
        self._metrics = metrics
        self._language = language
        self._room: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    def offer(self, incident: Incident) -> None:
        """Send what is pending, unless it is under way already."""
        for notice in incident.notices:
            if notice.state == "pending":
                self.begin(notice.id, partial(self._deliver, incident.id, notice.id, notice.channel))

    async def _deliver(self, name: str, which: str, channel: str) -> None:
        delay = FIRST_RETRY_S
        while True:
            async with self._room[channel]:
                found = self._reports.still_informing(name, which)  # it may have waited long for its place
                if found is None:
                    break
                incident, notice = found
                reason, is_final = await self._attempt(incident, notice)
            is_final = is_final or utc_now() - notice.at > GIVE_UP
            self._metrics.notices.labels(notice.moment, "sent" if not reason else "failed" if is_final else "retried").inc()
            if is_final:
                self._reports.informed(name, which, reason)
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_S)
        self.reported(which)

    async def _attempt(self, incident: Incident, notice: Notice) -> tuple[str, bool]:
        """("" = sent, else why not; is that the end of it?)."""
        if notice.channel == "console":
            return "", True  # it stands in the timeline, which is all that an operator needs to tell somebody by voice
        channel = self._channels.get(notice.channel)
        if channel is None:
            return f"no_channel_{notice.channel}", True
        register = self._register()
        to = reached_by(notice, register)
        if to is None:
            return "nobody_there", True  # taken out of the register, or consent withdrawn, since
        try:
            body = notice_body(incident, notice, to, register, self._language())
            await channel.deliver(Order(delivery=notice.id, incident=incident.id, responder=to.responder, address=to.address, body=body))
        except DeliveryError as error:
            return error.reason, not error.retry
        except Exception:  # a bug of a channel, or of ours; the others must be told all the same
            log.exception("notice_bug", channel=notice.channel)
            return "failed", False
        return "", True


def reached_by(notice: Notice, register: Register) -> To | None:
    """Whom this notice reaches, as the register is now; None: nobody any more."""
    who, _, name = notice.to.partition(":")
    if who == "contact":
        contact = contact_of(register, notice)
        address = (contact.address or contact.phone) if contact is not None else ""
        return To("family", "", address) if address else None
    responder = centre_of(register, name) if who == "district" else register.responders.get(name)
    return To(who, responder.id, address_of(responder)) if responder is not None else None


def notice_body(incident: Incident, notice: Notice, to: To, register: Register, language: str) -> bytes:
    """The JSON that leaves: words, and by what they belong to. Least data: the name, never what ails somebody, an address or a number."""
    person = register.persons.get(incident.person or "")
    area = register.areas.get(incident.area or "")
    moment = "deaf" if is_deaf(incident) and to.who == "responder" else notice.moment
    text = notice_in_words(
        to.who,
        moment,
        language,
        name=person.name if person else "",
        at=_clock(incident.opened_at),
        place=area.name if area else register.name if is_deaf(incident) else "",
    )
    return msgspec.json.encode({"notice": notice.id, "incident": incident.id, "moment": notice.moment, "at": notice.at, "text": text})


def _clock(at: datetime) -> str:
    return at.astimezone(CHINA).strftime("%H:%M")
