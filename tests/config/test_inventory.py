import pytest

from daemon.config.guardrails import ActionClass, Safety
from daemon.config.inventory import load_inventory, load_site
from daemon.config.settings import load_settings
from daemon.domain.errors import ConfigError
from daemon.domain.inventory import Inventory, Role
from daemon.domain.verdicts import Mode
from daemon.remediation.guardrails.modes import mode_of
from tests.config.site import INVENTORY, SETTINGS, Site


def _load(site: Site) -> Inventory:
    return load_inventory(site.inventory, load_settings(site.settings))


def test_a_server_is_found_by_fqdn_and_short_name_in_any_case(site: Site) -> None:
    site.write(inventory=INVENTORY.replace("mbx2.contoso", "MBX2.Contoso"))
    found = [_load(site).find(name) for name in ("mbx2.contoso.com", "MBX2", "Mbx2.CONTOSO.com")]
    assert {server.name for server in found if server} == {"mbx2.contoso.com"}
    assert found[0] is not None
    assert found[0].roles == {Role.MAILBOX, Role.CLIENT_ACCESS}


def test_a_server_outside_the_inventory_is_not_found(site: Site) -> None:
    assert _load(site).find("mbx3.contoso.com") is None
    assert _load(site).find("mbx1.evil.example") is None


def test_a_server_is_auto_only_by_one_of_its_tags(site: Site) -> None:
    first, second = _load(site)
    assert mode_of(first, ActionClass.REBOOT, Safety(auto_tags=("ring1",))) is Mode.AUTO
    assert mode_of(second, ActionClass.REBOOT, Safety(auto_tags=("ring1",))) is Mode.OBSERVE
    assert mode_of(first, ActionClass.REBOOT, Safety()) is Mode.OBSERVE
    assert mode_of(first, ActionClass.REBOOT, Safety(auto_tags=("RING1", "ring"))) is Mode.OBSERVE


FIRST = '[servers."mbx1.contoso.com"]\n'


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (FIRST, "[servers.mbx1]\n", 1, "is not a fully qualified name"),
        (FIRST, '[servers."mbx1\'; Stop-Computer.contoso.com"]\n', 1, "is not a fully qualified name"),
        (FIRST, '[servers."10.0.0.1"]\n', 1, "is not a fully qualified name"),
        (FIRST, '[servers."MBX2.Contoso.com"]\n', 9, "is the same server as on line 1"),
        ('site = "Lyon"\n', "", 1, ".site is missing"),
        ('site = "Lyon"\n', 'site = ""\n', 4, "at least 1 character"),
        ('site = "Lyon"\n', 'site = "lyon"\n', 12, "is spelt lyon on mbx1.contoso.com"),
        ('dag = "DAG1"\n', 'dag = "DAG2"\n', 3, "DAG2 has no other member"),
        ('roles = ["mailbox"]', 'roles = ["mailbx"]', 2, "must be 'client_access' or 'mailbox'"),
        ('roles = ["mailbox"]', "roles = []", 2, "at least 1 item"),
        ('roles = ["mailbox"]', 'roles = ["client_access"]', 3, "is for Mailbox servers"),
        ('tags = ["ring1"]\n', 'outside = "mbx1.contoso.com"\n', 7, "must be pop3s://HOST:PORT or pop3://HOST:PORT"),
        (
            'tags = ["ring1"]\n',
            'outside = "imap://mbx1.contoso.com"\n',
            7,
            "must be pop3s://HOST:PORT or pop3://HOST:PORT",
        ),
        (
            'tags = ["ring1"]\n',
            'outside = "pop3s://u:p@mbx1.contoso.com"\n',
            7,
            "must be pop3s://HOST:PORT or pop3://HOST:PORT",
        ),
        (
            'tags = ["ring1"]\n',
            'outside = "pop3s://mbx1.contoso.com:70000"\n',
            7,
            "must be pop3s://HOST:PORT or pop3://HOST:PORT",
        ),
        ('tags = ["ring1"]\n', 'outside_login = "exchange"\n', 7, "needs outside"),
        ('tags = ["ring1"]\n', 'outside_database = "DB1"\n', 7, "needs outside_login"),
        (
            'tags = ["ring1"]\n',
            'outside = "pop3s://mbx1.contoso.com"\noutside_login = "exchnge"\n',
            8,
            "names no [credentials.NAME] of exmedic.toml; did you mean exchange?",
        ),
        ("tags =", "tgs =", 7, "is not known; did you mean tags?"),
        (
            '"exchange"\ntags',
            '"exhcange"\ntags',
            6,
            "names no [credentials.NAME] of exmedic.toml; did you mean exchange?",
        ),
        ("http://mbx1.contoso.com:5985", "mbx1.contoso.com:5985", 5, "must be an http or https URL"),
        ("http://mbx1.contoso.com:5985", "http://mbx1.contoso.com:59850000", 5, "must be an http or https URL"),
        ("http://mbx1.contoso.com:5985", "http://:5985", 5, "must be an http or https URL"),
        ("http://mbx1.contoso.com:5985", "http://me:hunter2@mbx1.contoso.com", 5, "must not hold a user name"),
        (
            "http://mbx1.contoso.com:5985",
            "http://MBX2.contoso.com:5985",
            13,
            "is also the endpoint of mbx1.contoso.com",
        ),
    ],
)
def test_a_mistake_in_the_inventory_is_reported_with_its_line(
    site: Site, old: str, new: str, line: int, message: str
) -> None:
    assert old in INVENTORY
    site.write(inventory=INVENTORY.replace(old, new, 1))
    found = site.mistakes()
    assert [row[:2] for row in found if message in row[2]] == [("inventory.toml", line)], found
    assert "hunter2" not in str(found)
    with pytest.raises(ConfigError):
        _load(site)


def test_an_inventory_without_servers_is_a_mistake(site: Site) -> None:
    for inventory, message in (("", "servers is missing"), ("[servers]\n", "at least 1 item")):
        site.write(inventory=inventory)
        ((_, _, found),) = site.mistakes()
        assert message in found


def test_a_missing_inventory_is_a_mistake(site: Site) -> None:
    site.inventory.unlink()
    assert site.mistakes() == [("inventory.toml", 0, "cannot be read: No such file or directory")]


def test_basic_over_http_is_refused_and_over_https_accepted(site: Site) -> None:
    basic = SETTINGS.replace('username = "exmedic"\n', 'username = "exmedic"\ntransport = "basic"\n')
    site.write(settings=basic)
    assert [(line, "basic shows the password" in message) for _, line, message in site.mistakes()] == [
        (5, True),
        (13, True),
    ]
    site.write(settings=basic, inventory=INVENTORY.replace("http:", "https:").replace("5985", "5986"))
    assert site.mistakes() == []


def test_a_fast_clock_is_refused_unless_every_endpoint_is_on_loopback(site: Site) -> None:
    lab = SETTINGS + "[lab]\nepoch = 2026-11-05T03:14:15Z\nspeed = 100\n"
    local = INVENTORY.replace("//mbx1.contoso.com:5985", "//127.0.0.1:41001")
    site.write(settings=lab, inventory=local)
    assert [(file, line) for file, line, _ in site.mistakes()] == [("inventory.toml", 13)]
    site.write(settings=lab, inventory=local.replace("//mbx2.contoso.com:5985", "//[::1]:41002"))
    assert site.mistakes() == []


def test_a_sound_site_has_no_mistakes(site: Site) -> None:
    assert site.mistakes() == []


def test_five_mistakes_in_two_files_are_all_reported_with_their_lines(site: Site) -> None:
    site.write(
        settings=SETTINGS.replace("host =", "hots =").replace('"ring1"', "1") + '[winrm]\nthreads = "many"\n',
        inventory=INVENTORY.replace('"exchange"\ntags', '"exchnage"\ntags').replace("http://mbx2", "ftp://mbx2"),
    )
    assert [(file, line) for file, line, _ in site.mistakes()] == [
        ("exmedic.toml", 4),
        ("exmedic.toml", 11),
        ("exmedic.toml", 13),
        ("inventory.toml", 6),
        ("inventory.toml", 13),
    ]


def test_mistakes_of_every_layer_are_reported_together(site: Site) -> None:
    site.write(
        settings='data = "a"\ndata = "b"\n[bus\nport = 1\n' + SETTINGS.partition("\n\n")[2].replace("host", "hsot"),
        inventory=INVENTORY.replace('site = "Lyon"', "site = Lyon", 1).replace("http://mbx2", "ftp://mbx2"),
    )
    site.password.chmod(0o644)
    assert [(file, line) for file, line, _ in site.mistakes()] == [
        ("exmedic.toml", 2),
        ("exmedic.toml", 3),
        ("exmedic.toml", 6),
        ("exmedic.toml", 10),
        ("inventory.toml", 4),
        ("inventory.toml", 13),
    ]


def test_a_server_may_have_an_address_for_a_look_from_outside(site: Site) -> None:
    extra = 'outside = "pop3s://mbx1.contoso.com"\noutside_login = "exchange"\ntags = ["ring1"]\n'
    site.write(inventory=INVENTORY.replace('tags = ["ring1"]\n', extra))
    first, second = _load(site)
    assert (first.outside, first.outside_login) == ("pop3s://mbx1.contoso.com", "exchange")
    assert (second.outside, second.outside_login) == (None, None)


def test_on_a_fast_clock_the_look_from_outside_stays_on_loopback_too(site: Site) -> None:
    lab = "\n[lab]\nepoch = 2026-11-02T12:00:00Z\nspeed = 60.0\n"
    local = INVENTORY.replace("mbx1.contoso.com:5985", "127.0.0.1:5985").replace(
        "mbx2.contoso.com:5985", "127.0.0.1:5986"
    )
    site.write(
        settings=SETTINGS + lab, inventory=local.replace("tags =", 'outside = "pop3://mbx1.contoso.com"\ntags =')
    )
    (mistake,) = site.mistakes()
    assert "outside is not on loopback" in mistake[2]


LAST = SETTINGS.count("\n")
LACKS = "which the inventory does not have"


@pytest.mark.parametrize(
    ("settings", "line", "message"),
    [
        (
            SETTINGS.replace('["ring1"]', '["ring1", "rng1"]'),
            LAST,
            f"safety.auto_tags[1] names the tag rng1, {LACKS}; did you mean ring1?",
        ),
        (
            SETTINGS + '\n[[safety.modes]]\nmode = "observe"\ntags = ["Ring1"]\n',
            LAST + 4,
            f"safety.modes[0].tags[0] names the tag Ring1, {LACKS}; did you mean ring1?",
        ),
        (
            SETTINGS + '\n[[safety.modes]]\nmode = "observe"\nservers = ["MBX2.contoso.com", "mbx1.contso.com"]\n',
            LAST + 4,
            f"safety.modes[0].servers[1] names the server mbx1.contso.com, {LACKS}; did you mean mbx1.contoso.com?",
        ),
    ],
)
def test_what_a_rule_for_modes_names_and_the_inventory_does_not_have_is_a_mistake_in_its_line(
    site: Site, settings: str, line: int, message: str
) -> None:
    """A rule for a misspelt tag would hold exmedic back from nothing."""
    site.write(settings=settings)
    assert site.mistakes() == [("exmedic.toml", line, message)]
    with pytest.raises(ConfigError, match=LACKS):
        load_site(site.settings)


def test_a_rule_for_modes_that_concerns_no_server_is_a_mistake(site: Site) -> None:
    """Both names are there; but it holds exmedic back from nothing."""
    rule = '\n[[safety.modes]]\nmode = "observe"\nservers = ["{}"]\ntags = ["ring1"]\n'
    site.write(settings=SETTINGS + rule.format("mbx2.contoso.com"))
    assert [(file, line, text.partition(":")[0]) for file, line, text in site.mistakes()] == [
        ("exmedic.toml", LAST + 2, "safety.modes[0] concerns no server")
    ]
    site.write(settings=SETTINGS + rule.format("MBX1.contoso.com"))
    assert site.mistakes() == []


def test_where_no_server_has_a_tag_a_rule_for_one_is_a_mistake(site: Site) -> None:
    site.write(inventory=INVENTORY.replace('tags = ["ring1"]\n', ""))
    message = f"safety.auto_tags[0] names the tag ring1, {LACKS}; no server has any, so leave"
    assert [(file, line, text.startswith(message)) for file, line, text in site.mistakes()] == [
        ("exmedic.toml", LAST, True)
    ]


def test_what_may_be_in_a_line_that_is_no_toml_is_not_missed(site: Site) -> None:
    site.write(inventory=INVENTORY.replace('tags = ["ring1"]', 'tags = ["ring1"'))
    assert [file for file, _, _ in site.mistakes()] == ["inventory.toml"]
