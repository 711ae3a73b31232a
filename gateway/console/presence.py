"""Who is at the consoles at this moment: on duty, with sound or without, looking at what. Ephemeral: nothing of it is stored."""

from collections.abc import Callable, Iterator

from gateway.console.guard import Guard
from gateway.console.reader import Reader, area_of
from gateway.console.sessions import PRESENCE_S, Session, Sessions
from gateway.console.views import Json
from gateway.core.account import AccountRole
from gateway.core.incident import Incident
from gateway.core.register import Register
from gateway.ears import Listening
from gateway.errors import Refused

MODES = ("look", "edit")
VIEW_LIMIT = 32  # characters of an incident's id
HEARS = frozenset((AccountRole.OPERATOR, AccountRole.SUPERVISOR, AccountRole.LOCAL))


class Presence:
    """Fed by the sockets, read by the feed."""

    def __init__(self, sessions: Sessions, guard: Guard, clock: Callable[[], float], register: Callable[[], Register]) -> None:
        self._sessions = sessions
        self._guard = guard
        self._clock = clock
        self._register = register

    def say(self, session: Session, message: dict[str, object]) -> None:
        """What came up the socket: {"view": incident or null, "mode": "look" | "edit"}, {"ears": true}. Anything else counts as a sign of life."""
        if message.get("ears") is True:
            self._sessions.hear_sound(session)
        if "view" in message:
            view, mode = message["view"], message.get("mode", "look")
            is_view = isinstance(view, str) and 0 < len(view) <= VIEW_LIMIT and mode in MODES
            session.looks = (str(view), str(mode), self._clock()) if is_view else None

    def operators(self) -> Iterator[Json]:
        """One row a name: {type, id, name, sound, extension, role, areas, locked, view, mode}."""
        found: dict[str, Json] = {}
        recent = self._clock() - PRESENCE_S
        newest: dict[str, float] = {}
        for session, reader in self._here():
            name = str(session.name)
            row = found.get(name)
            if row is None:
                row = found[name] = {
                    **{"type": "operator", "id": name, "name": name, "sound": False, "extension": None},
                    **{"role": reader.role, "areas": sorted(reader.areas), "locked": True, "view": None, "mode": None},
                }
            row["sound"] = bool(row["sound"]) or self._hears(session)
            row["locked"] = bool(row["locked"]) and reader.is_locked
            row["extension"] = session.extension or row["extension"]
            looks = session.looks
            if looks is not None and looks[2] >= recent and looks[2] >= newest.get(name, 0.0):
                row["view"], row["mode"], newest[name] = looks
        yield from found.values()

    def check_assignee(self, name: object, incident: Incident) -> None:
        """Whoever gets an incident must be here and have it in their list. Raises Refused assignee_left, assignee_elsewhere."""
        register = self._register()
        readers = [reader for session, reader in self._here() if session.name == name]
        if not readers:
            raise Refused("assignee_left", to=name)
        if not any(reader.covers(register, area_of(register, incident)) for reader in readers):
            raise Refused("assignee_elsewhere", to=name)

    def count(self) -> int:
        """How many people work on incidents now."""
        return len({session.name for session, _ in self._here()})

    def listening(self) -> list[Listening]:
        """Each console on duty, for gateway.ears. A locked screen goes on sounding, so it counts."""
        return [Listening(reader.areas, self._hears(session)) for session, reader in self._here()]

    def _here(self) -> Iterator[tuple[Session, Reader]]:
        for session in self._sessions.present():
            reader = self._guard.reader_of(session)
            if reader is not None and reader.role in HEARS:
                yield session, reader

    def _hears(self, session: Session) -> bool:
        return session.heard_sound is not None and session.heard_sound >= self._clock() - PRESENCE_S
