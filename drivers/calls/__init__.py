"""Calls at the hotline out of mirrored SIP. No I/O, no clock.

hep3 and hep_frames (HEP packets), call (states as one table), table (bounds and timers), flood (how many new ones), joins (which leg
continues which call), place (from where), news (the signals), tracker (what each message means), hep (the codec of a line).
"""
