"""Before a Client Access server is rebooted: who serves its site meanwhile?"""

from daemon.domain.inventory import Role
from daemon.domain.verdicts import Allow, CannotTell, Refuse, Verdict
from daemon.exchange.answers import same_server
from daemon.remediation.actions.preconditions.facts import Facts, Neighbour
from daemon.remediation.actions.preconditions.server import component, roles_of


def holds_no_copies(facts: Facts) -> Verdict:
    """The server itself says that it has no Mailbox role, so it cannot hold an active database copy (rule 7)."""
    copies, name = facts.copies, facts.server.name
    if copies is None or not same_server(copies.server, name):
        return CannotTell(reason=f"no answer says whether {name} may hold database copies")
    if copies.mailbox_role or facts.mailbox:
        return Refuse(reason=f"{name} may hold database copies: it is rebooted as a Mailbox server or not at all")
    return Allow(figures={"mailbox_role": False})


def another_serves(facts: Facts) -> Verdict:
    """At least one other Client Access server of the site is healthy."""
    site = facts.server.site
    if not facts.neighbours:
        return Refuse(reason=f"{facts.server.name} is the only Client Access server of {site} in the inventory")
    seen = {neighbour.server.name: serves(facts, neighbour) for neighbour in facts.neighbours}
    figures = {name: getattr(verdict, "reason", "healthy") for name, verdict in seen.items()}
    if any(isinstance(verdict, Allow) for verdict in seen.values()):
        return Allow(figures=figures)
    why = "; ".join(figures.values())
    if any(isinstance(verdict, CannotTell) for verdict in seen.values()):
        return CannotTell(reason=f"no other Client Access server of {site} is known to be healthy: {why}")
    return Refuse(reason=f"no other Client Access server of {site} is healthy: {why}", figures=figures)


def serves(facts: Facts, neighbour: Neighbour) -> Verdict:
    """Whether one neighbour can serve the site: online, proxying POP, and every POP* monitor of it Healthy."""
    name, exchange, health = neighbour.server.name, neighbour.exchange, neighbour.health
    if neighbour.busy:
        return Refuse(reason=f"{name} is being worked on or quarantined")
    if exchange is None or health is None:
        return CannotTell(reason=f"{name}: {neighbour.silence or 'no answer'}")
    if not same_server(exchange.server, name):
        return CannotTell(reason=f"asked about {name}, Exchange answered about {exchange.server}")
    if Role.CLIENT_ACCESS not in roles_of(exchange):
        return Refuse(reason=f"{name} answers that it has no Client Access role")
    here, there = facts.exchange.site.lower(), exchange.site.lower()
    if here and there and here != there:
        return Refuse(reason=f"{name} is in the Active Directory site {exchange.site}, not {facts.exchange.site}")
    for wanted in ("ServerWideOffline", "PopProxy"):
        found = component(exchange, wanted)
        if found is None:
            return CannotTell(reason=f"the answer about {name} does not show its component {wanted}")
        if found.state.lower() != "active":
            return Refuse(reason=f"{wanted} on {name} is {found.state}")
    return _monitors(neighbour)


def _monitors(neighbour: Neighbour) -> Verdict:
    name = neighbour.server.name
    rows = [row for row in neighbour.health.rows if same_server(row.server, name)] if neighbour.health else []
    if not rows:
        return CannotTell(reason=f"Get-ServerHealth shows no POP* monitor of {name}")
    for row in rows:
        if row.is_stale:
            return CannotTell(reason=f"{row.name} on {name} is stale")
        if row.alert_value.lower() != "healthy":
            return Refuse(reason=f"{row.name} on {name} is {row.alert_value}")
    return Allow(figures={"monitors": len(rows)})
