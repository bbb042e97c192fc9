"""Exhaustive small scope: all that can happen to three replicas, within bounds, in any order."""
