"""Single values: which spellings are allowed, what they mean, and why the others are refused."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import netaddr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.address import parse_address
from agent.policy.values import (
    covers_a_version,
    device_address,
    host_name,
    package_family_name,
    parse_network,
    posix_path,
    prefix_text,
    systemd_unit,
    union,
    windows_path,
    windows_service,
)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        pytest.param("1.1.1.1", "1.1.1.1", "1.1.1.1", id="X16 single address"),
        pytest.param("1.1.1.1/24", "1.1.1.0", "1.1.1.255", id="X16 host bits set"),
        pytest.param("1.1.1.1/32", "1.1.1.1", "1.1.1.1", id="full length"),
        pytest.param("1.1.1.1/0", "0.0.0.0", "255.255.255.255", id="everything"),
        pytest.param("10.1.2.3/31", "10.1.2.2", "10.1.2.3", id="odd length"),
        pytest.param(
            "2001:db8:85a3::8a2e:370:7334",
            "2001:db8:85a3::8a2e:370:7334",
            "2001:db8:85a3::8a2e:370:7334",
            id="X16 IPv6",
        ),
        pytest.param("2001:DB8::1/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", id="IPv6 block, upper case"),
        pytest.param("::ffff:1.2.3.4", "1.2.3.4", "1.2.3.4", id="mapped is IPv4"),
        pytest.param("::ffff:1.2.3.4/120", "1.2.3.0", "1.2.3.255", id="mapped block is an IPv4 block"),
        pytest.param("::ffff:0:0/96", "0.0.0.0", "255.255.255.255", id="all mapped is all IPv4"),
        pytest.param("::1.2.3.4", "::1.2.3.4", "::1.2.3.4", id="compatible is IPv6"),
        pytest.param(" 1.1.1.1 / 24 ", "1.1.1.0", "1.1.1.255", id="spaces"),
    ],
)
def test_networks(text: str, first: str, last: str) -> None:
    network = parse_network(text.strip())
    assert (network.version, network.first) == parse_address(first)
    assert (network.version, network.last) == parse_address(last)


def test_a_block_wider_than_all_mapped_addresses_stays_ipv6() -> None:
    """::ffff:0:0/95 holds every mapped address, but no packet is compared as one."""
    network = parse_network("::ffff:0:0/95")
    assert network.version == 6
    assert parse_address("1.2.3.4") not in network


@pytest.mark.parametrize(
    "text",
    [
        "", "1.1.1", "1.1.1.1.1", "1.1", "16843009", "0x1.1.1.1", "1.1.1.256", "01.1.1.1", "1.1.1.010", "1.1.1.1/",
        "1.1.1.1/33", "1.1.1.1/-1", "1.1.1.1/+1", "1.1.1.1/024", "1.1.1.1/255.255.255.0", "1.1.1.1/0.0.0.255",
        "1.1.1.1/24/24", "1.1.1.1-1.1.1.9", "1.1.1.*", "*", "any", "localhost", "\u0661.1.1.1", "::ffff:010.0.0.1",
        "::ffff:1.2.3", "1::2::3", ":::", "12345::", "2001:db8::1/129", "2001:db8::1/ffff::", "fe80::1%eth0",
        "[2001:db8::1]", "1.1.1.1:443", "g::1", "1.1.1.1,2.2.2.2", "1:2:3:4:5:6:7", "::1" * 100_000,
    ],
)  # fmt: skip
def test_other_spellings_of_networks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_network(text)


def test_a_mask_is_named_as_such() -> None:
    with pytest.raises(ValueError, match=r"prefix length as a number: 1\.1\.1\.1/24, not a mask"):
        parse_network("1.1.1.1/255.255.255.0")


@given(st.integers(0, (1 << 32) - 1), st.integers(0, 32))
def test_ipv4_blocks_are_those_of_two_other_libraries(value: int, length: int) -> None:
    text = f"{ipaddress.IPv4Address(value)}/{length}"
    ours, theirs, others = parse_network(text), netaddr.IPNetwork(text), ipaddress.ip_network(text, strict=False)
    assert (ours.first, ours.last) == (theirs.first, theirs.last)
    assert (ours.first, ours.last) == (int(others.network_address), int(others.broadcast_address))


@given(st.integers(0, (1 << 128) - 1), st.integers(0, 128))
def test_ipv6_blocks_are_those_of_two_other_libraries(value: int, length: int) -> None:
    if value >> 32 == 0xFFFF:
        return  # IPv4-mapped: ours are IPv4, see test_networks
    text = f"{ipaddress.IPv6Address(value)}/{length}"
    ours, theirs, others = parse_network(text), netaddr.IPNetwork(text), ipaddress.ip_network(text, strict=False)
    assert (ours.first, ours.last) == (theirs.first, theirs.last)
    assert (ours.first, ours.last) == (int(others.network_address), int(others.broadcast_address))


@given(st.integers(0, (1 << 128) - 1), st.integers(0, 128))
def test_equal_blocks_have_one_spelling(value: int, length: int) -> None:
    network = parse_network(f"{ipaddress.IPv6Address(value)}/{length}")
    again = parse_network(prefix_text(network))
    assert (again.version, again.first, again.last) == (network.version, network.first, network.last)
    assert prefix_text(again) == prefix_text(network)


@pytest.mark.parametrize(
    ("texts", "everything"),
    [
        pytest.param(["0.0.0.0/0"], True, id="one block"),
        pytest.param(["0.0.0.0/1", "128.0.0.0/1"], True, id="two halves"),
        pytest.param(["::/1", "8000::/2", "c000::/2"], True, id="IPv6 in three"),
        pytest.param(["0.0.0.0/1", "128.0.0.0/2"], False, id="a quarter is missing"),
        pytest.param(["0.0.0.0/1", "8000::/1"], False, id="halves of different versions"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_a_whole_version_is_seen_however_it_is_cut_up(texts: list[str], everything: bool) -> None:
    assert covers_a_version(parse_network(text) for text in texts) is everything


def test_union_joins_what_touches_and_keeps_versions_apart() -> None:
    blocks = ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7", "10.0.3.0/24", "::/120"]
    start = parse_address("10.0.0.0").value
    assert union(map(parse_network, blocks)) == [(4, start, start + 511), (4, start + 768, start + 1023), (6, 0, 255)]


@pytest.mark.parametrize(
    ("text", "name"),
    [("Support.Contoso.COM.", "support.contoso.com"), ("_ldap._tcp.x", "_ldap._tcp.x"), ("a", "a"), ("1-2.x", "1-2.x")],
)
def test_host_names_have_one_form(text: str, name: str) -> None:
    assert host_name(text) == name


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a.b", "a-.b", "a b", "straße.de", "a" * 64, "a." * 130, "*.a.b"])
def test_other_host_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        host_name(text)


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "10.0.0.0/8", "10.0.0"])
def test_a_device_has_no_such_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        device_address(text)


def test_a_device_address_loses_its_scope() -> None:
    assert device_address("fe80::5%eth0") == parse_address("fe80::5")
    assert device_address("::ffff:10.0.0.5") == parse_address("10.0.0.5")


@pytest.mark.parametrize("text", ["termservice", "MSSQL$SQLEXPRESS", "x" * 256, "Dienst-Ü", "a.b"])
def test_short_service_names(text: str) -> None:
    assert windows_service(text) == text


@pytest.mark.parametrize(
    "text", ["", "Remote Desktop Services", "termservice,dnscache", "a/b", r"a\b", "x" * 257, "a\tb", "a\n"]
)
def test_other_service_names_are_refused(text: str) -> None:
    """X12: one service per rule, by its short name; MS-SCMR allows no space, comma or slash in it."""
    with pytest.raises(ValueError, match="short service name"):
        windows_service(text)


@pytest.mark.parametrize("text", ["ssh.service", "getty@tty1.service", r"dev-disk-by\x2dlabel-a.device", "nginx"])
def test_systemd_units(text: str) -> None:
    assert systemd_unit(text) == text


@pytest.mark.parametrize("text", ["", "a b", "ssh.service,cron.service", "/etc/x", "x" * 256])
def test_other_units_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="systemd unit"):
        systemd_unit(text)


@pytest.mark.parametrize("text", ["MSTeams_8wekyb3d8bbwe", "A.B-1_0123456789abc", "msteams_8WEKYB3D8BBWE"])
def test_package_family_names(text: str) -> None:
    assert package_family_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("MSTeams", id="name alone"),
        pytest.param("MSTeams_8wekyb3d8bbw", id="12 characters"),
        pytest.param("MSTeams_8wekyb3d8bbwee", id="14 characters"),
        pytest.param("MSTeams_8wekyb3d8bbwi", id="no i in the alphabet"),
        pytest.param("MSTeams_8wekyb3d8bbwl", id="no l in the alphabet"),
        pytest.param("MSTeams_8wekyb3d8bbwo", id="no o in the alphabet"),
        pytest.param("MSTeams_8wekyb3d8bbwu", id="no u in the alphabet"),
        pytest.param("MSTeams_24277.3502.3161.3007_x64__8wekyb3d8bbwe", id="a package full name"),
        pytest.param("_8wekyb3d8bbwe", id="no name"),
        pytest.param("A_8wekyb3d8bbwe,B_8wekyb3d8bbwe", id="two"),
    ],
)
def test_other_package_names_are_refused(text: str) -> None:
    """X13."""
    with pytest.raises(ValueError, match="<Name>_<PublisherId>"):
        package_family_name(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(r"C:\Windows\System\Notepad.exe", id="X9 the page's first"),
        pytest.param(r"%WINDIR%\Notepad.exe.", id="X9 the page's second, final dot and all"),
        pytest.param("c:/example.exe", id="slashes"),
        pytest.param(r"%ProgramFiles(x86)%\a\b.exe", id="variable with parentheses"),
        pytest.param(r"C:\Users\%USERNAME%\a.exe", id="variable inside"),
        pytest.param("%TOOL%", id="variable alone"),
        pytest.param("%FOLDER%name.exe", id="variable glued to a name: the snapshot sees whether it is absolute"),
        pytest.param(r"\\server\share\a.exe", id="UNC"),
        pytest.param(r"\\?\C:\a.exe", id="verbatim"),
        pytest.param(r"\??\C:\a.exe", id="NT"),
        pytest.param(r"\\?\UNC\server\share\a.exe", id="verbatim UNC"),
        pytest.param(r"\Device\HarddiskVolume3\a.exe", id="volume"),
        pytest.param(r"C:\100%\a.exe", id="a percent sign"),
        pytest.param(r"C:\straße\é.exe", id="not ASCII"),
    ],
)
def test_windows_paths(text: str) -> None:
    assert windows_path(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("notepad.exe", id="name alone"),
        pytest.param(r"Windows\notepad.exe", id="relative"),
        pytest.param(r"\Windows\notepad.exe", id="without drive"),
        pytest.param(r"C:notepad.exe", id="relative to the drive"),
        pytest.param(r"..\notepad.exe", id="upwards"),
        pytest.param('"C:\\a b.exe"', id="quoted"),
        pytest.param(r"C:\a.exe:stream", id="alternate data stream"),
        pytest.param(r"%WINDIR%\a.exe:stream", id="alternate data stream after a variable"),
        pytest.param(r"C:\a.exe, C:\b.exe", id="two, comma"),
        pytest.param(r"C:\a.exe;C:\b.exe", id="two, semicolon"),
        pytest.param(r"C:\*\a.exe", id="asterisk"),
        pytest.param(r"C:\a?.exe", id="question mark"),
        pytest.param("C:\\a\tb.exe", id="control character"),
        pytest.param(r"C:\Windows" + "\\", id="folder"),
        pytest.param("C:/Windows/", id="folder, slashes"),
        pytest.param("C:\\", id="drive"),
        pytest.param(r"C:\a\..", id="nothing left"),
        pytest.param("/usr/bin/curl", id="POSIX"),
        pytest.param("https://a.test/a.exe", id="URL"),
    ],
)
def test_other_windows_paths_are_refused(text: str) -> None:
    """X9: the location of one executable."""
    with pytest.raises(ValueError, match=r"."):
        windows_path(text)


@pytest.mark.parametrize("text", ["/usr/bin/curl", "/opt/a b/c", "/opt/100%/c", "/usr//bin/../bin/curl"])
def test_posix_paths(text: str) -> None:
    assert posix_path(text) == text


@pytest.mark.parametrize("text", ["curl", "./curl", "~/curl", "/", "/usr/bin/", "/usr/*/curl", "/usr/bin/cur?", "/.."])
def test_other_posix_paths_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        posix_path(text)


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    for parse in (parse_network, host_name, device_address, windows_service, systemd_unit, package_family_name):
        with suppress(ValueError):
            parse(text)
    for parse in (windows_path, posix_path):
        with suppress(ValueError):
            assert parse(text) == text
