"""Finding a person over HTTP, to do something for them: by whole number, id, or the beginning of the name; what is given is masked."""

import asyncio
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Body, OnDuty, answered
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.seam import House
from gateway.console.views import Json, short_person
from gateway.core.account import AccountRole
from gateway.core.register import Person, Register
from gateway.errors import Refused
from gateway.event import Kind

FOUND = 20  # who finds more types more
LEAST, MOST = 2, 40  # characters of what is looked for: one surname is a fifth of a city
COUNTRY = "+86"
ANYBODY = Reader(name=None, role=AccountRole.LOCAL)


class PersonRoutes:
    """As WatchRoutes. One search at a time: a million names take a thread a third of a second."""

    def __init__(self, house: House, on_duty: OnDuty, body: Body) -> None:
        self._house = house
        self._on_duty = on_duty
        self._body = body
        self._searching = asyncio.Lock()

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/persons", self.find, methods=["POST"])]

    async def find(self, request: Request) -> Response:
        """{wanted} in the body, where no log keeps it. Journalled without what was looked for."""
        actor = self._on_duty(request)
        body = await self._body(request)
        unknown = sorted(body.keys() - {"wanted"})
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        wanted = body.get("wanted")
        if not isinstance(wanted, str) or not LEAST <= len(wanted.strip()) <= MOST:
            raise Refused("bad_wanted", 400, least=LEAST, most=MOST)
        register, now = self._house.register, self._house.now()
        async with self._searching:
            found = await asyncio.to_thread(persons_of, register, wanted.strip(), reader=reader_of(request))
        rows: list[Json] = [short_person(register, person, now) for person in found[:FOUND]]
        await self._house.note(Kind.SEARCHED, actor, where="persons", found=len(rows))
        return answered({"persons": rows, "more": len(found) > FOUND})


def persons_of(register: Register, wanted: str, limit: int = FOUND, reader: Reader = ANYBODY) -> list[Person]:
    """Who has this number or id, else whose name begins so, in the reader's areas; one more than the limit."""

    def mine(person: Person) -> bool:
        return reader.covers(register, person.area)

    digits = wanted.replace(" ", "").replace("-", "")
    if digits.removeprefix("+").isdecimal():
        numbers = dict.fromkeys((digits, COUNTRY + digits, COUNTRY + digits.removeprefix("0")))
        by_number = dict.fromkeys(person.id for number in numbers for person in register.persons_with_phone(number))
        if by_number:
            return [person for name in by_number if mine(person := register.persons[name])][: limit + 1]
    if wanted in register.persons:
        return [person for person in (register.persons[wanted],) if mine(person)]
    return list(islice((person for person in register.persons.values() if person.name.startswith(wanted) and mine(person)), limit + 1))
