"""The gateway as a SIP user agent, to which alarm devices talk. No I/O, no clock.

server_transactions and client_transactions (repeats and timers), answers (what is refused), compose (writing), answering and asking (both
sides of a request), text_service (MESSAGE: stored before its 200), registration, subscription, shedding and faults, options, user_agent (all
of it), sip_reader (for `gateway decode`).
"""
