"""A GSM modem on a serial port: the line that sends short messages (drivers.telephone.ShortTexter) and hears those that come in."""

from collections.abc import Callable

from drivers.lines.conversation import Conversation
from drivers.lines.serial_port import SerialLine
from drivers.modem.gsm_modem import GsmModem
from drivers.telephone import ShortText
from gateway.config import LineConfig

# Ten parts of a minute each, behind another message; who waits longer is told by the outbox's own clock anyway.
SEND_S = 300.0


class ModemLine(SerialLine):
    """One port, one modem; unplugged, it comes back as every line does."""

    def __init__(self, config: LineConfig, new_codec: Callable[[], GsmModem]) -> None:
        super().__init__(config, new_codec)
        self.on_fate: Callable[[str], None] = lambda _id: None
        self._current: Conversation | None = None

    @property
    def codec(self) -> GsmModem | None:
        """Of the connection that stands."""
        codec = self._current.codec if self._current is not None else None
        return codec if isinstance(codec, GsmModem) else None

    def _open(self) -> Conversation:
        conversation = self._current = super()._open()
        if isinstance(conversation.codec, GsmModem):
            conversation.codec.on_fate = lambda name: self.on_fate(name)
        return conversation

    async def send_short(self, text: ShortText) -> str:
        """Send all its parts; gives "" when the network has taken them, else the reason. Cancelling: it may still leave."""
        conversation = self._current
        if conversation is None or conversation.lost.is_set():
            return "not_connected"
        return await conversation.tell(text, SEND_S)
