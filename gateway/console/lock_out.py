"""Who has guessed too often: five wrong tries in a quarter of an hour, then a quarter of an hour's rest. In memory, bounded."""

from collections import OrderedDict
from collections.abc import Callable

from gateway.errors import Refused

TRIES = 5  # of one account, from wherever; and of one locked screen (console design, 8)
# … of one address: a control room stands behind one router, where five slips of thirty people at a change of shift are nothing; who tries one
# password on many accounts is stopped all the same.
TRIES_OF_ADDRESS = 20
WINDOW_S = 15 * 60.0
TABLE_LIMIT = 10_000  # names remembered (2 MB); filling it takes five hundred addresses within the window


class LockOut:
    """Counts before the secret is looked at, so that many guesses at once do not slip through together."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, list[float]] = OrderedDict()

    def begin(self, name: str, most: int = TRIES) -> bool:
        """A try begins; is it the last one for a while, should it be wrong? Raises Refused: locked_out, with retry_s."""
        now = self._clock()
        tries = [at for at in self._tries.pop(name, ()) if at > now - WINDOW_S]
        self._tries[name] = tries
        if len(tries) >= most:
            raise Refused("locked_out", 429, retry_s=round(tries[0] + WINDOW_S - now))
        tries.append(now)
        while len(self._tries) > TABLE_LIMIT:
            self._tries.popitem(last=False)
        return len(tries) == most

    def take_back(self, name: str) -> None:
        """The last try was none: it was right, or could not be looked at."""
        tries = self._tries.get(name)
        if tries:
            tries.pop()

    def forget(self, name: str) -> None:
        """All is forgiven."""
        self._tries.pop(name, None)

    def is_out(self, name: str, most: int = TRIES) -> bool:
        """Is a try refused at this moment?"""
        now = self._clock()
        return len([at for at in self._tries.get(name, ()) if at > now - WINDOW_S]) >= most
