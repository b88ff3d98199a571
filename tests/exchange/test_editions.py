import pytest

from daemon.exchange.editions import SUPPORT_ENDED, Edition, edition, has_every_role, known


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("Version 15.0 (Build 1497.2)", Edition.E2013),
        ("Version 15.1 (Build 2507.6)", Edition.E2016),
        ("Version 15.2 (Build 1748.10)", Edition.E2019),
        ("Version 15.2 (Build 2562.17)", Edition.SUBSCRIPTION),
        ("15.2.2562.53", Edition.SUBSCRIPTION),
        ("15.2.1544.4", Edition.E2019),
        ("15.1", Edition.E2016),
    ],
)
def test_the_build_tells_the_edition(version: str, expected: Edition) -> None:
    assert edition(version) is expected


@pytest.mark.parametrize(
    "version", ["15.2", "Version 15.2 (Build x)", "14.3.123.4", "15.3.1.1", "16.0.1", "", "?", "5.2"]
)
def test_what_does_not_tell_it_is_no_edition(version: str) -> None:
    assert edition(version) is None


def test_only_the_subscription_edition_is_supported() -> None:
    assert set(Edition) - set(SUPPORT_ENDED) == {Edition.SUBSCRIPTION}


@pytest.mark.parametrize(
    ("version", "meant", "every_role"),
    [
        ("Version 14.3 (Build 123.4)", False, False),
        ("Version 15.0 (Build 1497.2)", True, False),
        ("Version 15.1 (Build 2507.6)", True, True),
        ("15.2", True, True),
        ("15.20", False, True),
        ("?", False, False),
    ],
)
def test_the_numbers_tell_whether_exmedic_is_meant_for_it_and_who_has_every_role(
    version: str, *, meant: bool, every_role: bool
) -> None:
    assert (known(version), has_every_role(version)) == (meant, every_role)
