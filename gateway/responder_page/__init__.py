"""The page for telephones: signed links, the guarded listener that serves nothing else, what responders and families see and may answer.

links (tokens, pure) · listener (the door) · app (requests) · order_page, family_page (what is seen, pure) · html, words (how it is said) ·
service (all of it, for one house).
"""
