"""Telephony: from captured SIP messages to calls at the hotline.

message (SIP parser), multipart (its bodies), hep3 and hep_frames (HEP packets), number and caller (who calls), call_place (and from where),
call (states as one table), call_table (bounds and timers), call_flood (how many new ones), call_joins (which leg continues which call),
call_news (the signals), call_tracker (what each message means), hep (the codec of a line). digest: passwords, for both sides of a request.

The user agent that alarm devices talk to: hop (addresses and Via), compose (writing), stream_frames (cutting streams), server_transactions and
client_transactions (repeats and timers), answers (what is refused), answering and asking (both sides of a request), text_service (MESSAGE),
bodies (who reads them), registration, subscription, shedding and faults, options, user_agent (all of it), sip_reader (for `gateway decode`).
"""
