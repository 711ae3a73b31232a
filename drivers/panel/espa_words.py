"""What there is to tell an ESPA 4.4.4 caller, as blocks: status information (header 2), or a call to the same address with a text (header 1)."""

from drivers.downlink import Tell, Word
from drivers.panel.espa_calls import ACKNOWLEDGED, TERMINATED
from drivers.panel.espa_link import compose
from drivers.panel.espa_options import EspaOptions

MAX_TEXT, MAX_ADDRESS = 128, 16  # of the standard; a peer may cut or refuse what is longer
STATUS = {Word.TAKEN: ACKNOWLEDGED, Word.COMING: ACKNOWLEDGED, Word.OVER: TERMINATED}  # the standard has no word for help on its way
# For displays whose characters cannot show the given text.
PLAIN = {Word.TAKEN: "CALL TAKEN", Word.COMING: "HELP IS COMING", Word.OVER: "CALL OVER", Word.PROMPT: "PLEASE ANSWER"}


def can_say(word: Word, options: EspaOptions) -> bool:
    """Status information has no question."""
    return options.tell == "text" or (options.tell == "status" and word in STATUS)


def words(tell: Tell, options: EspaOptions) -> bytes:
    """The block for one tell. Over: a reset call takes the display's text away, as the caller's own cancel would; status says terminated."""
    if options.tell == "status":
        return status_of(tell.device, STATUS[tell.word], options)
    records = {"1": _address(tell.device, options)}
    if tell.word is Word.OVER:
        return compose("1", records | {"4": b"1"})
    return compose("1", records | {"2": _text(tell, options), "4": b"3"})


def status_of(address: str, status: str, options: EspaOptions) -> bytes:
    """Status information about one call address."""
    return compose("2", {"1": _address(address, options), "7": status.encode()})


def _address(address: str, options: EspaOptions) -> bytes:
    return _encoded(address, options)[:MAX_ADDRESS]


def _text(tell: Tell, options: EspaOptions) -> bytes:
    back = {shown: letter for letter, shown in options.letters.items() if len(shown) == 1}
    text = "".join(back.get(letter, letter) for letter in tell.text)
    data = _encoded(text, options)[:MAX_TEXT]
    return data if data.strip(b"? ") else PLAIN[tell.word].encode()


def _encoded(text: str, options: EspaOptions) -> bytes:
    """In the characters of the link; what it cannot show is a question mark, control characters are spaces."""
    plain = "".join(letter if letter >= " " and letter != "\x7f" else " " for letter in text)
    return plain.encode("ascii" if options.data_bits == 7 else options.charset, "replace")
