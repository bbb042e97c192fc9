"""Meaning: which data may lie where, by a versioned record in the log. Pure."""
