"""XML is cut into events before it is parsed, and what is no event stays outside: bombs, damage, endless text."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from agent.attribution.logs.eventxml import EventXml, split_events, syslog_event
from agent.attribution.textfile import CHUNK, MAX_LINE, TextFile
from agent.model.errors import AttributionError

PROVIDER = '<Provider Name="Linux-Sysmon"/>'
START = (
    f"<Event><System>{PROVIDER}<EventID>1</EventID></System>"
    '<EventData><Data Name="ProcessId">7</Data><Data Name="CommandLine">a</Data></EventData></Event>'
)


def pieces(tmp_path: Path, content: str) -> list[tuple[int, bytes | None]]:
    path = tmp_path / "events.xml"
    path.write_text(content, newline="")
    with TextFile(str(path)) as file:
        return list(split_events(file))


def test_events_are_cut_with_the_lines_they_begin_on(tmp_path: Path) -> None:
    content = "<Events>\n<Event a='1'>\n x\n</Event><Event>y</Event>\r\n\n<Event\n>z</Event>\n</Events>"
    assert pieces(tmp_path, content) == [
        (2, b"<Event a='1'>\n x\n</Event>"),
        (4, b"<Event>y</Event>"),
        (6, b"<Event\n>z</Event>"),
    ]


def test_events_are_whole_across_reads(tmp_path: Path) -> None:
    """Many times more text than one read gives, with events of every length and nothing between them."""
    events = [f"<Event>{'x' * (n * 7 % 900)}{n}\n</Event>" for n in range(3000)]
    content = "<Events>" + "".join(events) + "</Events>"
    assert len(content) > 4 * CHUNK
    assert pieces(tmp_path, content) == [(n + 1, event.encode()) for n, event in enumerate(events)]


def test_an_event_that_breaks_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    content = f"<Event>cut\n<Event >{START}"
    assert [line for line, _ in pieces(tmp_path, content)] == [1, 2]
    assert pieces(tmp_path, content)[1] == (2, START.encode())


def test_the_file_may_end_inside_an_event(tmp_path: Path) -> None:
    assert pieces(tmp_path, START + "\n\n<Event><System>") == [(1, START.encode()), (3, None)]
    assert pieces(tmp_path, START + "\n<Even") == [(1, START.encode())]


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]>',
        '<!DOCTYPE e SYSTEM "file:///etc/passwd">',
        " " * (3 * CHUNK) + "<!ENTITY x 'y'>",
    ],
    ids=["billion-laughs", "external", "far-inside"],
)
def test_a_document_type_is_refused(tmp_path: Path, prolog: str) -> None:
    with pytest.raises(AttributionError, match=r"begins with <!(DOCTYPE|ENTITY), which no event log does: it is not"):
        pieces(tmp_path, f'<?xml version="1.0"?>{prolog}<Events>{START}</Events>')


def test_an_endless_event_is_an_error_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.xml"
    path.write_bytes(b"<Events>\n<Event>" + b"x" * (20 * MAX_LINE))
    tracemalloc.start()
    with TextFile(str(path)) as file, pytest.raises(AttributionError, match="line 2: holds an event longer than"):
        list(split_events(file))
    assert tracemalloc.get_traced_memory()[1] < 8 * MAX_LINE
    tracemalloc.stop()


def test_endless_text_between_events_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.xml"
    path.write_bytes(b"<Events>" + b"x" * (20 * MAX_LINE) + START.encode())
    tracemalloc.start()
    with TextFile(str(path)) as file:
        assert list(split_events(file)) == [(1, START.encode())]
    assert tracemalloc.get_traced_memory()[1] < 8 * MAX_LINE
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<Event><a></b></Event>", r"is not XML \(mismatched tag\)"),
        ("<Event>&lol;</Event>", r"is not XML \(undefined entity"),
        ("<Event><!DOCTYPE x></Event>", "is not XML"),
        ("<Event>" + "<a>" * 5000 + "</Event>", "is XML nested deeper than 16"),
        ("<Event>\x00</Event>", r"is not XML \(not well-formed"),
        ("<Event><System></System></Event>", "is an event without an EventID"),
        ("<Event><System><EventID>٣</EventID></System></Event>", "is an event without an EventID"),
        ("<Event></Event></Events><Events><Event></Event>", "is not XML"),
    ],
    ids=["tags", "entity", "doctype", "deep", "nul", "no-number", "strange-number", "closes-the-root"],
)
def test_a_broken_event_is_named_and_costs_itself_only(xml: str, message: str) -> None:
    reader = EventXml()
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            reader.event(xml.encode())
        event = reader.event(START.encode())
        assert event is not None
        assert event.fields == {"ProcessId": "7", "CommandLine": "a"}


def test_invalid_utf_8_is_a_broken_event() -> None:
    with pytest.raises(ValueError, match="is not XML"):
        EventXml().event(START.encode().replace(b">a<", b">\xff<"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a &amp;&lt;b&gt; &#x41;&#66;", "a &<b> AB"),
        ("root/scx &quot SELECT x&quot  | grep", 'root/scx " SELECT x"  | grep'),
        ("a && b & c", "a && b & c"),
        ("<![CDATA[a <b>]]>", "a <b>"),
        ("line one\nline two", "line one\nline two"),
        ("", ""),
    ],
)
def test_values_are_unescaped_and_forgotten_escapes_forgiven(written: str, meant: str) -> None:
    event = EventXml().event(START.replace(">a<", f">{written}<").encode())
    assert event is not None
    assert event.fields["CommandLine"] == meant


def test_an_event_that_was_cut_gives_what_stood_whole() -> None:
    """Collectors cut long texts at a length; the command line's end is no command line."""
    reader = EventXml()
    cut = reader.event(START[: START.index(">a<") + 2].encode())
    assert cut is not None
    assert cut.fields == {"ProcessId": "7"}
    whole = reader.event(START.encode())
    assert whole is not None
    assert len(whole.fields) == 2


def test_elements_outside_the_events_own_data_are_ignored() -> None:
    nested = START.replace("</EventData>", "</EventData><UserData><x><Data Name='ProcessId'>8</Data></x></UserData>")
    event = EventXml().event(nested.encode())
    assert event is not None
    assert event.fields["ProcessId"] == "7"


def test_events_that_do_not_matter_are_not_parsed() -> None:
    """A log holds a hundred of them for each that does."""
    assert EventXml().event(b"<Event><System><EventID Qualifiers=''>7</EventID></broken>") is None


@pytest.mark.parametrize(
    ("prefix", "own"),
    [
        ("May 16 16:05:17 ip-172-16-101-22 sysmon: ", True),
        ("Oct 10 12:45:22 redacted sysmon[1328745]: ", True),
        ("<14>1 2026-01-05T09:00:03Z ws5 sysmon 1590 - - ", True),
        ("Oct 10 12:45:22 redacted nobody[5]: ", False),
        ("Oct 10 12:45:22 redacted sysmonitor: ", False),
        ("sysmon: <x> " + "y" * 300, False),
        ("", False),
    ],
)
def test_only_sysmons_own_lines_of_syslog_count(prefix: str, own: bool) -> None:
    assert syslog_event((prefix + START).encode()) == (START.encode() if own else b"")
