"""Edits of an inventory's text: what is not meant stays, byte for byte."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.inventory_edit import NotEditable, Value, edited

TEXT = """# The servers of contoso.

# two in Lyon
[servers."mbx1.contoso.com"]  # the old one
roles = ["mailbox"]   # since 2016
site = "Lyon"
tags = [
  "ring1",  # the first to be healed
]

# in Nantes
[servers."MBX2.contoso.com"]
roles = ["mailbox"]
dag = "DAG1" # soon to be DAG2
site = "Nantes"

# the last one
[servers."mbx3.contoso.com"]
roles = ["mailbox"]
# the end"""


def change(text: str = TEXT, **fields: Value | None) -> str:
    return edited(text, added={}, changed={"MBX2.contoso.com": fields}, removed=frozenset())


def test_only_the_value_changes() -> None:
    assert change(site="Lyon", roles=["client_access", "mailbox"]) == TEXT.replace(
        'site = "Nantes"', 'site = "Lyon"'
    ).replace('roles = ["mailbox"]\ndag', 'roles = ["client_access", "mailbox"]\ndag')


def test_a_new_field_comes_above_the_comments_of_the_next_server() -> None:
    result = edited(TEXT, added={}, changed={"mbx1.contoso.com": {"dag": "DAG1"}}, removed=frozenset())
    assert result == TEXT.replace("]\n\n# in Nantes", ']\ndag = "DAG1"\n\n# in Nantes')


def test_a_field_that_is_taken_out_leaves_its_comment() -> None:
    result = change(dag=None)
    assert "dag" not in tomllib.loads(result)["servers"]["MBX2.contoso.com"]
    assert "# soon to be DAG2" in result


def test_a_server_that_is_removed_leaves_the_comments_of_the_next_one() -> None:
    result = edited(TEXT, added={}, changed={}, removed=frozenset({"MBX2.contoso.com"}))
    assert list(tomllib.loads(result)["servers"]) == ["mbx1.contoso.com", "mbx3.contoso.com"]
    assert '# the last one\n[servers."mbx3' in result
    assert "# in Nantes" in result


@pytest.mark.parametrize("text", ["", "# none yet\n", "[servers]\n", TEXT, TEXT.replace("\n", "\r\n")])
def test_a_server_is_added_at_the_end(text: str) -> None:
    result = edited(text, added={"x.contoso.com": {"roles": ["mailbox"]}}, changed={}, removed=frozenset())
    assert result.startswith(text)
    assert tomllib.loads(result)["servers"]["x.contoso.com"] == {"roles": ["mailbox"]}
    assert "\n" not in result.replace("\r\n", "") or "\r\n" not in text


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('servers = {"MBX2.contoso.com" = {site = "Nantes"}}\n', "as tables"),
        ('[servers]\n"MBX2.contoso.com".site = "Nantes"\n"other".site = "Lyon"\n', ""),
        ('[servers]\n"other".site = "Lyon"\n"MBX2.contoso.com".site = "Nantes"\n', "as tables"),
        ('[servers."MBX2.contoso.com"]\nroles = [\n  "mailbox", # why\n]\n', "by hand"),
    ],
)
def test_what_cannot_be_edited_without_loss_is_refused(text: str, advice: str) -> None:
    if not advice:
        assert tomllib.loads(change(text, site="Lyon"))["servers"]["MBX2.contoso.com"] == {"site": "Lyon"}
        return
    with pytest.raises(NotEditable, match=advice):
        change(text, roles=["client_access"])


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


@given(st.lists(words, unique=True, min_size=1, max_size=4), words, st.booleans())
def test_any_name_and_value_comes_back_and_every_comment_stays(names: list[str], value: str, windows: bool) -> None:
    added = {name: {"site": value} for name in names}
    text = edited(TEXT.replace("\n", "\r\n") if windows else TEXT, added=added, changed={}, removed=frozenset())
    changed = {name: {"dag": value} for name in (*names, "mbx3.contoso.com")}
    result = edited(text, added={}, changed=changed, removed=frozenset({"mbx1.contoso.com"}))
    found = tomllib.loads(result)["servers"]
    assert all(found[name] == {"site": value, "dag": value} for name in names)
    assert "mbx1.contoso.com" not in found
    for comment in ("# The servers", "# two in Lyon", "# in Nantes", "# soon", "# the last one", "# the end"):
        assert comment in result
