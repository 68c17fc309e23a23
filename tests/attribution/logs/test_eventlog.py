"""One event is the same evidence whatever program wrote it down, and what is no event is told with its line."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attribution.collector import Collector
from agent.attribution.evidence import Claim, Context, Observation, ProcessStart, Side
from agent.attribution.logs.eventlog import EventLog, load, recognises
from agent.attribution.textfile import MAX_LINE, TextFile
from agent.model.address import parse_endpoint
from agent.model.errors import AttributionError
from agent.model.moment import parse_time
from tests.attribution.logs.wrapped import (
    ALLOWED,
    CONNECTION,
    CREATED,
    HOST,
    LINUX_WRAPPINGS,
    SECURITY,
    START,
    WRAPPINGS,
    Sample,
    nxlog,
    syslog_text,
    xml_document,
    xml_of,
)

GUID = "81056205-565C-64DC-2304-000000000800"
APP = "C:\\Program Files\\A & B\\app.exe"

EVERYWHERE = {**WRAPPINGS, **LINUX_WRAPPINGS}


def file(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "events.dat"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(tmp_path: Path, content: str | bytes, *, lenient: bool = False) -> EventLog:
    with TextFile(file(tmp_path, content)) as opened:
        return EventLog(opened, Context(lenient=lenient))


def only(log: EventLog) -> Collector:
    [collector] = log.collectors()
    return collector


def row(sample: Sample = CONNECTION) -> str:
    return json.dumps(nxlog(sample)) + "\n"


@pytest.mark.parametrize("wrapping", EVERYWHERE)
def test_a_connection_is_the_same_in_every_wrapping(tmp_path: Path, wrapping: str) -> None:
    log = read(tmp_path, EVERYWHERE[wrapping](CONNECTION))
    collector = only(log)
    assert (collector.name, collector.starts, collector.warnings) == ("sysmon", [], [])
    [seen] = collector.observations
    assert seen._replace(host=seen.host.lower()) == Observation(
        host=HOST.lower(),
        time=parse_time("2026-01-05T09:00:01.25Z"),
        protocol=6,
        first=parse_endpoint("10.0.0.5:50123"),
        second=parse_endpoint("203.0.113.9:443"),
        local=Side.FIRST,
        claim=Claim(pid=7448, guid=GUID, image=APP, user="CONTOSO\\ann"),
        initiated=True,
    )


@pytest.mark.parametrize("wrapping", EVERYWHERE)
def test_a_process_start_is_the_same_in_every_wrapping(tmp_path: Path, wrapping: str) -> None:
    collector = only(read(tmp_path, EVERYWHERE[wrapping](START)))
    command = f'"{APP}" -x <y>'
    claim = Claim(pid=7448, guid=GUID, image=APP, command_line=command, user="CONTOSO\\ann")
    assert collector.starts == [ProcessStart(HOST, parse_time("2026-01-05T08:59:59.75Z"), claim)]
    assert collector.observations == []


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_an_allowed_connection_is_the_same_in_every_wrapping(tmp_path: Path, wrapping: str) -> None:
    collector = only(read(tmp_path, WRAPPINGS[wrapping](ALLOWED)))
    assert collector.name == "security"
    assert collector.observations == [
        Observation(
            host=HOST,
            time=parse_time("2026-01-05T09:00:03.1234560Z"),
            protocol=6,
            first=parse_endpoint("10.0.0.5:63829"),
            second=parse_endpoint("203.0.113.9:443"),
            local=Side.FIRST,
            claim=Claim(pid=1048, image="\\device\\harddiskvolume2\\windows\\system32\\svchost.exe"),
            initiated=True,
        )
    ]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_created_process_is_the_same_in_every_wrapping(tmp_path: Path, wrapping: str) -> None:
    collector = only(read(tmp_path, WRAPPINGS[wrapping](CREATED)))
    claim = Claim(
        pid=0x1D18,
        image="C:\\Windows\\System32\\svchost.exe",
        command_line="C:\\Windows\\System32\\svchost.exe -k netsvcs -p -s Schedule",
        user="CONTOSO\\WS5$",
    )
    assert collector.starts == [ProcessStart(HOST, parse_time("2026-01-05T09:00:03.1234560Z"), claim)]


@pytest.mark.parametrize("wrapping", EVERYWHERE)
def test_every_wrapping_is_told_by_content(tmp_path: Path, wrapping: str) -> None:
    content = EVERYWHERE[wrapping](CONNECTION)
    with TextFile(file(tmp_path, content)) as opened:
        assert recognises(opened)
        assert len(load(opened, Context())) == 1  # looking took nothing
    if wrapping != "evtx":
        mark = b"" if content.startswith(b"Jan") else b"\xef\xbb\xbf"
        with TextFile(file(tmp_path, gzip.compress(mark + content))) as opened:
            assert recognises(opened)
            assert len(load(opened, Context())) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param('{"start":"2026-01-05T09:00:00Z","protocol":"tcp","local":"10.0.0.5:1"}\n', id="socket-record"),
        pytest.param('{"EventID":3,"Image":"C:\\\\a.exe"}\n', id="a-number-called-event-id"),
        pytest.param('{"Timestamp":"2026-01-05T09:00:00Z","ActionType":"ConnectionSuccess"}\n', id="advanced-hunting"),
        pytest.param('{"MESSAGE":"Started session.","_COMM":"systemd"}\n', id="journal-without-sysmon"),
        pytest.param("#Version: 1.5\n#Software: Microsoft Windows Firewall\n", id="firewall-log"),
        pytest.param("<html><Event ></Event></html>", id="other-xml"),
        pytest.param("Jan  5 09:00:00 ws5 CRON[1]: <Event><System></System></Event>\n", id="syslog-of-others"),
        pytest.param("ElfFil", id="not-quite-evtx"),
        pytest.param("{not json\n", id="broken"),
    ],
)
def test_other_files_are_not_taken_for_events(tmp_path: Path, content: str) -> None:
    with TextFile(file(tmp_path, content)) as opened:
        assert not recognises(opened)


def test_one_file_gives_a_collector_for_each_log_that_saw_something(tmp_path: Path) -> None:
    other = row(replace(CONNECTION, number=7)) + row(replace(ALLOWED, number=4624))
    log = read(tmp_path, row() + other + row(ALLOWED) + row(START) + row(CREATED))
    assert [(c.name, len(c.observations), len(c.starts)) for c in log.collectors()] == [
        ("sysmon", 1, 1),
        ("security", 1, 1),
    ]
    assert log.skipped == 2


def test_a_file_without_any_gives_none(tmp_path: Path) -> None:
    log = read(tmp_path, row(replace(CONNECTION, number=11)))
    assert (log.collectors(), log.skipped) == ([], 1)


def test_an_unknown_provider_in_a_known_channel_is_another_event(tmp_path: Path) -> None:
    """Event 1 of the Security channel's own service is no process start."""
    strange = json.dumps({**nxlog(START), "SourceName": "Microsoft-Windows-Eventlog"}) + "\n"
    assert read(tmp_path, strange).skipped == 1


def test_a_channel_stands_in_for_a_provider_that_is_not_named_in_any_case(tmp_path: Path) -> None:
    strange = {**nxlog(ALLOWED), "Channel": "security"}
    del strange["SourceName"]
    assert only(read(tmp_path, json.dumps(strange))).name == "security"


def test_the_logging_process_is_never_the_owner(tmp_path: Path) -> None:
    """NXLog loses Sysmon's ProcessId; ExecutionProcessID, or ProcessID of older ones, is Sysmon's own."""
    lost = nxlog(CONNECTION)
    del lost["ProcessId"]
    lost["ProcessID"] = 3392
    [seen] = only(read(tmp_path, json.dumps(lost))).observations
    assert (seen.claim.pid, seen.claim.guid) == (None, GUID)
    lost = nxlog(ALLOWED) | {"ProcessID": 3392, "ProcessId": "1048"}
    [seen] = only(read(tmp_path, json.dumps(lost))).observations
    assert seen.claim.pid == 1048


def test_a_time_without_a_zone_is_taken_for_utc(tmp_path: Path) -> None:
    """The offset that the clocks' comparison finds corrects it; the collector's @timestamp is later by seconds."""
    old = nxlog(ALLOWED)
    del old["TimeCreated"]
    [seen] = only(read(tmp_path, json.dumps(old))).observations
    assert seen.time == parse_time("2026-01-05T04:00:03Z")


def test_equal_values_are_the_same_object(tmp_path: Path) -> None:
    first, second = only(read(tmp_path, row() + row())).observations
    assert first.claim is second.claim
    assert first.host is second.host
    assert first.first is second.first
    assert first.second is second.second


GOOD = row() * 20

BROKEN: list[tuple[str, str, str]] = [
    ("not-json", "{nothing", "is not JSON ("),
    ("list", "[1]", "is no JSON object"),
    ("deep", "[" * 3000 + "]" * 3000, "is not JSON ("),
    (
        "deep-event-data",
        '{"EventID":3,"Provider":"Microsoft-Windows-Sysmon","EventData":"' + "[" * 3000 + '"}',
        "EventData",
    ),
    ("invalid-utf-8", "\udcff{}", "is not JSON ("),
    ("another-object", '{"ts":1}', "is no event of a Windows event log"),
    ("no-event-id", '{"EventID":null,"Channel":"Security"}', "is an event without an EventID"),
    ("event-id-of-another-kind", '{"EventID":[3],"Channel":"Security"}', "is an event without an EventID"),
    ("event-without-system", '{"Event":{}}', "has an Event without System"),
    (
        "event-without-data",
        '{"Event":{"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":3}}}',
        "has an Event without EventData",
    ),
    (
        "event-data-not-json",
        '{"EventID":3,"Provider":"Microsoft-Windows-Sysmon","EventData":"{"}',
        "has EventData that is not JSON (",
    ),
    (
        "event-data-a-list",
        '{"EventID":3,"Provider":"Microsoft-Windows-Sysmon","EventData":"[]"}',
        "has EventData that is no object",
    ),
    (
        "event-data-not-xml",
        '{"EventID":3,"Provider":"Microsoft-Windows-Sysmon","EventData":"<EventData></x>"}',
        "is not XML (mismatched tag)",
    ),
    ("no-fields", '{"EventID":3,"SourceName":"Microsoft-Windows-Sysmon"}', "'' is not one of"),
    ("entity", json.dumps({"SyslogMessage": "<Event><System>&lol;</System></Event>"}), "is not XML (undefined entity"),
]


@pytest.mark.parametrize(("line", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_line_is_noted_and_the_others_are_used(tmp_path: Path, line: str, message: str) -> None:
    content = (GOOD + line + "\n" + GOOD).encode("utf-8", "surrogateescape")
    collector = only(read(tmp_path, content))
    assert len(collector.observations) == 40
    [(code, text)] = collector.warnings
    assert code == "lines_broken"
    assert "1 lines could not be used: line 21: " in text
    assert message in text


def changed(sample: Sample, **fields: object) -> str:
    return json.dumps({**nxlog(sample), **fields}) + "\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(changed(CONNECTION, Protocol="sctpx"), "'sctpx' is not one of", id="protocol"),
        pytest.param(changed(CONNECTION, SourceIp="10.0.0"), "the source address '10.0.0' is not an", id="address"),
        pytest.param(changed(CONNECTION, DestinationIp=None), "the destination address None is not", id="no-address"),
        pytest.param(changed(CONNECTION, SourceIp=["10.0.0.5"]), "the source address ['10.0.0.5'] is not", id="list"),
        pytest.param(changed(CONNECTION, SourceIp="x" * 900), "'xxxxxxxxx", id="long"),
        pytest.param(changed(CONNECTION, SourcePort="65536"), "the source port '65536' is not in 0..65535", id="port"),
        pytest.param(changed(CONNECTION, SourcePort="http"), "the source port 'http' is not in", id="named-port"),
        pytest.param(changed(CONNECTION, SourcePort=10**30), "the source port 1e+30 is not in", id="huge-port"),
        pytest.param(changed(CONNECTION, SourcePort=-1), "the source port -1 is not in", id="negative-port"),
        pytest.param(changed(CONNECTION, UtcTime="yesterday"), "the time 'yesterday' is not one such as", id="time"),
        pytest.param(changed(CONNECTION, UtcTime="2026-13-05 09:00:00.000"), "month must be in 1..12", id="month"),
        pytest.param(changed(CONNECTION, UtcTime="1601-01-01 00:00:00.000"), "lies before 1970", id="long-ago"),
        pytest.param(changed(ALLOWED, TimeCreated=5), "the time None is not one", id="no-time"),
        pytest.param(changed(CREATED, NewProcessId="0xzz"), "NewProcessId '0xzz' is no pid", id="pid"),
    ],
)
def test_a_broken_value_names_the_field(tmp_path: Path, line: str, message: str) -> None:
    [(_, text)] = only(read(tmp_path, GOOD + line)).warnings
    assert message in text
    assert len(text) < 400


def test_too_many_broken_lines_are_an_error_unless_lenient(tmp_path: Path) -> None:
    content = row() + "{broken\n" + row()
    with pytest.raises(
        AttributionError, match=r"line 2: is not JSON .* \(1 of 3 lines are broken; --lenient"
    ) as raised:
        read(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert len(only(read(tmp_path, content, lenient=True)).observations) == 2


def test_a_damaged_first_line_does_not_hide_the_format(tmp_path: Path) -> None:
    with TextFile(file(tmp_path, "{damaged\n" + row())) as opened:
        assert recognises(opened)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param((row() + row()[:200]).encode(), id="json-lines"),
        pytest.param(WRAPPINGS["evtx-dump-records"](CONNECTION) + b"Record 2\n{\n", id="records"),
        pytest.param((xml_of(CONNECTION) + xml_of(CONNECTION)[:300]).encode(), id="xml"),
        pytest.param(gzip.compress((row() + row()).encode(), 0)[:-600], id="gzip"),
    ],
)
def test_a_file_that_ends_inside_an_event_is_used_to_there(tmp_path: Path, content: bytes) -> None:
    collector = only(read(tmp_path, content))
    assert len(collector.observations) == 1
    [(code, text)] = collector.warnings
    assert code == "attribution_truncated"
    assert "ends inside an event" in text


def test_a_row_of_endless_length_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match="line 21: is longer than"):
        read(tmp_path, GOOD + '{"EventID":"' + "x" * (2 * MAX_LINE))
    with pytest.raises(AttributionError, match="line 2: holds an event longer than"):
        read(tmp_path, "Record 1\n" + ("[" + " " * 1000 + "\n") * 2000)


def test_utf_16_is_read_like_any_text(tmp_path: Path) -> None:
    """What PowerShell and wevtutil write."""
    declared = '<?xml version="1.0" encoding="utf-16"?>' + xml_document(CONNECTION).decode()
    for content in (row(), xml_document(CONNECTION).decode(), declared):
        with TextFile(file(tmp_path, content.encode("utf-16"))) as opened:
            assert recognises(opened)
            assert [len(collector.observations) for collector in load(opened, Context())] == [1]


def test_syslog_lines_of_other_programs_are_skipped(tmp_path: Path) -> None:
    """Any program can write something like an event to syslog."""
    forged = syslog_text(CONNECTION).replace(b"ws5 sysmon: ", b"ws5 nobody: ")
    log = read(tmp_path, syslog_text(CONNECTION) + forged)
    assert len(only(log).observations) == 1
    assert log.skipped == 5
    rows = json.dumps({"SyslogMessage": xml_of(CONNECTION, namespace=False), "ProcessName": "nobody"})
    assert read(tmp_path, rows).skipped == 1


@pytest.mark.parametrize(
    "tag", ["Jan  5 09:00:03 ws5 sysmon[1590]: ", "<14>1 2026-01-05T09:00:03Z ws5 sysmon 1590 - - "]
)
def test_both_forms_of_syslog_are_read(tmp_path: Path, tag: str) -> None:
    with TextFile(file(tmp_path, tag + xml_of(CONNECTION, provider="Linux-Sysmon", namespace=False))) as opened:
        assert recognises(opened)
        assert len(load(opened, Context())[0].observations) == 1


@given(
    wrapping=st.sampled_from(sorted(EVERYWHERE.keys() - {"evtx"})),
    sample=st.sampled_from([CONNECTION, START, ALLOWED, CREATED]),
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 40),
            st.one_of(st.binary(max_size=3), st.sampled_from([b"</Event>", b"<Event>", b"null", b"[]", b"{}", b"\n"])),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_damage_is_never_more_than_an_error_of_one_line(
    tmp_path_factory: pytest.TempPathFactory,
    wrapping: str,
    sample: Sample,
    cuts: list[tuple[float, int, bytes]],
) -> None:
    """Whatever is cut out of the middle, and whatever is put there."""
    content = EVERYWHERE[wrapping](sample) * 2
    for where, count, put in cuts:
        at = int(where * len(content))
        content = content[:at] + put + content[at + count :]
    path = tmp_path_factory.getbasetemp() / "damaged.dat"
    path.write_bytes(content)
    for lenient in (False, True):
        assert "\n" not in problem_of(str(path), lenient=lenient)


def problem_of(path: str, *, lenient: bool) -> str:
    """What the error says, "" without one."""
    try:
        with TextFile(path) as opened:
            recognises(opened)
            collectors = load(opened, Context(lenient=lenient))
    except AttributionError as error:
        return str(error)
    evidence = [*(c.observations for c in collectors), *(c.starts for c in collectors)]
    assert all(hash(item) is not None for items in evidence for item in items)  # nothing but plain values
    return ""


SAMPLES = [
    # file, Sysmon 3, 1, 22; Security 5154-5158, 4688; other events
    ("otrf-empire-psexec-ws6.events.jsonl", (8, 6, 2), (174, 7), 0),
    ("otrf-lsass01.events.jsonl", (140, 269, 51), (372, 53), 16),
    ("otrf-purplesharp-ad-playbook.events.jsonl", (126, 24, 13), (326, 24), 0),
    ("otrf-schtask-create.events.jsonl", (6, 10, 1), (32, 10), 0),
    ("otrf-sharpsc-stop.events.jsonl", (20, 9, 2), (121, 9), 0),
    ("otrf-log4shell-jndi-linux.sysmon-syslog.jsonl", (5, 31, 0), (0, 0), 56),
]


@pytest.mark.parametrize(("name", "sysmon", "security", "other"), SAMPLES, ids=[case[0] for case in SAMPLES])
def test_published_logs_are_read_to_the_last_event(
    sample_capture: Callable[[str], Path],
    name: str,
    sysmon: tuple[int, int, int],
    security: tuple[int, int],
    other: int,
) -> None:
    """Counted by event id with nothing but a JSON parser; no line of these logs is broken."""
    with TextFile(str(sample_capture(name))) as opened:
        assert recognises(opened)
        log = EventLog(opened, Context())
    found = {c.name: (len(c.observations), len(c.starts)) for c in log.collectors()}
    assert found.get("sysmon") == sysmon[:2]
    assert len(log.sysmon.answers) == sysmon[2]
    assert found.get("security", (0, 0)) == security
    assert log.skipped == other
    unusable = 1 if "log4shell" in name else 0  # a row of Sysmon for Linux without endpoints
    assert log.sysmon.unusable == unusable
    assert [code for c in log.collectors() for code, _ in c.warnings] == ["log_rows_unusable"] * unusable


def test_the_blocked_connections_of_a_published_log_are_seen(sample_capture: Callable[[str], Path]) -> None:
    """The two flows that the firewall blocked: five SYNs each, five 5157 events each, inbound to services.exe."""
    with TextFile(str(sample_capture("otrf-sharpsc-stop.events.jsonl"))) as opened:
        [security] = [c for c in load(opened, Context()) if c.name == "security"]
    image = "\\device\\harddiskvolume2\\windows\\system32\\services.exe"
    blocked = Counter(
        (str(seen.first), str(seen.second))
        for seen in security.observations
        if seen.host == "WORKSTATION6.theshire.local" and seen.claim == Claim(pid=732, image=image) and seen.second
    )
    assert blocked == {
        ("172.18.39.5:55031", "172.18.39.6:50115"): 5,
        ("172.18.39.5:55029", "172.18.39.6:50115"): 5,
    }
    assert {seen.initiated for seen in security.observations if seen.claim.pid == 732} == {False}


def test_a_security_event_of_linux_sysmon_is_none(tmp_path: Path) -> None:
    """The provider tells which log a number belongs to."""
    strange = xml_of(replace(ALLOWED), provider="Linux-Sysmon")
    assert read(tmp_path, strange).skipped == 1
    assert SECURITY in xml_of(ALLOWED)
