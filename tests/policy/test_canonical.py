"""How written paths become the one form that filters hold."""

from __future__ import annotations

import pytest

from agent.model.device import Device, Family
from agent.policy.canonical import (
    WINDOWS_ENVIRONMENT,
    filter_package,
    filter_service,
    reserved_environment,
    reserved_image,
    rule_image,
)
from tests.policy.builders import device

LINUX = Device(platform="Linux", family=Family.LINUX)


@pytest.mark.parametrize(
    ("written", "image"),
    [
        pytest.param(r"%WINDIR%\Notepad.exe.", r"C:\WINDOWS\NOTEPAD.EXE", id="X9 the page's own spelling"),
        pytest.param(r"C:\Windows\System\Notepad.exe", r"C:\WINDOWS\SYSTEM\NOTEPAD.EXE", id="X9 plain"),
        pytest.param("c:/windows/./system/../notepad.exe", r"C:\WINDOWS\NOTEPAD.EXE", id="slashes and dots"),
        pytest.param(r"%ProgramFiles(x86)%\a.exe", r"C:\PROGRAM FILES (X86)\A.EXE", id="x86"),
        pytest.param(r"%systemdrive%\a.exe", r"C:\A.EXE", id="name in another case"),
        pytest.param("C:\\straße\\ŉ.exe", "C:\\STRAßE\\ŉ.EXE", id="never full case folding"),
    ],
)
def test_rule_paths_on_a_windows_nobody_described(written: str, image: str) -> None:
    assert rule_image(written, Device()) == image


def test_a_described_environment_is_not_mixed_with_the_defaults() -> None:
    """A device with a ProgramFiles of its own may have its Windows anywhere: the rule is ignored, not guessed."""
    host = device(environment={"ProgramFiles": r"E:\Apps"})
    assert rule_image(r"%programfiles%\a.exe", host) == r"E:\APPS\A.EXE"
    with pytest.raises(ValueError, match="no environment variable %WINDIR%"):
        rule_image(r"%WINDIR%\a.exe", host)


def test_shipped_data_falls_back_on_the_defaults() -> None:
    host = device(environment={"programfiles": r"E:\Apps"})
    assert reserved_image(r"%ProgramFiles%\a.exe", host) == r"E:\APPS\A.EXE"
    assert reserved_image(r"%WINDIR%\a.exe", host) == r"C:\WINDOWS\A.EXE"
    assert {name.upper() for name in reserved_environment(host)} == {name.upper() for name in WINDOWS_ENVIRONMENT}


def test_volumes_are_mapped_by_the_device() -> None:
    host = device(drives={r"\Device\HarddiskVolume3": "D:"})
    assert rule_image(r"\Device\HarddiskVolume3\a.exe", host) == r"D:\A.EXE"
    assert rule_image(r"\Device\HarddiskVolume9\a.exe", host) == r"\DEVICE\HARDDISKVOLUME9\A.EXE"


def test_a_component_asterisk_survives_in_shipped_data_only() -> None:
    assert reserved_image(r"C:\Users\*\a.exe", Device()) == r"C:\USERS\*\A.EXE"
    assert reserved_image("/opt/*/a", LINUX) == "/opt/*/a"
    with pytest.raises(ValueError, match=r"\*"):
        rule_image(r"C:\Users\*\a.exe", Device())


@pytest.mark.parametrize("written", [r"C:\a*\b.exe", r"C:\**\b.exe", "C:\\\ue000\\b.exe", r"%NOPE%\a.exe"])
def test_other_wildcards_and_unknown_variables_are_refused_in_shipped_data(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        reserved_image(written, Device())


def test_posix_paths_know_no_variables() -> None:
    assert rule_image("/opt/%HOME%/./Curl", LINUX) == "/opt/%HOME%/Curl"


def test_services_and_packages() -> None:
    assert filter_service("TermService", Family.WINDOWS) == "termservice"
    assert filter_service("Ssh.service", Family.LINUX) == "Ssh.service"
    assert filter_package("MSTeams_8WEKYB3D8BBWE") == "msteams_8wekyb3d8bbwe"
