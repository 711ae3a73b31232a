"""The operator console: http (routes), live (the feed), views (masking), commands, sessions, server; seam is all it sees of the house."""
