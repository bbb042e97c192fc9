"""A cluster in one thread, decided by a seed."""
