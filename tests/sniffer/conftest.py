"""Fixtures of the sniffer's tests."""

from tests.sniffer.ear import ear, may_capture, sniffers  # noqa: F401
