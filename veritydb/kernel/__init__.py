"""Meaning: the capabilities as one state machine. Deterministic and total; knows no replication."""
