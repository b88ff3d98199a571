"""What an incident claims for an effect: its server, and for a move or a reboot the DAG and the site as well."""

from daemon.inventory import Role, Server


def scopes(server: Server, *, dag_wide: bool) -> tuple[str, ...]:
    """The scopes of an effect on a server. `dag_wide`: it takes the server away from its DAG or its site."""
    if not dag_wide:
        return (server.name,)
    dag = (f"dag:{server.dag.lower()}",) if server.dag else ()
    # One of its Client Access servers at a time keeps a site served, those that are in a DAG included.
    site = (f"site:{server.site.lower()}",) if not dag or Role.CLIENT_ACCESS in server.roles else ()
    return (server.name, *dag, *site)


def share(one: Server, other: Server) -> bool:
    """Whether two servers must not be taken away at the same time."""
    return bool(set(scopes(one, dag_wide=True)) & set(scopes(other, dag_wide=True)))
