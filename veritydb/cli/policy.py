"""`veritydb policy`: the versioned rules of each group."""

from collections.abc import Callable
from typing import Any

import click

from veritydb.cli.connection import connect
from veritydb.cli.exits import Exit, Failure
from veritydb.cli.options import U64, connected, formatted, read_class, read_duration, read_size
from veritydb.cli.output import Output
from veritydb.client.sync import Client
from veritydb.client.values import Policy
from veritydb.policy.state import ClassRetention, Rules
from veritydb.types.labels import DataClass, Region
from veritydb.types.retention import Retention

READ: dict[str, Callable[[str], int]] = {
    "max-age": read_duration,
    "max-bytes": read_size,
    "max-events": int,
}
BOUNDS = {"max-age": "max_age_ns", "max-bytes": "max_bytes", "max-events": "max_events"}


@click.group()
def policy() -> None:
    """The rules that narrow where data may go.

    What is built in always holds: PHI lies in one region, and in no other place. Rules can take
    away from what else is allowed, never add to it. Each group has its own, and every decision in
    its audit names the version that it was made by.
    """


def grouped(function: Any) -> Any:
    """Add `--region`: which group's policy."""
    return click.option(
        "--region",
        metavar="NAME",
        help="The policy of this region's group; without it, that of the global group.",
    )(function)


@policy.command()
@grouped
@connected
@formatted
def show(region: str | None, url: str, timeout: float, form: str) -> None:
    """Show the rules in force, and their version."""
    with connect(url, timeout) as db:
        Output(form).record(as_record(db.policy(group=group_of(db, region))))


@policy.command("set")
@grouped
@click.option(
    "--deidentified-global/--no-deidentified-global",
    default=None,
    help="Whether deidentified data may lie in the global group.",
)
@click.option(
    "--nonphi-global/--no-nonphi-global",
    default=None,
    help="Whether NonPHI may lie in the global group.",
)
@click.option(
    "--allow-region",
    "regions",
    multiple=True,
    metavar="NAME",
    help="Only these regions (repeat it); 'all' for every region that is served.",
)
@click.option(
    "--allow-tenant",
    "tenants",
    multiple=True,
    metavar="NUMBER",
    help="Only these tenants (repeat it); 'all' for every tenant.",
)
@click.option(
    "--retention",
    "retentions",
    multiple=True,
    metavar="CLASS:BOUND=VALUE",
    help="What new streams of a class keep unless they say otherwise: phi:max-age=7y,"
    " nonphi:max-bytes=10g, deidentified:max-events=1000000. CLASS:none takes it away.",
)
@click.option(
    "--expected-version",
    type=U64,
    metavar="N",
    help="Refuse if the rules have another version by now.  [default: the version just read]",
)
@connected
@formatted
def change(
    region: str | None,
    deidentified_global: bool | None,
    nonphi_global: bool | None,
    regions: tuple[str, ...],
    tenants: tuple[str, ...],
    retentions: tuple[str, ...],
    expected_version: int | None,
    url: str,
    timeout: float,
    form: str,
) -> None:
    """Change the rules of a group. What is not given stays as it is."""
    with connect(url, timeout) as db:
        group = group_of(db, region)
        now = db.policy(group=group)
        rules = Rules(
            deidentified_global=given(deidentified_global, now.rules.deidentified_global),
            non_phi_global=given(nonphi_global, now.rules.non_phi_global),
            regions=read_regions(regions) if regions else now.rules.regions,
            tenants=read_tenants(tenants) if tenants else now.rules.tenants,
            retention=read_retentions(retentions, now.rules.retention),
        )
        version = now.version if expected_version is None else expected_version
        made = db.set_policy(rules, expected_version=version, group=group)
    Output(form).record(as_record(made))


def group_of(db: Client, region: str | None) -> int:
    """The group of a region, or the global one."""
    for info in db.directory():
        if info.region == (region or ""):
            return info.group
    raise Failure(Exit.NOT_FOUND, f"no group serves region {region}", name="NO_SUCH_REGION")


def given(new: bool | None, old: bool) -> bool:
    """What was said, or what is."""
    return old if new is None else new


def read_regions(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Region names, or `all`."""
    if "all" in texts:
        return ()
    try:
        return tuple(sorted({Region(text).name for text in texts}))
    except ValueError as error:
        raise click.UsageError(f"--allow-region: {error}") from None


def read_tenants(texts: tuple[str, ...]) -> tuple[int, ...]:
    """Numbers of tenants, or `all`."""
    if "all" in texts:
        return ()
    if not all(text.isdecimal() for text in texts):
        raise click.UsageError("--allow-tenant: a tenant is a number")
    return tuple(sorted({int(text) for text in texts}))


def read_retentions(
    texts: tuple[str, ...], present: tuple[ClassRetention, ...]
) -> tuple[ClassRetention, ...]:
    """The retention of each class: what is there, changed by what was said."""
    rows = {row.data_class: row.retention for row in present}
    for text in texts:
        name, _colon, bound = text.partition(":")
        try:
            data_class = read_class(name)
            if bound == "none":
                rows.pop(data_class, None)
            else:
                rows[data_class] = with_bound(rows.get(data_class, Retention()), bound)
        except (ValueError, KeyError):
            raise click.UsageError(
                f"--retention: {text!r} is not like phi:max-age=7y or phi:none"
            ) from None
    return tuple(ClassRetention(one, rows[one]) for one in sorted(rows))


def with_bound(retention: Retention, text: str) -> Retention:
    """A retention with one bound set, as in `max-age=7y`. Raises ValueError or KeyError."""
    name, _equals, value = text.partition("=")
    bounds = {field: getattr(retention, field) for field in BOUNDS.values()}
    bounds[BOUNDS[name]] = READ[name](value)
    return Retention(**bounds)


def as_record(found: Policy) -> dict[str, Any]:
    """A policy for programs."""
    rules = found.rules
    return {
        "group": found.group,
        "version": found.version,
        "deidentified_global": rules.deidentified_global,
        "nonphi_global": rules.non_phi_global,
        "regions": rules.regions or "all",
        "tenants": rules.tenants or "all",
        "retention": {
            DataClass(row.data_class).name.lower().replace("_", ""): {
                "max_age_ns": row.retention.max_age_ns,
                "max_bytes": row.retention.max_bytes,
                "max_events": row.retention.max_events,
            }
            for row in rules.retention
        },
    }
