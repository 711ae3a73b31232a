"""Telephony: from captured SIP messages to calls at the hotline.

message (SIP parser), hep3 (HEP packets), number and caller (who calls), call (states as one table), call_table (bounds and timers),
call_joins (which leg continues which call), call_news (the signals), call_tracker (what each message means), hep (the codec of a line).
"""
