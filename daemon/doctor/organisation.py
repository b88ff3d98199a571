"""What Exchange says of its organisation, compared with the inventory. It decides; nothing here asks or writes.

The three lists of the script `organisation` are held against each other. Where they do not agree about one server, that
server's topology cannot be told and it is left as it is; where they show that the answer is not whole, nothing is
written at all.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from daemon.config.inventory_edit import Value
from daemon.domain.inventory import Role, Server
from daemon.exchange.answers import ExchangeServer, same_server
from daemon.exchange.editions import known
from daemon.exchange.listing import ListedServer, Organisation
from daemon.remediation.actions.preconditions.server import roles_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A server whose topology Exchange tells. `name` is its FQDN in lower case."""

    name: str
    roles: frozenset[Role]
    dag: str | None
    site: str
    version: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """A server that is not written, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Topology:
    """An answer as it was understood. `doubts`: why it is not whole, and so no reason to write anything."""

    found: tuple[Found, ...]
    unfit: tuple[Unfit, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A field of a server that is not in the inventory what it is in Exchange. None: no DAG."""

    name: str
    field: str
    before: Value | None
    after: Value | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What an import would do. `gone`: servers of the inventory that Exchange does not list; they stay."""

    added: tuple[Found, ...]
    changed: tuple[Change, ...]
    gone: tuple[str, ...]
    unfit: tuple[Unfit, ...]

    @property
    def fields(self) -> Mapping[str, Mapping[str, Value | None]]:
        """The changed fields of each server."""
        names = dict.fromkeys(change.name for change in self.changed)
        return {name: {each.field: each.after for each in self.changed if each.name == name} for name in names}


def understood(answer: Organisation, through: str) -> Topology:
    """The servers of an answer that came by way of `through`, those that cannot be told, and what is wrong with it."""
    found: list[Found] = []
    unfit: list[Unfit] = []
    for listed in answer.servers:
        reason = _unfit(listed, answer)
        if reason:
            unfit.append(Unfit(listed.fqdn.lower() or listed.name, reason))
            continue
        dag = next((group.name for group in answer.dags if _is_member(listed, group.members)), None)
        roles = roles_of(_as_answered(listed))
        found.append(Found(name=listed.fqdn.lower(), roles=roles, dag=dag, site=listed.site, version=listed.version))
    return Topology(tuple(found), tuple(unfit), tuple(_doubts(answer, through)))


def compared(topology: Topology, servers: tuple[Server, ...]) -> Difference:
    """The organisation against the servers of the inventory. Names of DAGs and sites keep the inventory's spelling."""
    present = {server.name: server for server in servers}
    sites = {server.site.lower(): server.site for server in servers}
    dags = {server.dag.lower(): server.dag for server in servers if server.dag}
    found = {each.name: _spelt(each, dags, sites) for each in topology.found}
    told = {*found, *(each.name for each in topology.unfit)}
    return Difference(
        added=tuple(each for name, each in sorted(found.items()) if name not in present),
        changed=tuple(
            change for name, server in present.items() if name in found for change in _changes(server, found[name])
        ),
        gone=tuple(name for name in present if name not in told),
        unfit=topology.unfit,
    )


def entry(found: Found, through: Server) -> Mapping[str, Value]:
    """A new server as the file has it, reached the way `through` is. Without tags, so that it is only observed."""
    origin = re.fullmatch(r"(https?)://(?:\[[^\]]*\]|[^/:]*)(:\d+)?(/.*)?", through.endpoint, re.IGNORECASE)
    scheme, port, path = (origin[1], origin[2], origin[3]) if origin else ("http", ":5985", "/wsman")
    fields: dict[str, Value] = {"roles": [role.value for role in sorted(found.roles)]}
    if found.dag is not None:
        fields["dag"] = found.dag
    endpoint = f"{scheme}://{found.name}{port or ''}{path or '/wsman'}"
    return {**fields, "site": found.site, "endpoint": endpoint, "credential": through.credential}


def _doubts(answer: Organisation, through: str) -> Iterator[str]:
    """What only an answer that is not whole can look like."""
    if not answer.servers:
        yield "Get-ExchangeServer listed no server"
    elif not any(listed.fqdn and same_server(listed.fqdn, through) for listed in answer.servers):
        yield f"Get-ExchangeServer did not list {through}, the server that was asked"
    for warning in answer.warnings:
        yield f"Exchange warned: {warning}"
    fqdns = Counter(listed.fqdn.lower() for listed in answer.servers if listed.fqdn)
    for fqdn, times in fqdns.items():
        if times > 1:
            yield f"Get-ExchangeServer listed {fqdn} {times} times"
    yield from _missing(answer)


def _missing(answer: Organisation) -> Iterator[str]:
    """The servers that one list has and another one lacks."""
    names = {listed.name.lower() for listed in answer.servers}
    holders = {_short(each.name) for each in answer.mailbox_servers}
    for group in answer.dags:
        for member in group.members:
            if _short(member) not in names:
                yield f"{member} is a member of {group.name}, and Get-ExchangeServer did not list it"
    for name in sorted(holders - names):
        yield f"Get-MailboxServer listed {name}, and Get-ExchangeServer did not"
    for listed in answer.servers:
        if listed.mailbox_role and listed.name.lower() not in holders:
            yield f"Get-MailboxServer did not list {listed.name}, a Mailbox server"


def _unfit(listed: ListedServer, answer: Organisation) -> str:
    """Why a server's topology cannot be told, or exmedic has no business there; empty when it can."""
    if listed.edge_role:
        return "an Edge Transport server: it has no site, no DAG and no monitor that exmedic handles"
    if "." not in listed.fqdn:
        return f"Exchange has no full name for it ({listed.fqdn or 'none'})"
    if not known(listed.version):
        return f"its version is {listed.version or 'not told'}, and exmedic knows 15.0 to 15.2, Exchange 2013 and later"
    if not (listed.mailbox_role or listed.client_access_role):
        return f"it is neither a Mailbox nor a Client Access server (roles: {listed.roles or 'none'})"
    if not listed.site:
        return "Exchange does not say which Active Directory site it is in"
    return _unfit_dag(listed, answer)


def _unfit_dag(listed: ListedServer, answer: Organisation) -> str:
    groups = [group for group in answer.dags if _is_member(listed, group.members)]
    own = {each.dag for each in answer.mailbox_servers if _short(each.name) == listed.name.lower()}
    if {group.name.lower() for group in groups} != {dag.lower() for dag in own if dag}:
        by_server = " and ".join(sorted(dag or "no DAG" for dag in own)) or "no DAG"
        by_dag = " and ".join(sorted(group.name for group in groups)) or "no DAG"
        return f"Get-MailboxServer puts it in {by_server}, Get-DatabaseAvailabilityGroup in {by_dag}"
    if len(groups) > 1:
        return f"it is in more than one DAG: {', '.join(sorted(group.name for group in groups))}"
    if groups and len({_short(member) for member in groups[0].members}) == 1:
        return f"{groups[0].name} has no other member, so that nothing can be moved away from it"
    return ""


def _is_member(listed: ListedServer, members: tuple[str, ...]) -> bool:
    # Exchange's own name of a server is unique in the organisation; members are named by it.
    return any(_short(member) == listed.name.lower() for member in members)


def _short(name: str) -> str:
    return name.partition(".")[0].lower()


def _as_answered(listed: ListedServer) -> ExchangeServer:
    return ExchangeServer(
        server=listed.fqdn,
        mailbox_role=listed.mailbox_role,
        client_access_role=listed.client_access_role,
        version=listed.version,
        site=listed.site,
        components=(),
    )


def _spelt(found: Found, dags: Mapping[str, str], sites: Mapping[str, str]) -> Found:
    dag = None if found.dag is None else dags.get(found.dag.lower(), found.dag)
    return replace(found, dag=dag, site=sites.get(found.site.lower(), found.site))


def _changes(server: Server, found: Found) -> Iterator[Change]:
    listed = ExchangeServer(
        server=server.name,
        mailbox_role=Role.MAILBOX in server.roles,
        client_access_role=Role.CLIENT_ACCESS in server.roles,
        version=found.version,
        components=(),
    )
    # From 2016 on both spellings of the roles mean the same: that is no change.
    if roles_of(listed) != found.roles:
        before, after = ([role.value for role in sorted(roles)] for roles in (server.roles, found.roles))
        yield Change(server.name, "roles", before, after)
    if server.dag != found.dag:
        yield Change(server.name, "dag", server.dag, found.dag)
    if server.site != found.site:
        yield Change(server.name, "site", server.site, found.site)
