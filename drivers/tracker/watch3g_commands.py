"""What we ask of watches: one command in flight for each, known again by its word, since the protocol has no numbers."""

from collections import OrderedDict, deque

import msgspec

ANSWER_S = 30.0  # a watch echoes the word of a command within this time (sheet, section 3)
MAX_QUEUED = 8  # commands that wait for one watch; a person reads no more
MAX_WATCHES = 1000  # on one link; a gateway that bundles watches has fewer


class Command(msgspec.Struct):
    """One command. `token` None: nobody waits for its result. `not_before`, `until`: monotonic seconds."""

    content: bytes
    token: int | None = None
    not_before: float = 0.0
    until: float | None = None

    @property
    def word(self) -> str:
        return self.content.partition(b",")[0].decode()


class Commands:
    """The commands of one link. `told` collects (token, reason) of those that somebody waits for."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []
        self._queues: OrderedDict[str, deque[Command]] = OrderedDict()

    def ask(self, device: str, command: Command) -> bool:
        """Put it in the queue of that watch; False when that is full. The same command waiting already is enough, if nobody waits for this one."""
        if device not in self._queues and len(self._queues) >= MAX_WATCHES:
            return False
        queue = self._queues.setdefault(device, deque())
        if command.token is None and any(one.content == command.content for one in queue):
            return True
        if len(queue) >= MAX_QUEUED:
            return False
        queue.append(command)
        return True

    def heard(self, device: str, word: str) -> bool:
        """The watch said this word: if it is the command in flight, that has arrived."""
        queue = self._queues.get(device)
        if not queue or queue[0].until is None or queue[0].word.upper() != word.upper():
            return False
        self._end(device, "")
        return True

    def due(self, now: float) -> list[tuple[str, bytes]]:
        """(device, content) of what is to be sent now; what was never answered is given up."""
        out = []
        for device in list(self._queues):
            while (queue := self._queues.get(device)) and queue[0].until is not None and now >= queue[0].until:
                self._end(device, "timeout")
            if queue and queue[0].until is None and now >= queue[0].not_before:
                queue[0].until = now + ANSWER_S
                out.append((device, queue[0].content))
        return out

    def deadline(self) -> float | None:
        heads = [queue[0] for queue in self._queues.values() if queue]
        return min((head.not_before if head.until is None else head.until for head in heads), default=None)

    def _end(self, device: str, reason: str) -> None:
        command = self._queues[device].popleft()
        if command.token is not None:
            self.told.append((command.token, reason))
        if not self._queues[device]:
            del self._queues[device]
