"""[[counterpart]], [[subscriber]], [[platform]]: what is right is read, what is wrong is told with key and remedy."""

from pathlib import Path

import pytest

from gateway.config import read_config
from gateway.errors import ConfigError

COUNTERPART = '[[counterpart]]\nname = "city"\nkind = "portal"\nurl = "https://city.example/in"\nsecret_file = "s"\n'
RECORDS = COUNTERPART.replace("portal", "management")
SUBSCRIBER = '[[subscriber]]\nname = "app"\nurl = "https://app.example/in"\nsecret_file = "s"\n'
PLATFORM = '[[platform]]\nname = "province"\nsecret_file = "s"\n'

BAD = [
    (COUNTERPART * 2, "counterpart[2].name", "give each its own"),
    (COUNTERPART + SUBSCRIBER.replace("app", "city", 1), "subscriber[1].name", "counterpart[1]"),
    (COUNTERPART.replace("https", "ftp"), "counterpart[1].url", "write https://HOST/PATH"),
    (COUNTERPART.replace("//city", "//a:b@city"), "counterpart[1].url", "holds a name"),
    (COUNTERPART + 'since = "yesterday"', "counterpart[1].since", "2026-01-31"),
    (COUNTERPART + 'since = "2026-02-30"', "counterpart[1].since", "2026-01-31"),
    (COUNTERPART + 'reconcile_at = "24:00"', "counterpart[1].reconcile_at", "03:30"),
    (COUNTERPART + 'reconciliation = "x"', "counterpart[1].reconciliation", "https"),
    (COUNTERPART + "batch = 0", "counterpart[1].batch", "1"),
    (COUNTERPART.replace('"s"', '"short"'), "counterpart[1].secret_file", "at least 16 bytes"),
    (COUNTERPART.replace('"s"', '"gone"'), "counterpart[1].secret_file", "no file"),
    (RECORDS + 'pseudonym_key_file = "gone"', "counterpart[1].pseudonym_key_file", "no file"),
    (RECORDS + 'pseudonym_key_file = "short"', "counterpart[1].pseudonym_key_file", "at least 16 bytes"),
    (COUNTERPART + 'pseudonym_key_file = "s"', "counterpart[1].pseudonym_key_file", "is told of no persons"),
    (SUBSCRIBER + 'kinds = ["tea"]', "subscriber[1].kinds", "tea"),
    (SUBSCRIBER + 'platform = "nobody"', "subscriber[1].platform", "[[platform]]"),
    (PLATFORM * 2, "platform[2].name", "name of its own"),
    (PLATFORM + 'kinds = ["heartbeat"]', "platform[1].kinds", "service_request"),
    ('[[line]]\nname = "platforms"\ncodec = "espa444"\nlisten = "serial:/dev/x"', "line[1].name", "books of ours"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    (tmp_path / "s").write_text("an invented secret")
    (tmp_path / "short").write_text("short")
    return tmp_path / "gateway.toml"


def test_what_is_right_is_read(file: Path) -> None:
    file.write_text(COUNTERPART + SUBSCRIBER + 'platform = "province"\nkinds = ["fall"]\n' + PLATFORM + 'kinds = ["sos", "service_request"]\n')
    config = read_config(file)
    assert (config.counterpart[0].since, config.subscriber[0].kinds, config.platform[0].per_minute) == ("now", ("fall",), 120)


@pytest.mark.parametrize(("text", "key", "says"), BAD, ids=[key + " " + says for _, key, says in BAD])
def test_what_is_wrong_is_told(file: Path, text: str, key: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_config(file)
    assert any(key in problem and says in problem for problem in refused.value.problems), refused.value.problems
