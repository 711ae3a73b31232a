"""SIP itself (RFC 3261): what any part that reads or writes it needs. No I/O, no clock.

message (parser), charset, multipart and xml_body (its bodies), stream_frames (cutting streams), hop (addresses and Via), digest
(passwords, both sides); number and caller: telephone numbers, and which header says who calls.
"""
