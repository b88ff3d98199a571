"""The servers that may be contacted, and nothing else may be: names, roles, DAGs, sites, endpoints, credentials.

Written by the administrator in TOML; docs/configuration.md explains every field.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from daemon.config.fields import Name
from daemon.config.settings import Settings, is_loopback, read_settings
from daemon.config.toml import Loc, TomlSource, read_toml
from daemon.config.validation import dotted, in_order, suggestion, validated
from daemon.domain.errors import ConfigError
from daemon.domain.inventory import Inventory, Role, Server
from statemachines.mistake import Mistake


class _Entry(BaseModel):
    """A server as the file has it, under its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: Annotated[frozenset[Role], Field(min_length=1)]
    dag: Name | None = None
    site: Name
    endpoint: str
    credential: str
    tags: frozenset[Name] = frozenset()
    outside: str | None = None
    outside_login: str | None = None
    outside_database: Name | None = None


class _File(BaseModel):
    """The whole of the inventory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    servers: Annotated[dict[str, _Entry], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class _Site:
    """What the rules for an inventory must know of exmedic.toml.

    `transports` by the name of the credential; None: that file could not be read well enough to tell. `source` is that
    file, for the lines of what it names.
    """

    transports: Mapping[str, str] | None
    loopback_only: bool
    settings: Settings | None = None
    source: TomlSource | None = None


def load_site(path: Path) -> tuple[Settings, Inventory]:
    """The settings in exmedic.toml at `path`, and the inventory that it names.

    Raises:
        ConfigError: everything that is wrong with the first, or else with the second.
    """
    source, settings, mistakes = read_settings(path)
    if settings is None:
        raise ConfigError(mistakes)
    inventory, mistakes = _read(settings.inventory, _site(settings, source))
    if inventory is None:
        raise ConfigError(mistakes)
    return settings, inventory


def load_inventory(path: Path, settings: Settings) -> Inventory:
    """The inventory in a file of its own, under the rules that depend on the settings.

    Raises:
        ConfigError: everything that is wrong with the file.
    """
    inventory, mistakes = _read(path, _site(settings))
    if inventory is None:
        raise ConfigError(mistakes)
    return inventory


def check_site(path: Path) -> tuple[Mistake, ...]:
    """Everything that is wrong with exmedic.toml at `path` and with the inventory that it names; never raises."""
    source, settings, mistakes = read_settings(path)
    if settings is not None:
        return _read(settings.inventory, _site(settings, source))[1]
    # The inventory is checked as well, against what can be told in spite of the mistakes.
    named = source.values.get("inventory", Settings.model_fields["inventory"].default)
    if not isinstance(named, str | Path) or (source.mistakes and not source.values):
        return mistakes
    site = _Site(_transports(source), "lab" in source.values)
    return in_order((*mistakes, *_read(path.absolute().parent / named, site)[1]))


def _site(settings: Settings, source: TomlSource | None = None) -> _Site:
    return _Site(
        transports={name: credential.transport for name, credential in settings.credentials.items()},
        loopback_only=settings.lab is not None,
        settings=settings,
        source=source,
    )


def _transports(source: TomlSource) -> Mapping[str, str] | None:
    credentials = source.values.get("credentials", {})
    if source.mistakes or not isinstance(credentials, dict):
        return None
    return {
        name: str(fields.get("transport", "ntlm")) if isinstance(fields, dict) else ""
        for name, fields in credentials.items()
    }


def _read(path: Path, site: _Site) -> tuple[Inventory | None, tuple[Mistake, ...]]:
    source = read_toml(path)
    record, shape = validated(_File, source, None)
    table = source.values.get("servers")
    # Over the raw table, so that one server's wrong type does not hide another server's wrong endpoint.
    rows = {name: row for name, row in table.items() if isinstance(row, dict)} if isinstance(table, dict) else {}
    mistakes = in_order((*shape, *_rules(source, rows, site)))
    if record is None or mistakes:
        return None, mistakes
    return Inventory(tuple(_server(name, entry) for name, entry in record.servers.items())), ()


def _server(name: str, entry: _Entry) -> Server:
    return Server(
        name=name.lower(),
        roles=entry.roles,
        dag=entry.dag,
        site=entry.site,
        endpoint=entry.endpoint,
        credential=entry.credential,
        tags=entry.tags,
        outside=entry.outside,
        outside_login=entry.outside_login,
        outside_database=entry.outside_database,
    )


Rows = Mapping[str, Mapping[str, Any]]


_LABEL = r"(?:[a-z0-9_-]{0,61}[a-z0-9])?"


_FQDN = re.compile(rf"(?=.{{1,253}}\Z)(?:[a-z0-9]{_LABEL}\.)+[a-z]{_LABEL}", re.IGNORECASE | re.ASCII)


def _rules(source: TomlSource, rows: Rows, site: _Site) -> Iterator[Mistake]:
    """What the shape of a row cannot say. A field of the wrong type is left to the shape."""
    for name, row in rows.items():
        if not _FQDN.fullmatch(name):
            yield _at(source, name, "", "is not a fully qualified name, such as mbx1.contoso.com")
        yield from _credential(source, name, row, site)
        yield from _endpoint(source, name, row, site)
        yield from _outside(source, name, row, site)
        if row.get("dag") is not None and isinstance(row.get("roles"), list) and Role.MAILBOX not in row["roles"]:
            yield _at(source, name, "dag", 'is for Mailbox servers; add "mailbox" to roles or leave dag out')
    # What seems to be missing may be in a statement that could not be read.
    if site.settings is not None and rows and not source.mistakes:
        yield from _strangers(site.source or source, rows, site.settings)
        yield from _for_nobody(site.source or source, rows, site.settings)
    yield from _given_twice(source, rows)
    yield from _groups(source, rows)


def _credential(source: TomlSource, name: str, row: Mapping[str, Any], site: _Site) -> Iterator[Mistake]:
    credential = row.get("credential")
    if isinstance(credential, str) and site.transports is not None and credential not in site.transports:
        hint = suggestion(credential, site.transports) or "; there are none"
        yield _at(source, name, "credential", f"names no [credentials.NAME] of exmedic.toml{hint}")


def _endpoint(source: TomlSource, name: str, row: Mapping[str, Any], site: _Site) -> Iterator[Mistake]:
    endpoint = row.get("endpoint")
    if not isinstance(endpoint, str):
        return
    url = _address(endpoint, ("http", "https"))
    if url is None:
        yield _at(source, name, "endpoint", f"must be an http or https URL, such as http://{name}:5985/wsman")
        return
    if url.username is not None:
        yield _at(source, name, "endpoint", "must not hold a user name or a password; they belong to the credential")
    if url.scheme == "http" and (site.transports or {}).get(str(row.get("credential"))) == "basic":
        yield _at(source, name, "endpoint", "must be https: over http, basic shows the password to the network")
    if site.loopback_only and not is_loopback(url.hostname or ""):
        yield _at(source, name, "endpoint", "is not on loopback: [lab] in exmedic.toml is for a lab, remove it")


def _outside(source: TomlSource, name: str, row: Mapping[str, Any], site: _Site) -> Iterator[Mistake]:
    address, login = row.get("outside"), row.get("outside_login")
    if isinstance(address, str):
        url = _address(address, ("pop3", "pop3s"))
        if url is None or url.username is not None or url.path.strip("/"):
            yield _at(source, name, "outside", f"must be pop3s://HOST:PORT or pop3://HOST:PORT, such as pop3s://{name}")
        elif site.loopback_only and not is_loopback(url.hostname or ""):
            yield _at(source, name, "outside", "is not on loopback: [lab] in exmedic.toml is for a lab, remove it")
    if row.get("outside_database") is not None and login is None:
        yield _at(source, name, "outside_database", "needs outside_login: it says where that mailbox is")
    if not isinstance(login, str):
        return
    if address is None:
        yield _at(source, name, "outside_login", "needs outside: without it nothing is looked at")
    if site.transports is not None and login not in site.transports:
        hint = suggestion(login, site.transports) or "; there are none"
        yield _at(source, name, "outside_login", f"names no [credentials.NAME] of exmedic.toml{hint}")


def _address(text: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """The parts of a URL that can be connected to."""
    try:
        url = urlsplit(text)
        usable = url.scheme in schemes and bool(url.hostname) and url.port != 0
    except ValueError:  # urlsplit, or a port that is none
        return None
    return url if usable and not re.search(r"\s", text) else None


def _strangers(source: TomlSource, rows: Rows, settings: Settings) -> Iterator[Mistake]:
    """What exmedic.toml names and no server has: a rule that is meant to hold exmedic back would concern nobody."""
    for loc, what, known, names in _references(settings, rows):
        for number, name in enumerate(names):
            if (name if what == "tag" else name.lower()) not in known:
                hint = suggestion(name, dict.fromkeys(known.values())) or "; no server has any, so leave this out"
                place = (*loc, number)
                message = f"{dotted(place)} names the {what} {name}, which the inventory does not have{hint}"
                yield source.mistake(place, message)


def _for_nobody(source: TomlSource, rows: Rows, settings: Settings) -> Iterator[Mistake]:
    """Rules for modes whose servers are all there, and whose tags too, but on other servers."""
    tagged = {name.lower(): row["tags"] for name, row in rows.items() if isinstance(row.get("tags"), list)}
    worn = {tag for tags in tagged.values() for tag in tags}
    for number, rule in enumerate(settings.safety.modes):
        if not rule.servers or not rule.tags or not worn.issuperset(rule.tags):
            continue  # a tag that nobody has is told already
        if not any(tag in tagged.get(name.lower(), ()) for name in rule.servers for tag in rule.tags):
            place: Loc = ("safety", "modes", number)
            yield source.mistake(
                place,
                f"{dotted(place)} concerns no server: none of its servers has one of its tags, and it needs both; "
                "leave one of the two out, or make two rules of it",
            )


def _references(settings: Settings, rows: Rows) -> Iterator[tuple[Loc, str, Mapping[str, str], tuple[str, ...]]]:
    """Where exmedic.toml names something of the inventory: its sort, what there is of that, and the names."""
    tagged = [row["tags"] for row in rows.values() if isinstance(row.get("tags"), list)]
    tags = {str(tag): str(tag) for each in tagged for tag in each}  # compared as they are, all others folded
    servers = {name.lower(): name for name in rows}
    short_too = {name: name for each in servers for name in (each, each.partition(".")[0])}
    dags = {str(row["dag"]).lower(): str(row["dag"]) for row in rows.values() if row.get("dag")}
    sites = {str(row["site"]).lower(): str(row["site"]) for row in rows.values() if row.get("site")}
    yield ("safety", "auto_tags"), "tag", tags, settings.safety.auto_tags
    for number, rule in enumerate(settings.safety.modes):
        yield ("safety", "modes", number, "tags"), "tag", tags, rule.tags
        yield ("safety", "modes", number, "servers"), "server", servers, rule.servers
    for number, window in enumerate(settings.windows):
        yield ("windows", number, "servers"), "server", short_too, window.servers
        yield ("windows", number, "dags"), "DAG", dags, window.dags
        yield ("windows", number, "sites"), "site", sites, window.sites


def _given_twice(source: TomlSource, rows: Rows) -> Iterator[Mistake]:
    """One server under two spellings, or two servers behind one endpoint: the wrong one would be rebooted."""
    names: dict[str, str] = {}
    endpoints: dict[str, str] = {}
    for name, row in rows.items():
        first = names.setdefault(name.lower(), name)
        if first != name:
            yield _at(source, name, "", f"is the same server as on line {source.line(('servers', first))}; keep one")
        endpoint = row.get("endpoint")
        if first == name and isinstance(endpoint, str):
            other = endpoints.setdefault(endpoint.lower().rstrip("/"), name)
            if other != name:
                yield _at(source, name, "endpoint", f"is also the endpoint of {other}; each server has its own")


def _groups(source: TomlSource, rows: Rows) -> Iterator[Mistake]:
    """DAGs and sites: a name spelt in two ways would be two groups, and a DAG of one cannot fail over."""
    for field in ("dag", "site"):
        members = _members(rows, field)
        for spellings in members.values():
            first = spellings[0]
            for name, spelling in spellings:
                if spelling != first[1]:
                    yield _at(source, name, field, f"is spelt {first[1]} on {first[0]}; spell it the same everywhere")
            if field == "dag" and len({name.lower() for name, _ in spellings}) == 1:
                message = f"{first[1]} has no other member here; list its other servers, or leave dag out"
                yield _at(source, first[0], field, message)


def _members(rows: Rows, field: str) -> Mapping[str, list[tuple[str, str]]]:
    """The servers of each group, by its name in lower case, each with its own spelling of that name."""
    members: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, row in rows.items():
        if isinstance(row.get(field), str) and row[field]:
            members[row[field].lower()].append((name, row[field]))
    return members


def _at(source: TomlSource, name: str, field: str, message: str) -> Mistake:
    loc: tuple[str, ...] = ("servers", name, field) if field else ("servers", name)
    return source.mistake(loc, f"{dotted(loc)} {message}")
