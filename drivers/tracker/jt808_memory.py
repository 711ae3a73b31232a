"""What the connections of one jt808 line remember together: the secret of its codes, and which alarm bits each terminal has set."""

MAX_TERMINALS = 100_000  # a district's; of the ones least lately heard we know nothing, as after a start


class Jt808Memory:
    """Bounded."""

    def __init__(self, secret: bytes = b"", most: int = MAX_TERMINALS) -> None:
        self.secret = secret
        self._most = most
        self._bits: dict[str, int] = {}

    def bits(self, device: str) -> int | None:
        """Which were set when it spoke last; None: it has not spoken yet."""
        return self._bits.get(device)

    def note(self, device: str, bits: int) -> None:
        """They are set now."""
        self._bits.pop(device, None)  # so that it becomes the youngest
        if len(self._bits) >= self._most:
            del self._bits[next(iter(self._bits))]
        self._bits[device] = bits

    def forget(self, device: str) -> None:
        """What was said of its bits could not be stored: say it again."""
        self._bits.pop(device, None)
