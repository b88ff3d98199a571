"""What must be true before each effect: asked in this order; the first that does not allow decides.

Microsoft's page forgets these. docs/preconditions.md is the table for readers; a test holds the two together.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from daemon.domain.verdicts import Verdict
from daemon.remediation.actions.preconditions.copies import (
    activation_held,
    activation_open,
    copies_known,
    in_a_dag,
    no_seeding,
    nothing_active,
    refuges_exist,
)
from daemon.remediation.actions.preconditions.dag import (
    members_operational,
    node_not_paused,
    quorum_survives,
    replication_clean,
)
from daemon.remediation.actions.preconditions.dependencies import dependencies_healthy
from daemon.remediation.actions.preconditions.facts import Facts
from daemon.remediation.actions.preconditions.humans_at_work import no_reboot_pending, nobody_logged_on
from daemon.remediation.actions.preconditions.managed_availability import recovery_over, recovery_rested
from daemon.remediation.actions.preconditions.neighbours import another_serves, holds_no_copies
from daemon.remediation.actions.preconditions.other_actors import others_known
from daemon.remediation.actions.preconditions.server import (
    inventory_agrees,
    proxy_active,
    server_online,
    service_automatic,
    transport_active,
)
from daemon.remediation.actions.preconditions.why_it_fails import cause_on_the_server, certificate_valid

Precondition = Callable[[Facts], Verdict]


Asked = tuple[Precondition, ...]


#: Before any effect but undo: the right server, and nobody working there.
STANDING: Asked = (
    inventory_agrees,
    server_online,
    transport_active,
    node_not_paused,
    activation_open,
)


#: The service that is to be healed is meant to run, and can: somebody may have changed that since the rung before.
WANTED: Asked = (service_automatic, proxy_active)


#: Before whatever disrupts: it could cure, and nobody else is healing.
DISRUPTIVE: Asked = (*STANDING, dependencies_healthy, recovery_over, *WANTED)


#: Asked last: what is refused anyway must not wait for hours until somebody has logged off.
ALONE: Asked = (nobody_logged_on,)


RESTART: Asked = (*DISRUPTIVE, *ALONE)


PROTOCOL_LOG: Asked = (*STANDING, recovery_over, *ALONE)


#: Before a server is emptied or rebooted for a probe: what ails it could be cured by that.
CURABLE: Asked = (cause_on_the_server, certificate_valid)


#: What a DAG must look like to spare one of its servers.
SPARED: Asked = (
    no_reboot_pending,
    recovery_rested,
    in_a_dag,
    members_operational,
    quorum_survives,
    replication_clean,
    copies_known,
    no_seeding,
    others_known,
)


MOVE: Asked = (*DISRUPTIVE, *CURABLE, *SPARED, refuges_exist, *ALONE)


REBOOT_MAILBOX: Asked = (*DISRUPTIVE, cause_on_the_server, activation_held, *SPARED, nothing_active, *ALONE)


REBOOT_CLIENT_ACCESS: Asked = (
    *DISRUPTIVE,
    *CURABLE,
    no_reboot_pending,
    recovery_rested,
    holds_no_copies,
    another_serves,
    *ALONE,
)


#: Putting back is never held up by the state of the server: only pause and quarantine stop it, in `guardrails.chain`.
UNDO: Asked = ()


#: What is asked, by the effect's name in docs/preconditions.md.
BEFORE: Mapping[str, Asked] = MappingProxyType({
    "restart": RESTART,
    "move": MOVE,
    "reboot, Mailbox": REBOOT_MAILBOX,
    "reboot, CAS": REBOOT_CLIENT_ACCESS,
    "protocol log": PROTOCOL_LOG,
    "undo": UNDO,
})  # fmt: skip
