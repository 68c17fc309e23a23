"""What reaches the terminal: harmless text, whole output, no complaint about a reader that left."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import output
from agent.cli.output import Line, Table, count, note, printable, show, size
from tests.cli.samples import ROOT


@given(st.text(st.characters()))
def test_printable_text_has_nothing_a_terminal_obeys(text: str) -> None:
    """No control characters, no line ends, no direction overrides, nothing that UTF-8 refuses."""
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()


def test_printable_text_is_left_alone() -> None:
    assert printable("C:\\Straße\\日本.exe") == "C:\\Straße\\日本.exe"


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show([Table(title="t\x1b[2J", columns=("name",), rows=[("\x1b]0;owned\x07",)]), Line(text="a\x1b[31mb\nc")])
    note("d\x1b[31m\ne")
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "a\\x1b[31mb\\nc" in captured.out
    assert captured.err == "d\\x1b[31m\\ne\n"


def test_long_cells_are_not_cut_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets every column whole, on one line a row."""
    path = "C:\\" + "x" * 300 + ".exe"
    show([Table(title="t", columns=("image", "n"), rows=[(path, "1")], right=frozenset({"n"}))])
    assert path in capsys.readouterr().out


def test_text_in_brackets_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show([Table(title="[bold]t", columns=("c",), rows=[("[red]x[/red]",)]), Line(text=":smile: [b]")])
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert ":smile: [b]" in out
    assert "[bold]t" in out


_ASCII = st.text(st.characters(max_codepoint=126), max_size=12)


@st.composite
def parts(draw: st.DrawFn) -> Table | Line:
    """A line or a table of ASCII text, control characters included."""
    if draw(st.booleans()):
        return Line(text=draw(_ASCII), style="bold")
    columns = draw(st.lists(_ASCII, min_size=1, max_size=4, unique=True))
    row = st.lists(_ASCII, min_size=len(columns), max_size=len(columns))
    rows, right = draw(st.lists(row, max_size=4)), draw(st.frozensets(st.sampled_from(columns)))
    return Table(title=draw(_ASCII), columns=columns, rows=rows, right=right, styles={"a": "red"})


@given(st.lists(parts(), max_size=4))
def test_plain_parts_look_as_rich_draws_them(drawn: list[Table | Line]) -> None:
    """What a pipe gets is the same whether rich is needed or not."""

    def shown() -> str:
        with redirect_stdout(StringIO()) as out:
            show(drawn)
        return out.getvalue()

    with mock.patch.object(output, "_is_plain", return_value=False):
        by_rich = shown()
    assert shown() == by_rich


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (10**18, "1000.0 PB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


def test_counts_have_thousands() -> None:
    assert count(1234567) == "1,234,567"


def child(program: str, stdout: int, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        timeout=60,
    )


def test_a_reader_that_left_is_no_error() -> None:
    """As in `isolation-agent replay ... | head -1`: quiet, and the exit code stays the command's."""
    read, write = os.pipe()
    os.close(read)
    done = child("from agent.cli.output import emit\nemit('x' * 100_000)\nemit('y')\nraise SystemExit(1)", write)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_reported() -> None:
    with open("/dev/full", "wb") as full:
        done = child("from agent.cli.main import main\nimport sys\nsys.argv = ['x']\nmain()", full.fileno())
    assert done.returncode == 3
    assert done.stderr == b"isolation-agent: error: standard output: cannot write: No space left on device\n"


def test_a_terminal_without_unicode_gets_question_marks() -> None:
    program = "from agent.cli.output import Line, show\nshow([Line(text='Straße')])"
    done = child(program, subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert done.stdout == b"Stra?e\n"
    assert done.returncode == 0


def test_colours_are_for_terminals_and_not_with_no_color() -> None:
    """On a pseudo-terminal: with colours, and without them as soon as NO_COLOR asks."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    program = "from agent.cli.output import Line, show\nshow([Line(text='word', style='red')])"
    shown = {}
    for no_color in ("", "1"):
        controller, terminal = pty.openpty()
        done = child(program, terminal, NO_COLOR=no_color, TERM="xterm-256color")
        os.close(terminal)
        shown[no_color] = os.read(controller, 4096)
        os.close(controller)
        assert done.returncode == 0
    assert b"\x1b[" in shown[""]
    assert shown["1"].strip() == b"word"
