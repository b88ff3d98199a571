import contextlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.config.toml import MAX_SYNTAX_MISTAKES, TomlSource, read_toml


def _read(tmp_path: Path, text: str | bytes) -> TomlSource:
    file = tmp_path / "x.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_toml(file)


def test_every_kind_of_key_has_its_line(tmp_path: Path) -> None:
    source = _read(
        tmp_path,
        'a = 1\n[t."q.r"]\nb.c = [\n  1,\n  { d = 2 },\n]\n[[list]]\ne = 1\n[[list]]\n\n# comment\ne = """\n\n"""\n',
    )
    assert source.mistakes == ()
    lines = {
        ("a",): 1,
        ("t", "q.r"): 2,
        ("t", "q.r", "b"): 3,
        ("t", "q.r", "b", "c", 0): 4,
        ("t", "q.r", "b", "c", 1, "d"): 5,
        ("list", 0, "e"): 8,
        ("list", 1): 9,
        ("list", 1, "e"): 12,
    }
    assert {loc: source.line(loc) for loc in lines} == lines


def test_a_place_without_a_line_has_that_of_the_table_around_it(tmp_path: Path) -> None:
    source = _read(tmp_path, "a = 1\n[bus]\nhost = 'x'\n")
    assert source.line(("bus", "port")) == 2
    assert source.line(("nowhere",)) == 0


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a = 1\nb = \nc = 3\n", [2]),
        ("a = 'x\nb = 2\nc 3\n", [1, 3]),
        ("a = [1, 2\n[t]\nb = 1\n", [1]),
        ("a = [1,\n  2 3,\n  4]\nb = oops\n", [1, 4]),
        ('a = """\nb = 1\nc = 2\n', [1]),
        ("[t\na = 1\n[u]\nb 1\n", [1, 4]),
        ("junk\n[t]\nmore junk\na = 1\n", [1, 3]),
        ("a = 1\na = 2\n[t]\nb = 1\n[t]\nc = 1\n", [2, 5]),
        ("[t]\nb = { x = 1 }\nb.y = 2\n", [3]),
    ],
)
def test_each_syntax_mistake_is_reported_at_the_statement_to_blame(tmp_path: Path, text: str, lines: list[int]) -> None:
    assert [mistake.line for mistake in _read(tmp_path, text).mistakes] == lines


def test_what_is_given_twice_is_named_with_the_line_of_the_first(tmp_path: Path) -> None:
    first, second = _read(tmp_path, "[bus]\nhost = 'a'\nhost = 'b'\n[winrm]\n[bus]\n").mistakes
    assert first.message == "bus.host is given twice; the first is on line 2; keep one of them"
    assert second.message == "bus is given twice; the first is on line 1; keep one of them"


def test_the_keys_of_a_broken_table_do_not_fall_to_the_table_before_it(tmp_path: Path) -> None:
    source = _read(tmp_path, "[bus]\nhost = 'a'\n[winrm\nthreads = 1\n")
    assert source.values == {"bus": {"host": "a"}}


def test_a_hopeless_file_is_given_up_on(tmp_path: Path) -> None:
    source = _read(tmp_path, "?\n" * 1000)
    assert len(source.mistakes) == MAX_SYNTAX_MISTAKES
    assert source.values == {}


def test_values_nested_too_deeply_are_a_mistake(tmp_path: Path) -> None:
    (mistake,) = _read(tmp_path, "a = " + "[" * 100_000).mistakes
    assert "nested too deeply" in mistake.message


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    (mistake,) = read_toml(tmp_path / "absent.toml").mistakes
    assert str(mistake) == f"{tmp_path}/absent.toml: cannot be read: No such file or directory"


def test_bytes_that_are_not_utf8_are_a_mistake_with_line_and_offset(tmp_path: Path) -> None:
    (mistake,) = _read(tmp_path, b"a = 1\nb = '\xe9'\n").mistakes
    assert (mistake.line, "byte 11" in mistake.message) == (2, True)


def test_a_byte_order_mark_and_windows_line_ends_are_read_over(tmp_path: Path) -> None:
    source = _read(tmp_path, b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    assert (source.values, source.line(("b",)), source.mistakes) == ({"a": 1, "b": 2}, 2, ())


_PIECES = st.sampled_from(
    [
        "a",
        "b",
        "=",
        "[",
        "]",
        ".",
        '"',
        "'",
        "\n",
        "1",
        " ",
        '"""',
        "{",
        "}",
        ",",
        "[a]\n",
        "a = 1\n",
        "#",
        "\r",
        "\\",
        "é",
    ]
)


@given(st.lists(_PIECES, max_size=40).map("".join))
@example("\r\r\n")
@example("a = 1\r\r\n")
def test_tomllib_decides_what_is_a_mistake_and_what_the_values_are(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    source = _read(tmp_path_factory.getbasetemp(), text)
    values = None
    with contextlib.suppress(tomllib.TOMLDecodeError):
        values = tomllib.loads(text)
    assert bool(source.mistakes) == (values is None)
    if values is not None:
        assert source.values == values
