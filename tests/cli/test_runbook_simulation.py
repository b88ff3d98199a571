"""`exmedic runbooks simulate`, as it is typed."""

from pathlib import Path

import pytest

from statemachines.loader import shipped_directory
from tests.cli.conftest import Exmedic

MAILBOX = str(shipped_directory() / "pop-mailbox.yaml")
DANGEROUS = Path(__file__).parents[1] / "statemachines" / "dangerous"


def test_a_restart_that_cures_is_told_as_a_timeline_that_ends_resolved(exmedic: Exmedic) -> None:
    result = exmedic("runbooks", "simulate", MAILBOX, "--fault", "restart_cures", "--server", "mbx1")
    assert result.code == 0
    told = (
        "pop-mailbox: PopDeepTestMonitor on mbx1.contoso.lab, restart_cures",
        "+0:00:00 mbx1",
        "DISTURBS: restart the Windows service MSExchangePOP3BE",
        "on the server: restart",
        "resolved: healthy",
    )
    places = [result.said.find(text) for text in told]
    assert -1 not in places
    assert places == sorted(places)


def test_what_nothing_cures_pages_a_human_says_what_is_left_and_exits_with_3(exmedic: Exmedic) -> None:
    result = exmedic("runbooks", "simulate", MAILBOX, "--fault", "incurable", "--monitor", "popselftestmonitor")
    assert result.code == 3
    assert "PopSelfTestMonitor on mbx1.contoso.lab" in result.said
    assert "is left changed" in result.said
    assert "escalated: final: unhealthy" in result.said


def test_a_mishap_comes_about_where_it_was_asked_for_and_one_that_does_not_is_named(exmedic: Exmedic) -> None:
    asked = ("--mishap", "shell.reboot:1:lost", "--mishap", "shell.reboot:2:lost")
    result = exmedic("runbooks", "simulate", MAILBOX, "--fault", "reboot_cures", *asked)
    assert result.code == 0
    assert "mishap: shell.reboot, use 1: lost" in result.said
    assert "recorded a requested restart" in result.said
    assert "never came about: shell.reboot, use 2: lost" in result.said


def test_the_server_is_chosen_from_what_the_runbook_handles(exmedic: Exmedic) -> None:
    proxy = str(shipped_directory() / "pop-proxy.yaml")
    result = exmedic("runbooks", "simulate", proxy, "--fault", "restart_cures", "--option", "restarts=2")
    assert "PopProxyTestMonitor on cas1.contoso.lab" in result.said
    assert result.said.count("on the server: restart") == 1
    assert "on the server: reboot" in result.said


def test_a_runbook_that_is_not_proven_is_refused_with_the_path_and_walked_only_anyway(exmedic: Exmedic) -> None:
    file = str(DANGEROUS / "reboots-without-a-move.yaml")
    asked = ["runbooks", "simulate", file, "--fault", "reboot_cures"]
    asked += ["--option", "monitor=PopDeepTestMonitor"]  # so that no other ladder reboots it
    refused = exmedic(*asked)
    assert refused.code == 2
    assert "[active-copy]" in refused.said
    assert "the shortest way there" in refused.said
    assert "resolved:" not in refused.out
    walked = exmedic(*asked, "--anyway")
    assert walked.code == 3, "the gates refuse what the ladder would do"
    assert "on the server: reboot" not in walked.said


def test_what_is_no_ladder_is_refused_even_so(exmedic: Exmedic) -> None:
    result = exmedic("runbooks", "simulate", str(DANGEROUS / "never-ends.yaml"), "--fault", "incurable", "--anyway")
    assert result.code == 2
    assert "[cycle]" in result.said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fault", "restart_cure"), "has: restart_cures, reboot_cures"),
        (("--fault", "incurable", "--server", "mbx9"), "It has: mbx1.contoso.lab"),
        (("--fault", "incurable", "--server", "cas1"), "fitting servers: mbx1.contoso.lab"),
        (("--fault", "incurable", "--monitor", "PopDepTestMonitor"), "did you mean 'PopDeepTestMonitor'"),
        (("--fault", "incurable", "--option", "minutes=3"), "takes no option 'minutes'; it takes: service, monitor"),
        (("--fault", "incurable", "--option", "minutes"), "'minutes' is not NAME=VALUE"),
        (("--fault", "incurable", "--mishap", "shell.rebot:1:lost"), "did you mean 'shell.reboot'"),
        (("--fault", "incurable", "--mishap", "shell.reboot:0:lost"), "is not PLACE:NTH:KIND"),
        (("--fault", "incurable", "--mishap", "shell.reboot:1:gone"), "there are: unreachable, vanished"),
    ],
)
def test_a_name_that_does_not_exist_is_answered_with_those_that_do(
    exmedic: Exmedic, words: tuple[str, ...], said: str
) -> None:
    result = exmedic("runbooks", "simulate", MAILBOX, *words)
    assert result.code == 1
    assert said in result.said
