"""The real server, three of it in one Trio run: a seed decides what happens when."""
