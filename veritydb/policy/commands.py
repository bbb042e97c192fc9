"""What may be asked of policy."""

import msgspec

from veritydb.policy.state import Rules


class SetPolicy(msgspec.Struct, frozen=True, gc=False):
    """Replace the rules, if `expected` is still their version. The header's tenant must be 0."""

    expected: int
    rules: Rules


PolicyCommand = SetPolicy
