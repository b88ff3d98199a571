"""Which roles a server has: what the processing-time ladder is split by."""

from daemon.domain.inventory import Role
from daemon.domain.values import Json
from daemon.exchange.answers import ExchangeServer, same_server
from daemon.exchange.client import Unheard
from daemon.remediation.actions.contract import Again, Context, Done, backoff, polled
from daemon.remediation.actions.preconditions.server import roles_of, spelt


class ServerRoles:
    """The action `server_roles`: the inventory's answer, if the server agrees with it."""

    async def poll(self, ctx: Context, memo: Json) -> Done | Again:
        """The roles as outcome if inventory and Exchange agree, failed if not; Again when Exchange did not say."""
        heard = await ctx.peer("exchange_server", {}, ExchangeServer)
        if isinstance(heard, Unheard):
            return Again(after=backoff(memo), detail=heard.detail, memo=polled(memo), if_late=heard.outcome)
        answer, name = heard.answer, ctx.server.name
        if not same_server(answer.server, name):
            detail = f"asked about {name}, Exchange answered about {answer.server}"
            return Again(after=backoff(memo), detail=detail, memo=polled(memo))
        found, listed = roles_of(answer), _listed(ctx, answer)
        if found != listed:
            reason = f"the inventory calls {name} {spelt(listed)}, Exchange calls it {spelt(found)}: correct one"
            return Done(outcome="failed", detail=reason)
        if not found:
            return Done(outcome="failed", detail=f"{name} has neither role, so it has no POP3 service to restart")
        outcome = "both" if len(found) == len(Role) else next(iter(found)).value
        return Done(outcome=outcome, detail=f"{name} is {spelt(found)}, {answer.version}")


def _listed(ctx: Context, answer: ExchangeServer) -> frozenset[Role]:
    """The inventory's roles, read as the server's version reads them: from 2016 on Mailbox contains client access."""
    roles = ctx.server.roles
    flags = {"mailbox_role": Role.MAILBOX in roles, "client_access_role": Role.CLIENT_ACCESS in roles}
    return roles_of(answer.model_copy(update=flags))
