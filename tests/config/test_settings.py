import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config.settings import Secret, Settings, load_settings, read_secret
from daemon.config.whereabouts import whereabouts
from daemon.domain.errors import ConfigError
from daemon.domain.verdicts import Mode
from tests.config.site import Site


def test_the_smallest_file_gives_the_safest_settings(site: Site) -> None:
    site.write(settings="")
    settings = load_settings(site.settings)
    assert (settings.safety.mode, settings.safety.auto_tags) == (Mode.OBSERVE, ())


def test_relative_paths_are_relative_to_the_file_written_or_not(site: Site) -> None:
    settings = load_settings(site.settings)
    password = settings.credentials["exchange"].password
    assert password is not None
    assert (settings.data, settings.inventory, password.file) == (
        site.directory / "state",
        site.inventory,
        site.password,
    )
    site.write(settings='[safety]\npause_file = "stop"')
    assert load_settings(site.settings).safety.pause_file == site.directory / "stop"


def test_the_pause_file_is_by_default_where_the_daemon_may_write() -> None:
    assert Settings().safety.pause_file == Settings().data / "pause"


def test_paths_are_absolute_even_if_the_file_was_named_relatively(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.directory)
    assert load_settings(Path("exmedic.toml")).inventory == site.inventory


def _settings_mistake(site: Site, settings: str) -> tuple[int, str]:
    site.write(settings=settings)
    with pytest.raises(ConfigError) as raised:
        load_settings(site.settings)
    (mistake,) = raised.value.mistakes
    return mistake.line, mistake.message


@pytest.mark.parametrize(
    ("settings", "line", "message"),
    [
        ("[buss]\n", 1, "buss is not known; did you mean bus?"),
        ("[bus]\nPort = 1883\n", 2, "bus.Port is not known; did you mean port?"),
        ("[notify]\nzzz = 1\n", 2, "notify.zzz is not known; known here: urls"),
        ('[bus]\nport = "1883"\n', 2, "bus.port must be a valid integer"),
        ("[bus]\nport = true\n", 2, "bus.port must be a valid integer"),
        ("[bus]\nport = 65536\n", 2, "bus.port must be less than or equal to 65535"),
        ("bus = 1\n", 1, "bus must be a table"),
        ('[safety]\nauto_tags = "ring1"\n', 2, "safety.auto_tags must be a list"),
        ("[winrm]\ncall_timeout = inf\n", 2, "winrm.call_timeout must be a finite number"),
        ("[winrm]\ncall_timeout = 1e9\n", 2, "winrm.call_timeout must be less than or equal to 2592000"),
        ("[timing]\nmonitor_wait = 1700\n", 2, "the deadline of verify"),
        ("[timing]\nhold_deadline = 60\n", 2, "would never ask again"),
        ('[safety]\nmode = "auto"\n', 2, "others are given by auto_tags"),
        ('[[safety.modes]]\nmode = "auto"\n', 1, "no server is healed by default"),
        ('[[safety.modes]]\nmode = "bold"\n', 2, "must be 'observe', 'approve' or 'auto'"),
        ('[bus]\nscom = "alerts/#/x"\n', 2, "# only as its last level"),
        ('[bus]\nscom = "$share/g/alerts"\n', 2, "must not begin with $"),
        ('[bus]\nnative = "alerts/+/#"\n', 2, "must not overlap with bus.scom"),
        ('[bus]\nazure = "alerts/exmedic/x"\n', 2, "bus.azure must not overlap with bus.native"),
        ('[bus]\nlogic_apps = ""\n', 2, "must be a topic filter"),
        ('[bus]\nalertmanager = "exmedic/#"\n', 1, "must not be below bus.alertmanager"),
        ('[bus]\nprefix = "alerts/scom/out"\n', 2, "would receive what it publishes"),
        ('[bus]\npassword = "hunter2"\n', 2, "must say where the secret is kept"),
        ("[bus]\npassword = {}\n", 2, "either file or credential"),
        ('[bus]\npassword = { credential = "../x" }\n', 2, "the name of a systemd credential"),
        ('[bus]\npassword = { file = "absent" }\n', 2, "No such file or directory"),
        ('[bus]\npassword = { file = "." }\n', 2, "which is not a file"),
        ('[bus.tls]\nca = "absent"\n', 2, "No such file or directory"),
        ('[bus.tls]\ncertificate = "password"\n', 1, "a client shows both or neither"),
        ('runbooks = "exmedic.toml"\n', 1, "which is not a directory"),
        ('[credentials.x]\npassword = { file = "password" }\n', 1, "credentials.x.username is missing"),
        ('[credentials.x]\nusername = "x"\n', 1, "ntlm cannot log on without one"),
        ('[credentials.x]\nusername = "x"\ntransport = "kerberos"\n', 1, 'second_hop must be "delegated"'),
        (
            '[credentials.x]\nusername = "x"\npassword = { file = "password" }\nsecond_hop = "delegated"\n',
            4,
            "ntlm delegates nothing",
        ),
        ("[lab]\nepoch = 2026-11-05T03:14:15\nspeed = 2\n", 2, "needs its offset from UTC"),
        ('[lab]\nepoch = 2026-11-05T03:14:15Z\nspeed = 2\n[bus]\nhost = "mq"\n', 1, "bus.host is not on loopback"),
    ],
)
def test_a_mistake_is_refused_with_its_line(site: Site, settings: str, line: int, message: str) -> None:
    found_line, found = _settings_mistake(site, settings)
    assert found_line == line
    assert message in found


def test_a_kerberos_credential_needs_no_password(site: Site) -> None:
    site.write(settings='[credentials.x]\nusername = "x"\ntransport = "kerberos"\nsecond_hop = "delegated"\n')
    assert load_settings(site.settings).credentials["x"].password is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_password_file_that_others_may_use_is_refused(site: Site, mode: int) -> None:
    site.password.chmod(mode)
    with pytest.raises(ConfigError, match=f"others may use .*{mode:04o}.*chmod 600 {site.password}"):
        load_settings(site.settings)


def test_no_mistake_repeats_a_value_since_it_may_be_a_secret_in_the_wrong_place(site: Site) -> None:
    for spoilt in (
        'data = 3\n[bus]\npassword = "hunter2"\nport = "hunter2"\nclient_id = ["hunter2"]\nscom = "hunter2/#/a"\n',
        'data = "hunter2\n',
        'data = "hunter2\\q"\n',
        "data = hunter2\n",
        '[credentials.x]\ntransport = "hunter2"\nusername = ["hunter2"]\nsecond_hop = "hunter2"\n',
    ):
        site.write(settings=spoilt)
        with pytest.raises(ConfigError) as raised:
            load_settings(site.settings)
        assert "hunter2" not in str(raised.value)


def test_a_secret_loses_only_its_final_newline(site: Site) -> None:
    for written, read in (("pass\n", "pass"), ("pass\r\n", "pass"), (" pass \n\n", " pass \n"), ("pâss", "pâss")):
        site.password.write_bytes(written.encode())
        assert read_secret(Secret(file=site.password)) == read


def test_a_secret_is_found_among_systemds_credentials(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(site.directory))
    assert read_secret(Secret(credential="password")) == "hunter2"


def test_a_systemd_credential_outside_of_the_unit_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="LoadCredential=bus:"):
        read_secret(Secret(credential="bus"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.write_bytes(b"hunter2\xff"), "not UTF-8"),
        (lambda file: file.write_bytes(b"\n"), "is empty"),
        (lambda file: file.unlink(), "No such file"),
    ],
)
def test_a_secret_that_cannot_be_used_is_explained_without_any_of_it(
    site: Site, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(site.password)
    with pytest.raises(ConfigError, match=reason) as raised:
        read_secret(Secret(file=site.password))
    told = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=False).format())
    assert "hunter2" not in told
    assert not isinstance(raised.value.__context__, UnicodeDecodeError)  # it would hold the bytes


def test_the_kill_switch_finds_the_daemon_and_its_file_in_spite_of_mistakes(site: Site) -> None:
    text = 'socket = "control.sock"\nthis is broken\n[buss]\n[safety]\nmode = 7\npause_file = "stop"\n'
    site.write(settings=text)
    default = Settings()
    found = whereabouts(site.settings)
    assert found == (site.directory / "control.sock", site.directory / "stop", default.data, False)
    site.write(settings="data = 7\nsafety = 7\n")
    for path in (site.settings, site.directory / "absent.toml"):
        assert whereabouts(path) == (default.socket, default.safety.pause_file, default.data, False)
    site.write(settings='data = "d"\n')
    assert whereabouts(site.settings) == (default.socket, default.safety.pause_file, site.directory / "d", True)


def test_roles_are_groups_by_name_and_a_table_without_any_is_a_mistake(site: Site) -> None:
    site.write(settings='[roles]\nviewer = ["helpdesk"]\nadmin = ["exchange-admins"]')
    roles = load_settings(site.settings).roles
    assert roles is not None
    assert (roles.viewer, roles.operator, roles.admin) == (("helpdesk",), (), ("exchange-admins",))
    site.write(settings="[roles]")
    with pytest.raises(ConfigError, match="names no group"):
        load_settings(site.settings)
