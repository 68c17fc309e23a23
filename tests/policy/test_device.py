"""Device and names documents: canonical facts, defaults for what is not said, errors that name the field."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.address import parse_address
from agent.model.device import Device, Family
from agent.model.errors import PolicyError
from agent.policy.device import KEYS, parse_device, parse_names
from agent.policy.document import load_mapping
from tests.policy.builders import device


def refusal(**fields: Any) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        device(**fields)
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_contracts_example_arrives_in_canonical_form() -> None:
    document = rb"""
version: 1
id: 1E5BC9D7E413DDD7902C2932E418702B84D0CC07
name: lab-win11.contoso.test
platform: Windows11
os_version: 24H2
kind: workstation
addresses: [10.0.0.5, 'fe80::5', '2001:db8::5', '::ffff:10.0.0.5']
resolvers: [10.0.0.1]
environment: {WINDIR: 'C:\Windows', ProgramFiles: 'C:\Program Files'}
drives: {'\Device\HarddiskVolume3': 'c:\'}
executables: ['C:\Program Files\Support\support.exe', '%windir%/notepad.exe', '\Device\HarddiskVolume3\x.exe']
services: [TermService]
packages: [MSTeams_8wekyb3d8bbwe]
known_names: {203.0.113.9: [UnitedStates.example.endpoint.test.], '2001:db8::9': one.test}
onboarded: no
tags: [finance]
"""
    found = parse_device(load_mapping(document, name="d.yaml"), "d.yaml")
    assert found == Device(
        id="1e5bc9d7e413ddd7902c2932e418702b84d0cc07",
        name="lab-win11.contoso.test",
        platform="Windows11",
        family=Family.WINDOWS,
        os_version="24H2",
        kind="workstation",
        addresses=tuple(map(parse_address, ("10.0.0.5", "fe80::5", "2001:db8::5"))),
        resolvers=(parse_address("10.0.0.1"),),
        environment={"WINDIR": r"C:\Windows", "ProgramFiles": r"C:\Program Files"},
        drives={r"\Device\HarddiskVolume3": "C:"},
        executables=(r"C:\PROGRAM FILES\SUPPORT\SUPPORT.EXE", r"C:\WINDOWS\NOTEPAD.EXE", r"C:\X.EXE"),
        services=("termservice",),
        packages=("msteams_8wekyb3d8bbwe",),
        known_names={
            parse_address("203.0.113.9"): ("unitedstates.example.endpoint.test",),
            parse_address("2001:db8::9"): ("one.test",),
        },
        onboarded=False,
        tags=("finance",),
    )


def test_what_is_not_said_is_unknown_and_never_none_of_it() -> None:
    bare = device(os_version=None)
    assert (bare.executables, bare.services, bare.packages, bare.os_version) == (None, None, None, None)
    assert device(executables=[], services=[], packages=[]).executables == ()
    assert bare.onboarded
    assert not bare.assumed


@pytest.mark.parametrize(
    ("platform", "family", "kind"),
    [
        ("Windows11", Family.WINDOWS, "workstation"),
        ("WindowsServer2022", Family.WINDOWS, "server"),
        ("macOS", Family.MAC, "workstation"),
        ("Linux", Family.LINUX, "server"),
    ],
)
def test_the_platform_gives_family_and_usual_kind(platform: str, family: Family, kind: str) -> None:
    found = device(platform=platform, os_version=None)
    assert (found.family, found.kind) == (family, kind)
    assert device(platform=platform, os_version=None, kind="server").kind == "server"


def test_posix_devices_keep_case_and_have_no_windows_facts() -> None:
    found = device(
        platform="Linux", os_version="12", executables=["/usr/bin/../bin/Curl"], services=["ssh.service", "Ssh.service"]
    )
    assert found.executables == ("/usr/bin/Curl",)
    assert found.services == ("ssh.service", "Ssh.service")
    assert "Linux has none" in refusal(platform="Linux", drives={r"\Device\HarddiskVolume3": "C:"}).message
    assert "macOS has none" in refusal(platform="macOS", packages=["MSTeams_8wekyb3d8bbwe"]).message


def test_executables_use_the_environment_that_is_described_and_windows_defaults_otherwise() -> None:
    path = r"%WINDIR%\notepad.exe"
    assert device(executables=[path]).executables == (r"C:\WINDOWS\NOTEPAD.EXE",)
    assert device(executables=[path], environment={"windir": r"D:\W"}).executables == (r"D:\W\NOTEPAD.EXE",)
    error = refusal(executables=[path], environment={"ProgramFiles": r"D:\P"})
    assert "no environment variable %WINDIR%" in error.message
    assert error.field == "executables[0]"


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        pytest.param({"id": "1e5b"}, "id", "not a machine id of 40 hexadecimal digits", id="id"),
        pytest.param({"platform": "Windows 11"}, "platform", "did you mean Windows11?", id="platform"),
        pytest.param({"platform": None}, None, "platform is missing; allowed: Windows11, Windows10", id="no platform"),
        pytest.param({"kind": "laptop"}, "kind", "allowed: workstation, server", id="kind"),
        pytest.param({"addresses": ["10.0.0.5/24"]}, "addresses[0]", "is not an IPv4 or IPv6 address", id="prefix"),
        pytest.param({"addresses": ["10.0.0.5", "0.0.0.0"]}, "addresses[1]", "address of one host", id="unspecified"),
        pytest.param({"addresses": "10.0.0.5"}, "addresses", "is text, not a list", id="no list"),
        pytest.param({"resolvers": ["dns.test"]}, "resolvers[0]", "is not an IPv4", id="resolver by name"),
        pytest.param({"environment": {"%WINDIR%": "C:"}}, "environment.'%WINDIR%'", "without %", id="percent"),
        pytest.param({"environment": {"A": "1", "a": "2"}}, "environment.'a'", "stands twice", id="case twins"),
        pytest.param({"environment": {"A": None}}, "environment.'A'", "is nothing, not text", id="no value"),
        pytest.param({"environment": ["A=1"]}, "environment", "is a list, not a mapping", id="environment list"),
        pytest.param({"drives": {"C:": r"\Device\HarddiskVolume3"}}, "drives.'C:'", "is not a volume", id="drives"),
        pytest.param({"drives": {r"\Device\X": "CD:"}}, r"drives.'\\Device\\X'", "is not a drive", id="drive"),
        pytest.param({"executables": ["notepad.exe"]}, "executables[0]", "not an absolute", id="executable"),
        pytest.param({"executables": [None]}, "executables[0]", "is nothing", id="null executable"),
        pytest.param({"services": ["a b"]}, "services[0]", "short service name", id="service"),
        pytest.param({"packages": ["Teams"]}, "packages[0]", "<Name>_<PublisherId>", id="package"),
        pytest.param({"known_names": {"host.test": ["a"]}}, "known_names.'host.test'", "is not an IPv4", id="turned"),
        pytest.param({"known_names": {"1.1.1.1": ["a b"]}}, "known_names.'1.1.1.1'[0]", "not a host name", id="name"),
        pytest.param(
            {"known_names": {"1.1.1.1": ["a"], "::ffff:1.1.1.1": ["b"]}},
            "known_names.'::ffff:1.1.1.1'",
            "stands twice in different spellings",
            id="one address twice",
        ),
        pytest.param({"onboarded": "perhaps"}, "onboarded", "neither true nor false", id="onboarded"),
        pytest.param({"tags": [""]}, "tags[0]", "is empty", id="tag"),
        pytest.param({"address": []}, None, "unknown key 'address'; did you mean addresses?", id="unknown key"),
        pytest.param({"version": 2}, "version", "allowed: 1", id="version"),
    ],
)
def test_an_error_names_the_field_and_what_is_allowed(fields: Any, field: str | None, said: str) -> None:
    error = refusal(**fields)
    assert error.field == field
    assert said in error.message


def test_names_documents() -> None:
    tree = {"version": "1", "names": {"203.0.113.9": ["a.test", "A.test.", "b.test"], "2001:db8::9": "c.test"}}
    assert parse_names(tree, "n.yaml") == {
        parse_address("203.0.113.9"): ("a.test", "b.test"),
        parse_address("2001:db8::9"): ("c.test",),
    }
    with pytest.raises(PolicyError, match=r"n\.yaml: names is missing"):
        parse_names({"version": "1"}, "n.yaml")
    with pytest.raises(PolicyError, match=r"n\.yaml: unknown key 'name'; did you mean names\?"):
        parse_names({"version": "1", "name": {}}, "n.yaml")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.sampled_from(["10.0.0.5", r"C:\a.exe", "C:", r"\Device\X"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_no_tree_raises_anything_but_policy_error(tree: dict[str, Any]) -> None:
    with suppress(PolicyError):
        found = parse_device(load_mapping(json.dumps({"platform": "Windows11", **tree, "version": 1}).encode()), "d")
        assert found.family is not None
