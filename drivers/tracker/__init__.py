"""Wearables and trackers that speak raw TCP or UDP: watches (watch3g), pendants (gt06), terminals of JT/T 808 (jt808).

Beside each codec: its frames, what they say, and what the connections of a line remember. receipts: one answer for all that a frame said;
asked: what was told to a device and waits for its answer.
"""
