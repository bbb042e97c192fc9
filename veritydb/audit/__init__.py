"""Meaning: who asked for what and what became of it, told from the outcome chain. Pure."""
