"""What a device of each protocol would say to test its line: sans-I/O, for the gateway's self-test. No socket, clock or log here."""
