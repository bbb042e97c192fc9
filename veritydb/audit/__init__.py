"""Meaning: refusals that never reached the log, as entries for the outcome chain. Pure."""
