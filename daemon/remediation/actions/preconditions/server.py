"""What a server says of itself: its roles, its components, the service to be restarted."""

from datetime import timedelta

from daemon.domain.inventory import Role
from daemon.domain.verdicts import Allow, CannotTell, Hold, Refuse, Verdict
from daemon.exchange.answers import Component, ComponentRequest, ExchangeServer, same_server
from daemon.exchange.editions import has_every_role
from daemon.remediation.actions.preconditions.facts import Facts

POP_FRONT_END = "msexchangepop3"  #: the service that stops by design while the component PopProxy is Inactive
COMPONENT_STATES = frozenset({"active", "inactive", "draining"})  #: Microsoft, Get-ServerComponentState reference
MANAGED_AVAILABILITY = "healthapi"  #: the requester name that Managed Availability uses
UNREADABLE = "unreadable"  #: what stands for a requester, or for its state, that did not come through
RECHECK = timedelta(minutes=2)  #: when to look again whether Managed Availability is done
PATIENCE = timedelta(minutes=30)  #: how long Managed Availability is waited for


def inventory_agrees(facts: Facts) -> Verdict:
    """The roles, the DAG and the site of the inventory are those that the server has."""
    name, exchange = facts.server.name, facts.exchange
    if not same_server(exchange.server, name):
        return CannotTell(reason=f"asked about {name}, Exchange answered about {exchange.server}")
    listed, found = _with_contained(facts.server.roles, exchange.version), roles_of(exchange)
    figures: dict[str, object] = {"inventory": sorted(listed), "server": sorted(found), "version": exchange.version}
    if listed != found:
        reason = f"the inventory calls {name} {spelt(listed)}, and the server answers {spelt(found)}"
        return Refuse(reason=reason, figures=figures)
    if facts.mailbox:
        if facts.dag is None or not same_server(facts.dag.server, name):
            return CannotTell(reason=f"no answer says which DAG {name} is in")
        figures["dag"] = facts.dag.dag
        if (facts.dag.dag or "").lower() != (facts.server.dag or "").lower():
            # The limit of one server of a DAG at a time goes by the inventory.
            reason = (
                f"the inventory puts {name} in {facts.server.dag or 'no DAG'}, Exchange in {facts.dag.dag or 'no DAG'}"
            )
            return Refuse(reason=reason, figures=figures)
    figures["site"] = exchange.site
    if exchange.site.lower() != facts.server.site.lower():
        # The limit of one Client Access server of a site at a time, and the site's budget, go by the inventory.
        found_in = f"Exchange in {exchange.site}" if exchange.site else "Exchange in none"
        reason = f"the inventory puts {name} in the site {facts.server.site}, {found_in}"
        return Refuse(reason=reason, figures=figures)
    return Allow(figures=figures)


def server_online(facts: Facts) -> Verdict:
    """The component ServerWideOffline is Active: nobody has taken the server out of service."""
    found = component(facts.exchange, "ServerWideOffline")
    if found is None:
        return _not_shown(facts, "ServerWideOffline")
    if found.state.lower() != "active":
        return _stand_down(facts, found)
    return Allow(figures={"ServerWideOffline": found.state})


def transport_active(facts: Facts) -> Verdict:
    """The component HubTransport is not drained, which is how maintenance of a Mailbox server begins."""
    found = component(facts.exchange, "HubTransport")
    if found is None:
        return _not_shown(facts, "HubTransport") if facts.mailbox else Allow()
    if found.state.lower() not in COMPONENT_STATES:
        return CannotTell(reason=f"HubTransport on {facts.server.name} is {found.state or 'in no state'}")
    if found.state.lower() != "active":
        return _stand_down(facts, found)
    return Allow(figures={"HubTransport": found.state})


def proxy_active(facts: Facts) -> Verdict:
    """The component PopProxy is Active; asked for the front-end service only, which stops by design without it."""
    if facts.service.lower() != POP_FRONT_END:
        return Allow()
    found = component(facts.exchange, "PopProxy")
    if found is None:
        return _not_shown(facts, "PopProxy")
    if found.state.lower() == "active":
        return Allow(figures={"PopProxy": found.state})
    requests = requested_by(facts, found)
    if found.state.lower() not in COMPONENT_STATES or not requests:
        return _unsaid(facts, found)
    reason = f"PopProxy on {facts.server.name} is {found.state}, requested by {_told(requests)}"
    if all(request.requester.lower() == MANAGED_AVAILABILITY for request in requests):
        return Hold(reason=f"{reason}: Managed Availability is acting", after=RECHECK, deadline=PATIENCE)
    figures = {"PopProxy": found.state, "requesters": [request.requester for request in requests]}
    return Refuse(reason=f"{reason}: a restart cannot help; {_lifted(facts, found, requests)}", figures=figures)


def service_automatic(facts: Facts) -> Verdict:
    """The service exists and starts by itself; Exchange installs POP and IMAP as Manual and stopped."""
    name, server = facts.service, facts.server.name
    service = next((known for known in facts.state.services if known.name.lower() == name.lower()), None)
    if service is None:
        return Refuse(reason=f"{server} has no service {name}")
    if service.start_type.lower() != "automatic":
        reason = f"{name} on {server} starts {service.start_type}, not Automatic: not meant to run"
        return Refuse(reason=reason, figures={"start_type": service.start_type, "status": service.status})
    return Allow(figures={"start_type": service.start_type, "status": service.status, "pid": service.pid})


def roles_of(exchange: ExchangeServer) -> frozenset[Role]:
    """The roles that a server answers, with those that they contain."""
    answered = {Role.MAILBOX: exchange.mailbox_role, Role.CLIENT_ACCESS: exchange.client_access_role}
    return _with_contained(frozenset(role for role, has in answered.items() if has), exchange.version)


def component(exchange: ExchangeServer, name: str) -> Component | None:
    """A component of a server by its name; None when the answer does not show it."""
    return next((found for found in exchange.components if found.name.lower() == name.lower()), None)


def requested_by(facts: Facts, found: Component) -> tuple[ComponentRequest, ...]:
    """Who asks for a state other than Active, each once; any one of them wins. Empty when none can be read.

    What the server tells of itself comes first: a session of Exchange loses who asked, and since when. Whoever cannot
    be read may be somebody: then Managed Availability alone is not named either.
    """
    told = facts.state.component_requests or {}
    itself = next((requests for name, requests in told.items() if name.lower() == found.name.lower()), ())
    here, through = _not_active(itself), _not_active(found.requests)
    known = [request for request in (*here, *through) if _readable(request)]
    lost = not all(_readable(request) for request in here or through)
    if lost and all(each.requester.lower() == MANAGED_AVAILABILITY for each in known):
        return ()
    return tuple({request.requester.lower(): request for request in reversed(known)}.values())[::-1]


def _readable(request: ComponentRequest) -> bool:
    return UNREADABLE not in (request.requester, request.state)


def _not_active(requests: tuple[ComponentRequest, ...]) -> list[ComponentRequest]:
    return [request for request in requests if request.state.lower() != "active" and request.requester]


def _with_contained(roles: frozenset[Role], version: str) -> frozenset[Role]:
    """Where every server has every role, both spellings mean the same."""
    return roles | {Role.CLIENT_ACCESS} if has_every_role(version) and Role.MAILBOX in roles else roles


def spelt(roles: frozenset[Role]) -> str:
    """Roles in words."""
    return " and ".join(sorted(roles)) or "neither mailbox nor client_access"


def _stand_down(facts: Facts, found: Component) -> Refuse | CannotTell:
    requests = requested_by(facts, found)
    if not requests:
        return _unsaid(facts, found)
    reason = f"{found.name} on {facts.server.name} is {found.state}, requested by {_told(requests)}"
    figures = {found.name: found.state, "requesters": [request.requester for request in requests]}
    return Refuse(reason=f"{reason}: somebody is working there; {_lifted(facts, found, requests)}", figures=figures)


def _unsaid(facts: Facts, found: Component) -> CannotTell:
    """A component that is out of service, and nobody says by whom: that is nobody else at work."""
    state = found.state or "in no state"
    return CannotTell(reason=f"{found.name} on {facts.server.name} is {state}, and no requester can be read")


def _told(requests: tuple[ComponentRequest, ...]) -> str:
    return ", ".join(
        request.requester if request.at is None else f"{request.requester} since {request.at:%Y-%m-%d %H:%M} UTC"
        for request in requests
    )


def _lifted(facts: Facts, found: Component, requests: tuple[ComponentRequest, ...]) -> str:
    """What lifts it, once its time has come: each requester's own command, since no other can."""
    commands = ", ".join(
        f"`Set-ServerComponentState -Identity {facts.server.name} -Component {found.name} -State Active "
        f"-Requester {request.requester}`"
        for request in requests
    )
    return f"it is lifted by {commands}"


def _not_shown(facts: Facts, name: str) -> CannotTell:
    return CannotTell(reason=f"the answer about {facts.server.name} does not show its component {name}")
