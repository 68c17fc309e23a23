"""DeviceNetworkEvents and DeviceProcessEvents: what their rows say, in every way they are exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.attribution.evidence import NOBODY, Claim, Observation, Rank, Side
from agent.attribution.logs import hunting
from agent.model.address import parse_endpoint
from agent.model.errors import AttributionError
from agent.model.moment import SECOND, parse_time
from agent.model.vocabulary import Confidence
from tests.attribution.logs.samples import HUNTING_ROW, PROCESS_ROW, STREAMED, csv_of, lines_of, loaded, one, warned

T0 = parse_time("2026-01-05T09:00:00Z")
SVCHOST = Claim(
    pid=1804,
    created=parse_time("2026-01-05T08:00:00.5Z"),
    image="c:\\windows\\system32\\svchost.exe",
    command_line='svchost.exe -k netsvcs -p -s "wuauserv"',
    user="nt authority\\system",
)
OUTBOUND = Observation(
    host="lab-win11.contoso.test",
    time=T0 + 123_456_700,
    protocol=6,
    first=parse_endpoint("10.0.0.5:50123"),
    second=parse_endpoint("203.0.113.9:443"),
    local=Side.FIRST,
    claim=SVCHOST,
    initiated=True,
)
INSPECTED: dict[str, Any] = {
    **HUNTING_ROW,
    **dict.fromkeys((name for name in HUNTING_ROW if name.startswith("InitiatingProcess")), None),
    "InitiatingProcessId": 0,
    "ActionType": "SslConnectionInspected",
}


def seen(tmp_path: Path, row: dict[str, Any]) -> Observation:
    [observation] = one(hunting, tmp_path, lines_of(row)).observations
    return observation


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(csv_of(HUNTING_ROW), id="csv"),
        pytest.param(csv_of(HUNTING_ROW, columns=tuple(reversed(HUNTING_ROW))), id="csv-other-order"),
        pytest.param(csv_of({key.upper(): value for key, value in HUNTING_ROW.items()}), id="csv-other-case"),
        pytest.param("sep=,\r\n" + csv_of(HUNTING_ROW), id="csv-excel-hint"),
        pytest.param("#TYPE Selected.System.Data.DataRow\r\n" + csv_of(HUNTING_ROW), id="csv-powershell-5"),
        pytest.param(csv_of(HUNTING_ROW, columns=(*HUNTING_ROW, "Extra")), id="csv-more-columns"),
        pytest.param(lines_of(HUNTING_ROW), id="json-lines"),
        pytest.param(lines_of({key.lower(): value for key, value in HUNTING_ROW.items()}), id="json-other-case"),
        pytest.param(
            lines_of({key: None if value is None else str(value) for key, value in HUNTING_ROW.items()}),
            id="json-texts",
        ),
        pytest.param(
            lines_of({**HUNTING_ROW, "LocalPort": 50123.0, "InitiatingProcessId": "1804.0"}), id="json-floats"
        ),
        pytest.param(json.dumps({"Schema": [{"Name": "value", "Type": "[]"}], "Results": [HUNTING_ROW]}), id="api"),
        pytest.param(json.dumps({"results": [HUNTING_ROW], "schema": []}, indent=3), id="graph-api"),
        pytest.param(json.dumps([HUNTING_ROW], indent=2), id="list"),
        pytest.param(json.dumps(HUNTING_ROW, indent=2), id="one-object"),
        pytest.param(lines_of(STREAMED), id="streamed"),
        pytest.param(lines_of({"records": [STREAMED]}), id="event-hub"),
        pytest.param(
            lines_of(
                {
                    "TenantId": "1",
                    "TimeGenerated": HUNTING_ROW["Timestamp"],
                    "Type": "DeviceNetworkEvents",
                    **HUNTING_ROW,
                }
            ),
            id="sentinel",
        ),
    ],
)
def test_the_same_row_however_it_is_exported(tmp_path: Path, text: str) -> None:
    collector = one(hunting, tmp_path, text)
    assert collector.observations == [OUTBOUND]
    assert [(start.created, start.claim) for start in collector.starts] == [(SVCHOST.created, SVCHOST)]
    assert (collector.name, collector.rank, collector.confidence) == ("hunting", Rank.LOG, Confidence.HIGH)
    assert (collector.witness, collector.warnings) == (False, [])


@pytest.mark.parametrize(
    ("action", "initiated", "listening"),
    [
        ("ConnectionSuccess", True, False),
        ("ConnectionFailed", True, False),
        ("ConnectionRequest", True, False),
        ("CONNECTIONSUCCESS", True, False),
        ("ConnectionSuccessAggregatedReport", True, False),
        ("InboundConnectionAccepted", False, False),
        ("ConnectionFound", None, False),
        ("SomethingNew", None, False),
        ("ListeningConnectionCreated", None, True),
    ],
)
def test_who_opened_it_is_told_by_the_action(
    tmp_path: Path, action: str, initiated: bool | None, listening: bool
) -> None:
    observation = seen(tmp_path, {**HUNTING_ROW, "ActionType": action})
    assert (observation.initiated, observation.listening, observation.local) == (initiated, listening, Side.FIRST)
    assert (observation.second is None) == listening


def test_udp_proves_no_direction(tmp_path: Path) -> None:
    observation = seen(tmp_path, {**HUNTING_ROW, "Protocol": "Udp"})
    assert (observation.protocol, observation.initiated) == (17, None)


@pytest.mark.parametrize("action", ["ConnectionAttempt", "ConnectionAcknowledged"])
def test_what_discovery_sniffed_may_be_another_devices(tmp_path: Path, action: str) -> None:
    observation = seen(tmp_path, {**HUNTING_ROW, "ActionType": action})
    assert (observation.local, observation.initiated, observation.proves_address) == (Side.UNSURE, None, False)
    with pytest.raises(AttributionError, match="none of its 1 rows is of use: 1 that name no process"):
        one(hunting, tmp_path, lines_of({**INSPECTED, "ActionType": action}))


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(("direction", "initiated"), [("Out", True), ("In", False)])
def test_inspected_connections_are_witnessed(tmp_path: Path, direction: str, initiated: bool, as_text: bool) -> None:
    """No process is named, but who opened it."""
    fields: Any = {"direction": direction, "uid": "CpeJkh3698EpWwy4Z9"}
    row = {**INSPECTED, "AdditionalFields": json.dumps(fields) if as_text else fields}
    known, witness = loaded(hunting, tmp_path, lines_of(HUNTING_ROW, row))
    assert len(known.observations) == 1
    [observation] = witness.observations
    assert (witness.name, witness.witness) == ("hunting", True)
    assert (observation.claim, observation.initiated, observation.local) == (NOBODY, initiated, Side.FIRST)


@pytest.mark.parametrize("fields", [None, "", "{", "[]", '{"direction":5}', {}, [], 7])
def test_inspected_connections_without_direction_are_left_out(tmp_path: Path, fields: Any) -> None:
    collector = one(hunting, tmp_path, lines_of(HUNTING_ROW, {**INSPECTED, "AdditionalFields": fields}))
    assert warned(collector)["rows_skipped"].endswith("1 rows were not used: 1 that name no process")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"LocalIP": None}, "without a local address or port"),
        ({"LocalPort": None}, "without a local address or port"),
        ({"Protocol": None}, "without a protocol"),
        ({"InitiatingProcessId": None}, None),
        ({"InitiatingProcessId": 0}, None),
    ],
)
def test_rows_that_show_no_socket_are_counted(tmp_path: Path, changes: dict[str, Any], reason: str | None) -> None:
    found = loaded(hunting, tmp_path, csv_of(HUNTING_ROW, {**HUNTING_ROW, **changes}))
    assert len(found[0].observations) == 1
    assert warned(found[0]).get("rows_skipped", "").partition("not used: ")[2] == (f"1 {reason}" if reason else "")
    assert len(found) == (1 if reason else 2), "who opened it is still known"


def test_only_rows_that_show_nothing_are_an_error(tmp_path: Path) -> None:
    rows = [{**HUNTING_ROW, "LocalPort": None}] * 3
    with pytest.raises(AttributionError, match="none of its 3 rows is of use: 3 without a local address or port"):
        one(hunting, tmp_path, csv_of(*rows))


@pytest.mark.parametrize("missing", ["LocalIP", "LocalPort", "RemoteIP", "RemotePort", "Protocol"])
def test_a_column_that_was_not_exported_is_named(tmp_path: Path, missing: str) -> None:
    columns = tuple(name for name in HUNTING_ROW if name != missing)
    with pytest.raises(AttributionError, match=f"line 1: has no column {missing}: export it, too"):
        one(hunting, tmp_path, csv_of(HUNTING_ROW, columns=columns))


@pytest.mark.parametrize(
    ("folder", "file", "image"),
    [
        ("c:\\windows\\system32\\svchost.exe", "svchost.exe", "c:\\windows\\system32\\svchost.exe"),
        ("C:\\Windows\\System32\\SvcHost.exe", "svchost.exe", "C:\\Windows\\System32\\SvcHost.exe"),
        ("C:\\Windows\\System32", "svchost.exe", "C:\\Windows\\System32\\svchost.exe"),
        ("C:\\Windows\\System32\\", "svchost.exe", "C:\\Windows\\System32\\svchost.exe"),
        ("/usr/bin/curl", "curl", "/usr/bin/curl"),
        ("/usr/bin", "curl", "/usr/bin/curl"),
        ("C:\\a.exe", None, "C:\\a.exe"),
        (None, "a.exe", "a.exe"),
        (None, None, None),
        ("", "", None),
    ],
)
def test_the_folder_path_is_a_folder_or_the_whole_path(
    tmp_path: Path, folder: str | None, file: str | None, image: str | None
) -> None:
    row = {**HUNTING_ROW, "InitiatingProcessFolderPath": folder, "InitiatingProcessFileName": file}
    assert seen(tmp_path, row).claim.image == image


@pytest.mark.parametrize(
    ("domain", "name", "user"), [("contoso", "ann", "contoso\\ann"), (None, "ann", "ann"), ("contoso", None, None)]
)
def test_the_account(tmp_path: Path, domain: str | None, name: str | None, user: str | None) -> None:
    row = {**HUNTING_ROW, "InitiatingProcessAccountDomain": domain, "InitiatingProcessAccountName": name}
    assert seen(tmp_path, row).claim.user == user


def test_application_guard_is_a_container(tmp_path: Path) -> None:
    assert seen(tmp_path, {**HUNTING_ROW, "AppGuardContainerId": "guard-7"}).claim.container == "guard-7"


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2026-01-05T09:00:00Z", 0),
        ("2026-01-05T09:00:00.1234567Z", 123_456_700),
        ("2026-01-05 09:00:00.5", SECOND // 2),
        ("2026-01-05T09:00:00", 0),
        ("2026-01-05T10:00:00+01:00", 0),
        ("1/5/2026, 9:00:00.512 AM", 512_000_000),
        ("01/05/2026, 09:00:00 AM", 0),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(tmp_path: Path, text: str, nanoseconds: int) -> None:
    assert seen(tmp_path, {**HUNTING_ROW, "Timestamp": text}).time == T0 + nanoseconds


@pytest.mark.parametrize(
    "text", ["5/1/2026, 09:00:00", "13/1/2026, 9:00:00 AM", "Jan 5, 2026 9:00:00 AM", "", "1767603600", 5]
)
def test_times_that_can_be_read_in_two_ways_are_refused(tmp_path: Path, text: Any) -> None:
    """Without AM or PM nobody can tell whether the day or the month comes first."""
    with pytest.raises(AttributionError, match=r"line 1: .*( is no |is not an RFC 3339)"):
        one(hunting, tmp_path, lines_of({**HUNTING_ROW, "Timestamp": text}))


def test_log_analytics_marks_the_zone_in_the_header(tmp_path: Path) -> None:
    row = {"TimeGenerated [UTC]": "1/5/2026, 9:00:00.000 AM", **HUNTING_ROW}
    del row["Timestamp"]
    collector = one(hunting, tmp_path, csv_of(row))
    assert (collector.observations[0].time, collector.warnings) == (T0, [])
    local = one(hunting, tmp_path, csv_of(row).replace("[UTC]", "[Local Time]"))
    assert (local.observations[0].time, list(warned(local))) == (T0, ["time_zone_unknown"])


@pytest.mark.parametrize("protocol", ["Tcp", "TCP", "TcpV4", "TcpV6", "6"])
def test_protocol_spellings(tmp_path: Path, protocol: str) -> None:
    assert seen(tmp_path, {**HUNTING_ROW, "Protocol": protocol}).protocol == 6


@pytest.mark.parametrize(
    ("local", "expected", "own"),
    [
        ("::ffff:10.0.0.5", "10.0.0.5:50123", True),
        ("2001:db8::5", "[2001:db8::5]:50123", True),
        ("fe80::5%12", "[fe80::5]:50123", True),
        ("0.0.0.0", "0.0.0.0:50123", False),
        ("::", "[::]:50123", False),
        ("127.0.0.1", "127.0.0.1:50123", False),
        ("::1", "[::1]:50123", False),
        ("239.255.255.250", "239.255.255.250:50123", False),
    ],
)
def test_local_addresses(tmp_path: Path, local: str, expected: str, own: bool) -> None:
    observation = seen(tmp_path, {**HUNTING_ROW, "LocalIP": local, "RemoteIP": None, "RemotePort": None})
    assert (str(observation.first), observation.second, observation.proves_address) == (expected, None, own)


def test_processes_and_their_parents_are_told_once(tmp_path: Path) -> None:
    collector = one(hunting, tmp_path, lines_of(PROCESS_ROW, PROCESS_ROW, {**PROCESS_ROW, "ActionType": "OpenProcess"}))
    assert collector.observations == []
    assert [(start.host, start.claim.pid, start.claim.image, start.claim.user) for start in collector.starts] == [
        ("lab-win11.contoso.test", 996, "c:\\windows\\system32\\svchost.exe", "nt authority\\system"),
        ("lab-win11.contoso.test", 6412, "C:\\Windows\\System32\\smartscreen.exe", "contoso\\ann"),
    ]
    assert collector.starts[1].created == parse_time("2026-01-05T08:30:00.0344972Z")
    assert warned(collector)["rows_skipped"].endswith("1 of other tables")


def test_both_tables_in_one_file(tmp_path: Path) -> None:
    columns = tuple(dict.fromkeys([*HUNTING_ROW, *PROCESS_ROW]))
    collector = one(hunting, tmp_path, csv_of(PROCESS_ROW, HUNTING_ROW, columns=columns))
    assert collector.observations == [OUTBOUND]
    assert len(collector.starts) == 3


def test_other_streamed_tables_are_counted(tmp_path: Path) -> None:
    text = lines_of({**STREAMED, "category": "AdvancedHunting-DeviceInfo"}, STREAMED, {**STREAMED, "category": 5})
    collector = one(hunting, tmp_path, text)
    assert collector.observations == [OUTBOUND]
    assert warned(collector)["rows_skipped"].endswith("2 of other tables")


def test_equal_claims_are_one_object(tmp_path: Path) -> None:
    collector = one(hunting, tmp_path, csv_of(HUNTING_ROW, {**HUNTING_ROW, "LocalPort": 2}))
    assert collector.observations[0].claim is collector.observations[1].claim


def test_no_rows_are_no_error_but_said(tmp_path: Path) -> None:
    collector = one(hunting, tmp_path, ",".join(HUNTING_ROW) + "\r\n")
    assert list(warned(collector)) == ["attribution_empty"]


def test_command_lines_with_quotes_and_newlines(tmp_path: Path) -> None:
    line = 'cmd.exe /c "echo a,b\r\n\r\necho ""x"""\n;'
    collector = one(hunting, tmp_path, csv_of({**HUNTING_ROW, "InitiatingProcessCommandLine": line}, HUNTING_ROW))
    first, second = collector.observations
    assert first.claim.command_line == line.replace("\r\n\r\n", "\r\n"), "a blank line inside is lost"
    assert second == OUTBOUND


@pytest.mark.slow
def test_a_big_export_is_read_whole(tmp_path: Path) -> None:
    """Counts, over more texts than the caches hold."""
    count = 100_000
    rows = (
        {**HUNTING_ROW, "LocalPort": n % 60_000, "RemoteIP": f"204.{n >> 16}.{n >> 8 & 255}.{n & 255}"}
        for n in range(count)
    )
    collector = one(hunting, tmp_path, csv_of(HUNTING_ROW) + "".join(csv_of(row).partition("\r\n")[2] for row in rows))
    assert len(collector.observations) == count + 1
    assert len({observation.second for observation in collector.observations}) == count + 1
    assert len(collector.starts) == 1
