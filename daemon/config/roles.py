"""`[roles]` of exmedic.toml: which Unix groups may give which commands."""

from enum import IntEnum

from pydantic import model_validator

from daemon.config.fields import Name, Section


class OperatorRole(IntEnum):
    """What somebody may do; each role may do what those before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def title(self) -> str:
        """Its name in exmedic.toml and in messages."""
        return self.name.lower()


class Roles(Section):
    """Unix groups, by role. Who is in none of them may only pause."""

    viewer: tuple[Name, ...] = ()
    operator: tuple[Name, ...] = ()
    admin: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _somebody(self) -> "Roles":
        if not (self.viewer or self.operator or self.admin):
            raise ValueError("names no group; name one, or leave [roles] out")
        return self

    def groups(self, least: OperatorRole) -> tuple[str, ...]:
        """The groups whose members have at least this role."""
        found = [group for role in OperatorRole if role >= least for group in getattr(self, role.title)]
        return tuple(dict.fromkeys(found))
