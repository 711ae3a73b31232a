"""The console: its API and feed on a house in memory, its page in a browser. A package, so that its conftest hides no other."""
