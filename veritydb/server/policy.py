"""The `Policy` capability: the rules of a group, and replacing them."""

from typing import Any

from veritydb.policy.commands import SetPolicy
from veritydb.server import convert
from veritydb.server.connection import Connection
from veritydb.server.edge import Edge, group_number, timeout
from veritydb.server.hosted import Hosted
from veritydb.server.refusals import guarded, of_outcome
from veritydb.wire.schemas import load

SCHEMA = load("policy")
PolicyServer: Any = SCHEMA.Policy.Server


class PolicyHandler(PolicyServer):  # type: ignore[misc]
    """One connection's `Policy`."""

    def __init__(self, edge: Edge, connection: Connection) -> None:
        """`connection` is whose calls these are."""
        self.log = edge.log
        self._edge = edge
        self._connection = connection

    @guarded()
    async def show_context(self, context: Any) -> None:
        """The rules in force in a group, as far as this node has applied."""
        one = self._edge.group(group_number(context.params.group))
        put_policy(context.results.init("res").init("policy"), one)

    @guarded()
    async def set_context(self, context: Any) -> None:
        """Replace the rules, if nobody else has since."""
        params = context.params
        one = self._edge.group(group_number(params.group))
        command = SetPolicy(params.expectedVersion, convert.rules(params.rules))
        outcome = await self._edge.command(
            one,
            command,
            tenant=0,
            timeout_ms=timeout(params.timeoutMs),
            connection=self._connection,
        )
        if not outcome.accepted:
            raise of_outcome(outcome)
        put_policy(context.results.init("res").init("policy"), one)


def put_policy(to: Any, one: Hosted) -> None:
    """Write a group's policy."""
    policy = one.group.node.kernel.policy
    to.version = policy.version
    convert.put_rules(to.init("rules"), policy.rules)
    to.group = one.part.number
