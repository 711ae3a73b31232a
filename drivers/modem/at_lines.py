"""Lines out of a modem's bytes: text between line ends, and the prompt, which has none. Source: 3GPP TS 27.007, 4.1; ITU-T V.250, 5.7."""

MAX_LINE = 1024  # octets; the longest is a PDU of 176 octets as hex digits, behind its head
PROMPT = b">"


class AtLines:
    """Feed bytes, take lines without their ends; empty lines are left out. `too_long` counts lines that were thrown away."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skips = False  # in a line that is too long
        self.too_long = 0

    def feed(self, data: bytes, *, wants_prompt: bool) -> list[bytes]:
        """Complete lines; with `wants_prompt` a "> " at the beginning of a line counts as one."""
        found = []
        self._buffer += data.replace(b"\0", b"")
        while True:
            at = next((place for place, octet in enumerate(self._buffer) if octet in b"\r\n"), None)
            if at is None:
                break
            line = bytes(self._buffer[:at]).strip()
            del self._buffer[: at + 1]
            if self._skips:
                self._skips = False
            elif line:
                found.append(line)
        if len(self._buffer) > MAX_LINE:
            self.too_long += 1
            self._skips = True
            self._buffer.clear()
        elif wants_prompt and not self._skips and self._buffer.strip() == PROMPT:
            self._buffer.clear()
            found.append(PROMPT)
        return found
