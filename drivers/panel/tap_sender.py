"""TAP 1.8 as the sender: we log on to a paging terminal and give it pages, one block each.

CR, `ID=`, logon, go-ahead, blocks, EOT: the dialogue of `tap`, from the other end. The terminal's ACK says that it has the page, not that
anybody has read it. Times and tries are the standard's.
"""

from enum import Enum

from drivers.contract import Rejected, Signal
from drivers.downlink import Tell
from drivers.panel.pager import PageSender
from drivers.panel.tap_block import ACKNOWLEDGED, DROPPED, GIVEN_UP, GO_AHEAD, ID, REPEAT, TapOptions, write_page

WAKE_S = 2.0  # CR every 2 s, 3 times
ANSWER_S = 10.0  # the terminal has so long for an answer
TRIES = 3
MAX_ANSWER = 256  # bytes kept of what the terminal says
PAGER_ID = r"[0-9A-Za-z]{1,16}"


class State(Enum):
    IDLE = "idle"
    WAKING = "waking"  # CR is sent, `ID=` is waited for
    LOGGING_ON = "logging_on"  # ESC PG1 is sent, ESC [p is waited for
    SENDING = "sending"  # a block is sent
    ENDING = "ending"  # EOT is sent


class TapSender(PageSender):
    """The paging terminal is asked to take our pages, one logon for all that wait."""

    def __init__(self, options: TapOptions | None = None, password: str = "") -> None:
        self._options = options or TapOptions(role="sender")
        super().__init__(PAGER_ID, self._options.words)
        self._logon = b"\x1bPG1" + password.encode("ascii", "replace") + b"\r"
        self._heard = bytearray()
        self._state = State.IDLE
        self._tries = 0

    def tell(self, tell: Tell, token: int, now: float) -> None:
        self._add(tell, token)
        if self._state is State.IDLE and self._pages:
            self._begin(now)

    def receive_data(self, data: bytes, now: float) -> list[Signal | Rejected]:
        """Answers of the terminal; text lines between them are for people."""
        self.handle_deadline(now)
        for octet in data:
            byte = octet & 0x7F if self._options.data_bits == 7 else octet
            if byte == 0x0A:
                continue
            self._heard.append(byte)
            if byte == 0x0D or self._heard.endswith(ID):
                answer = bytes(self._heard)
                self._heard.clear()
                self._take(answer, now)
            elif len(self._heard) > MAX_ANSWER:
                self._heard.clear()
        return []

    def handle_deadline(self, now: float) -> list[Signal | Rejected]:
        """No answer: say it again, at most three times."""
        if self._due is None or now < self._due:
            return []
        if self._state is State.ENDING:
            self._rest(now)
        else:
            self._again(now, "timeout")
        return []

    def _begin(self, now: float) -> None:
        self._tries = 0
        self._say(State.SENDING if self._options.without_logon else State.WAKING, now)

    def _say(self, state: State, now: float) -> None:
        """Go to `state` and say what belongs there."""
        self._state = state
        self._tries += 1
        self._due = now + (WAKE_S if state is State.WAKING else ANSWER_S)
        if state is State.WAKING:
            self._outgoing += b"\r"
        elif state is State.LOGGING_ON:
            self._outgoing += self._logon
        elif state is State.SENDING:
            page = self._pages[0]
            self._outgoing += write_page(page.pager_id, page.text)
        else:
            self._outgoing += b"\x04\r"

    def _again(self, now: float, reason: str) -> None:
        if self._tries < TRIES:
            self._say(self._state, now)
        elif self._state is State.SENDING and reason == "refused":
            self._page_done(reason, now)
        else:  # it does not answer, or does not let us in: nor will it for the others
            self._fail(reason)
            self._rest(now)

    def _take(self, answer: bytes, now: float) -> None:
        if answer.endswith(ID) and self._state is State.WAKING:
            self._tries = 0
            self._say(State.LOGGING_ON, now)
        elif answer.endswith(GO_AHEAD) and self._state is State.LOGGING_ON:
            self._next(now)
        elif answer.endswith(DROPPED) and self._state is State.ENDING:
            self._rest(now)
        elif answer.endswith(DROPPED) and self._state is not State.IDLE:
            self._fail("refused")
            self._rest(now)
        elif answer.endswith(REPEAT) and self._state in (State.LOGGING_ON, State.SENDING):
            self._again(now, "refused")
        elif self._state is State.SENDING and answer.endswith((ACKNOWLEDGED, GIVEN_UP)):
            self._page_done("" if answer.endswith(ACKNOWLEDGED) else "refused", now)

    def _page_done(self, reason: str, now: float) -> None:
        self._done(reason)
        self._next(now)

    def _next(self, now: float) -> None:
        self._tries = 0
        if self._pages:
            self._say(State.SENDING, now)
        elif self._options.without_logon:
            self._rest(now)
        else:
            self._say(State.ENDING, now)

    def _rest(self, now: float) -> None:
        """The dialogue is over; a page that came meanwhile begins the next."""
        self._state, self._due = State.IDLE, None
        if self._pages:
            self._begin(now)
