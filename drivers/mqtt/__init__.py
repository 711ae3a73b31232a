"""Codecs of broker messages: `generic` (a wearable's event), `station_reply` (a responder's answer); `message` and `recent` serve both."""
