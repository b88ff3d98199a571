"""Which roles a server has: by the inventory, if the server agrees."""

from dataclasses import replace

import pytest

from daemon.domain.inventory import Inventory, Role
from daemon.remediation.actions.server_roles import ServerRoles
from tests.remediation.actions.bench import Bench
from tests.remediation.world import MBX1, Mishap, inventory

MAILBOX, CLIENT = Role.MAILBOX, Role.CLIENT_ACCESS
V2013, V2016 = "Version 15.0 (Build 1497.2)", "Version 15.1 (Build 2507.6)"


@pytest.mark.parametrize(
    ("version", "listed", "answered", "outcome"),
    [
        (V2013, {MAILBOX}, {MAILBOX}, "mailbox"),
        (V2013, {CLIENT}, {CLIENT}, "client_access"),
        (V2013, {MAILBOX, CLIENT}, {MAILBOX, CLIENT}, "both"),
        (V2013, {CLIENT}, {MAILBOX, CLIENT}, "failed"),
        (V2013, {MAILBOX}, {MAILBOX, CLIENT}, "failed"),
        (V2013, {MAILBOX, CLIENT}, {CLIENT}, "failed"),
        # From 2016 on the front end is part of the Mailbox role, however either side spells it.
        (V2016, {MAILBOX}, {MAILBOX}, "both"),
        (V2016, {MAILBOX, CLIENT}, {MAILBOX}, "both"),
        (V2016, {CLIENT}, {MAILBOX}, "failed"),
    ],
)
async def test_roles_by_version(version: str, listed: set[Role], answered: set[Role], outcome: str) -> None:
    servers = [replace(one, roles=frozenset(listed)) if one.name == MBX1 else one for one in inventory()]
    it = Bench(server=MBX1, servers=Inventory(tuple(servers)))
    around = it.world.around[MBX1]
    around.version, around.mailbox, around.client_access = version, MAILBOX in answered, CLIENT in answered
    done = await it.drive(ServerRoles(), "server_roles")
    assert done.outcome == outcome, done.detail
    if outcome == "failed":
        assert "the inventory calls mbx1.contoso.lab" in done.detail


@pytest.mark.parametrize(("mishap", "outcome"), [(Mishap.GARBAGE, "unknown"), (Mishap.UNREACHABLE, "unreachable")])
async def test_a_server_of_which_nothing_is_heard_has_no_known_roles(mishap: Mishap, outcome: str) -> None:
    it = Bench(server=MBX1)
    it.world.befall("exchange_server", *[mishap] * 500)
    assert (await it.drive(ServerRoles(), "server_roles")).outcome == outcome
