"""The warm spare's questions: the token of spare.token_file, over TLS or from this machine itself, and nobody else."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.config import Config
from gateway.console.guard import is_near, is_safe
from gateway.spare_source import SpareSource

Standing = Callable[[Mapping[str, str]], Awaitable[msgspec.Struct | None]]


class SpareRoutes:
    """All of them only read; what is asked for is the last word of the path (gateway.spare_source)."""

    def __init__(self, config: Config, registry: CollectorRegistry, standing: Standing | None = None) -> None:
        """standing: what a gateway that runs says of itself to the other machine (gateway.spare_guard)."""
        self._standing = standing
        self._source = SpareSource(config, registry)

    @property
    def routes(self) -> list[Route]:
        return [Route("/api/v1/spare/{what}", self.answer)]

    async def answer(self, request: Request) -> Response:
        """404 when no spare may follow, 403 in the clear, 401 without the token, 409 when a first copy is needed."""
        if request.path_params["what"] == "standing":  # proven by the token, which never travels: it may be asked in the clear
            said = await self._standing(request.query_params) if self._standing is not None else None
            return JSONResponse({"reason": "not_found"}, 404) if said is None else Response(msgspec.json.encode(said), 200, None, "application/json")
        if not self._source.is_on:
            return JSONResponse({"reason": "not_found"}, 404)
        if not (is_safe(request) or is_near(request)):
            return JSONResponse({"reason": "not_encrypted"}, 403)
        if not self._source.allows(request.headers.get("authorization", "")):
            return JSONResponse({"reason": "bad_token"}, 401)
        told = await self._source.answer(request.path_params["what"], dict(request.query_params))
        return Response(told.body, told.status, told.headers, "application/octet-stream")
