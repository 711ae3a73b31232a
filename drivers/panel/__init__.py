"""Panels and button receivers: espa444 (blocks in espa_block), ascii_button."""
