"""Runs the coverage-guided fuzzer of stream codecs: short here, long in the campaign. A new codec is a row here."""

from pathlib import Path

import pytest

from tests.fuzz.starter import fuzz

CODECS = ("watch3g", "gt06", "jt808", "sia_dc09", "contact_id", "ascii_button", "ness", "elk", "alarmdecoder", "tap", "comp2", "surgard")


@pytest.mark.parametrize("codec", CODECS)
def test_ten_thousand_runs(codec: str, tmp_path: Path) -> None:
    fuzz("fuzz_stream.py", 10_000, 33, tmp_path, codec, longest=1024)


@pytest.mark.campaign
@pytest.mark.parametrize("codec", CODECS)
def test_many_runs(codec: str, tmp_path: Path) -> None:
    """A minute each; the million of plain mutations is in the codec's own tests."""
    fuzz("fuzz_stream.py", 200_000, 7, tmp_path, codec, longest=1024)
