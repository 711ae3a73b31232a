"""Ways out: `contract` says what a channel is, `registry` which ones the configuration opens; one file each.

`mqtt`, `webhook`, `phone` (rings, and takes a key) and `sip` (a text; `text_answers` reads what comes back).
"""
