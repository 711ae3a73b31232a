"""What can be seen of reporting: how far everybody has been told, and the event stream of supervision, to be read at leisure (domain 6.3)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import answered, place
from gateway.console.seam import House
from gateway.errors import Refused

SHARD_DIGITS = 3  # there are 256 at most


class UpwardRoutes:
    """Both only read."""

    def __init__(self, house: House) -> None:
        self._house = house

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/upward", self.upward), Route("/api/v1/journal-feed", self.journal_feed)]

    async def upward(self, _: Request) -> Response:
        """Every destination: its last receipt, what waits, why it fails, the days compared."""
        return answered({"destinations": await self._house.upward()})

    async def journal_feed(self, request: Request) -> Response:
        """Lines of JSON without persons, from after an entry of the journal; X-Next says from where to go on. shard: whose, of several."""
        lines, following = await self._house.journal_feed(place(request), _shard(request))
        return Response(lines, media_type="application/x-ndjson", headers={"x-next": str(following)})


def _shard(request: Request) -> int | None:
    """Whose journal; None: not said. Raises Refused: bad_shard."""
    shard = request.query_params.get("shard") or ""
    if shard and not (shard.isascii() and shard.isdecimal() and len(shard) <= SHARD_DIGITS):
        raise Refused("bad_shard", 400)
    return int(shard) if shard else None
