"""Meaning: named sequences of events, and what may happen to them. Pure."""
