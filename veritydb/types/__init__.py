"""Words: what things are called, what bytes they are, and what the limits are."""
