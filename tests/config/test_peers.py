"""Who may answer for a server: Mailbox servers of its DAG first, and not always the same one."""

from collections import Counter

from daemon.domain.inventory import Inventory, Role, Server

MAILBOX, FRONT = frozenset({Role.MAILBOX}), frozenset({Role.CLIENT_ACCESS})


def server(name: str, roles: frozenset[Role] = MAILBOX, dag: str | None = None, site: str = "Lyon") -> Server:
    return Server(
        name=f"{name}.contoso.lab",
        roles=roles,
        dag=dag,
        site=site,
        endpoint="http://127.0.0.1:1/wsman",
        credential="lab",
        tags=frozenset(),
    )


def peers(of: Server, *others: Server) -> list[str]:
    return [peer.short_name for peer in Inventory((of, *others)).peers(of)]


def test_mailbox_servers_of_the_dag_come_first_then_mailbox_servers_and_those_of_the_site_before_others() -> None:
    mbx = server("mbx1", dag="DAG1")
    found = peers(
        mbx,
        server("a-front", FRONT),
        server("b-far", dag=None, site="Paris"),
        server("c-near"),
        server("d-member-far", dag="dag1", site="Paris"),
        server("e-member-near", dag="dag1"),
    )
    assert found == ["e-member-near", "d-member-far", "c-near", "b-far", "a-front"]


def test_a_server_in_no_dag_has_no_member_of_its_own() -> None:
    found = peers(server("cas1", FRONT), server("a-cas", FRONT), server("mbx9", site="Paris"), server("mbx1"))
    assert found == ["mbx1", "mbx9", "a-cas"]


def test_the_servers_of_a_dag_are_not_all_asked_about_through_the_same_one() -> None:
    members = tuple(server(f"mbx{number}", dag="DAG1") for number in range(16))
    inventory = Inventory(members)
    first = Counter(inventory.peers(member)[0].name for member in members)
    assert len(first) >= 8
    assert max(first.values()) <= 4


def test_the_order_does_not_depend_on_that_of_the_inventory() -> None:
    members = tuple(server(f"mbx{number}", dag="DAG1") for number in range(8))
    assert Inventory(members).peers(members[0]) == Inventory(members[::-1]).peers(members[0])
