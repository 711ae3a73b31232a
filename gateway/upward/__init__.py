"""Telling others what happens here: municipal counterparts, subscribers. The journal is the outbox; nobody out there can touch the work.

adapters    what a report says, by kind of destination: least data, persons by pseudonym
feed        one destination: from the journal to receipts, numbered without gaps
link        the wire: signed requests, what counts as a receipt
pseudonyms  the key of persons' pseudonyms, and whether it is still the same
reconcile   a day's reports compared with what the other side has: lost, twice, altered, unknown
upwards     all destinations of one house, and what can be seen of them
"""
