"""Gates that nothing but speed depends on: without them, the same happens a little later or dearer.

Keyed by file, function, kind and condition, so that a gate is recognised when it moves. A hunt
leaves them out of what it draws from.
"""

HARMLESS: dict[str, str] = {}
