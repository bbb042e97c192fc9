"""What a client can ask about the cluster itself: policy, audit, who leads, who is there."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from veritydb.client import audit
from veritydb.client.audit import AuditOp, AuditPage, AuditProof, ChainCheck
from veritydb.client.connection import Connection
from veritydb.client.convert import from_rules, group_infos, to_rules
from veritydb.client.core import STATUS_TIMEOUT_S, Core
from veritydb.client.deadline import Deadline
from veritydb.client.given import (
    check_class,
    check_group,
    check_number,
    check_retention,
    check_tenant,
    check_type,
    sequence_of,
)
from veritydb.client.refusal import check_flat
from veritydb.client.values import GroupInfo, NodeStatus, Policy
from veritydb.policy.state import ClassRetention, Rules
from veritydb.types.errors import (
    Applied,
    DeadlineExceeded,
    PolicyConflict,
    Unavailable,
)
from veritydb.types.ids import GLOBAL_GROUP
from veritydb.types.labels import Placement
from veritydb.types.limits import REPLICAS_MAX

POLL_S = 0.02


class AsyncAdmin:
    """The operator's half of a client."""

    def __init__(self, core: Core) -> None:
        """See AsyncClient."""
        self.core = core

    # -- policy

    async def policy(self, *, group: int = GLOBAL_GROUP, timeout: float | None = None) -> Policy:
        """Return the rules in force in a group."""
        check_group(group)

        async def ask(connection: Connection, deadline: Deadline) -> Policy:
            return read_policy(await connection.ask("policy", "show", group=group))

        return await self.core.on_primary(group, ask, self.core.deadline(timeout), harmless=True)

    async def set_policy(
        self,
        rules: Rules,
        *,
        expected_version: int,
        group: int = GLOBAL_GROUP,
        timeout: float | None = None,
    ) -> Policy:
        """Replace a group's rules, if their version is still the expected one.

        Raises PolicyConflict otherwise. Rules can only narrow what is built in.
        """
        check_group(group)
        check_rules(rules)
        check_number(expected_version, "a policy's version")
        deadline = self.core.deadline(timeout)
        attempts = 0

        async def send(connection: Connection, deadline: Deadline) -> Policy:
            nonlocal attempts
            attempts += 1
            return read_policy(
                await connection.ask(
                    "policy",
                    "set",
                    group=group,
                    expectedVersion=expected_version,
                    rules=to_rules(rules),
                    timeoutMs=deadline.left_ms,
                )
            )

        try:
            return await self.core.on_primary(group, send, deadline)
        except PolicyConflict:
            if attempts == 1:
                raise
            # An earlier attempt whose answer was lost may be what it conflicts with.
            now = await self.policy(group=group, timeout=deadline.left or None)
            if now.version == expected_version + 1 and now.rules == rules:
                return now
            raise

    # -- audit

    async def audit(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        from_op: int = 1,
        timeout: float | None = None,
    ) -> AsyncGenerator[AuditOp, None]:
        """Yield what became of a tenant's commands, in one place or group after group."""
        async for page in self.audit_pages(
            tenant, placement=placement, from_op=from_op, timeout=timeout
        ):
            for op in page.ops:
                yield op

    async def audit_export(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        from_op: int = 1,
        timeout: float | None = None,
    ) -> AsyncGenerator[AuditOp, None]:
        """The same with every op, and of other tenants the bare hashes: a chain to be verified."""
        async for page in self.audit_pages(
            tenant, placement=placement, from_op=from_op, every=True, timeout=timeout
        ):
            for op in page.ops:
                yield op

    async def audit_pages(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        from_op: int = 1,
        every: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[AuditPage, None]:
        """What `audit` and (with `every`) `audit_export` are made of, page by page."""
        check_tenant(tenant)
        check_number(from_op, "an op", low=1)
        for group in self._groups(placement):
            async for page in audit.pages(self.core, tenant, group, from_op, every, timeout):
                yield page

    async def audit_verify(
        self,
        tenant: int,
        *,
        placement: Placement | None = None,
        timeout: float | None = None,
    ) -> list[AuditProof]:
        """Check the outcome chain from its first op. Raises CorruptData where it does not hold."""
        check_tenant(tenant)
        proofs = []
        for group in self._groups(placement):
            chain = ChainCheck(group, tenant)
            async for page in audit.pages(self.core, tenant, group, 1, True, timeout):
                chain.take(page)
            proofs.append(chain.proof())
        return proofs

    def _groups(self, placement: Placement | None) -> tuple[int, ...]:
        self.core.pool.check()
        routing = self.core.routing
        return routing.groups if placement is None else (routing.group_at(placement),)

    # -- the cluster

    async def directory(self, *, timeout: float | None = None) -> list[GroupInfo]:
        """Return the groups and the addresses of their replicas."""

        async def ask(connection: Connection, deadline: Deadline) -> list[GroupInfo]:
            return group_infos((await connection.call("cluster", "directory")).groups)

        addresses = self.core.routing.addresses
        return await self.core.on_any(addresses, ask, self.core.deadline(timeout))

    async def status(self, *, timeout: float = STATUS_TIMEOUT_S) -> list[NodeStatus]:
        """Ask every node how it is; one that does not answer is not `reachable`."""
        self.core.deadline(timeout)
        addresses = self.core.routing.addresses
        return list(await asyncio.gather(*(self.core.status_of(one, timeout) for one in addresses)))

    async def step_down(self, group: int, *, timeout: float | None = None) -> None:
        """Have a group's primary let another replica lead, and wait until another one does."""
        check_group(group)
        deadline = self.core.deadline(timeout)

        async def send(connection: Connection, deadline: Deadline) -> int:
            view = await view_of(connection, group)
            check_flat(await connection.call("cluster", "stepDown", group=group))
            return view

        before = await self.core.on_primary(group, send, deadline)
        while not deadline.passed:
            for node in await self.status():
                for one in node.groups:
                    if one.group == group and one.role == "primary" and one.view > before:
                        self.core.routing.leads(group, node.address)
                        return
            await asyncio.sleep(POLL_S)
        raise DeadlineExceeded("no other primary was seen in time", applied=Applied.UNKNOWN)

    async def replace(self, group: int, index: int, *, timeout: float | None = None) -> int:
        """Give a replica whose disk was lost a new incarnation, and return its number.

        The old incarnation is refused for ever. Never repeated on its own: if the answer is lost,
        the outcome is unknown, and `status` tells.
        """
        check_group(group)
        check_number(index, "an index", high=REPLICAS_MAX - 1)

        async def send(connection: Connection, deadline: Deadline) -> int:
            answer = await connection.call(
                "cluster", "replace", group=group, index=index, timeoutMs=deadline.left_ms
            )
            return int(check_flat(answer).incarnation)

        deadline = self.core.deadline(timeout)
        return await self.core.on_primary(group, send, deadline, once=True)


async def view_of(connection: Connection, group: int) -> int:
    """Return the view a node is in. Raises Unavailable if it does not hold the group."""
    status = (await connection.call("cluster", "status")).status
    for one in status.groups:
        if one.group == group:
            return int(one.view)
    raise Unavailable("the node does not hold the group")


def read_policy(result: Any) -> Policy:
    """Read `policy` of a PolicyRes."""
    policy = result.policy
    return Policy(policy.version, from_rules(policy.rules), policy.group)


def check_rules(rules: Rules) -> None:
    """Refuse rules that cannot be written down. Raises InvalidInput."""
    check_type(rules, Rules, "rules are Rules")
    check_type(rules.deidentified_global, bool, "deidentified_global is True or False")
    check_type(rules.non_phi_global, bool, "non_phi_global is True or False")
    for tenant in sequence_of(rules.tenants, "tenants"):
        check_tenant(tenant)
    for region in sequence_of(rules.regions, "regions"):
        check_type(region, str, "a region is given by its name")
    for row in sequence_of(rules.retention, "retentions"):
        check_type(row, ClassRetention, "a retention of rules is a ClassRetention")
        check_class(row.data_class)
        check_retention(row.retention)
