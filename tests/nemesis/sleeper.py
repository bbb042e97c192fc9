"""A program that says that it is there, and then waits to be ended."""

import signal

print("asleep", flush=True)
signal.pause()
