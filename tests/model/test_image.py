"""Image paths: one canonical form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.image import expand_variables, posix_image, upper_one_to_one, windows_image

DRIVES = {"\\Device\\HarddiskVolume3": "C:"}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (r"C:\Windows\notepad.exe", r"C:\WINDOWS\NOTEPAD.EXE"),
        (r"c:/windows/Notepad.EXE", r"C:\WINDOWS\NOTEPAD.EXE"),
        (r"\\?\C:\Windows\notepad.exe", r"C:\WINDOWS\NOTEPAD.EXE"),
        (r"\??\C:\Windows\notepad.exe", r"C:\WINDOWS\NOTEPAD.EXE"),
        (r"\device\harddiskvolume3\Windows\notepad.exe", r"C:\WINDOWS\NOTEPAD.EXE"),
        (r"C:\Windows\System32\..\.\notepad.exe. ", r"C:\WINDOWS\NOTEPAD.EXE"),
        (r"C:\..\..\notepad.exe", r"C:\NOTEPAD.EXE"),
        ("C:\\straße.exe", "C:\\STRAßE.EXE"),
        (r"\\server\share\a.exe", r"\\SERVER\SHARE\A.EXE"),
        (r"\Device\HarddiskVolume33\a.exe", r"\DEVICE\HARDDISKVOLUME33\A.EXE"),
    ],
)
def test_a_windows_path_has_one_form(written: str, canonical: str) -> None:
    assert windows_image(written, DRIVES) == canonical


def form(written: str) -> str:
    try:
        return windows_image(written, DRIVES)
    except ValueError:
        return "refused"


@given(st.text("aB1\\\\/:. *|é\x1f", max_size=12))
def test_a_path_that_is_nearly_canonical_gets_the_form_of_the_long_way(rest: str) -> None:
    """Behind the prefix nothing is taken for canonical at sight."""
    assert form("c:\\" + rest) == form("\\\\?\\c:\\" + rest)


@pytest.mark.parametrize("written", ["notepad.exe", r"C:notepad.exe", r"C:\a.exe:stream", "C:\\", r"C:\a*.exe", ""])
def test_what_is_no_windows_path_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        windows_image(written, DRIVES)


def test_upper_case_never_folds() -> None:
    """straße is not strasse: characters whose upper case is longer stay as they are."""
    assert upper_one_to_one("straße") != upper_one_to_one("strasse")


def test_posix_paths_keep_their_case() -> None:
    assert posix_image("/usr/./bin/../bin/Curl") == "/usr/bin/Curl"
    with pytest.raises(ValueError, match="absolute"):
        posix_image("bin/curl")


def test_variables_come_from_the_device_only() -> None:
    assert expand_variables(r"%windir%\a.exe", {"WINDIR": r"C:\Windows"}) == r"C:\Windows\a.exe"
    with pytest.raises(ValueError, match="%NOPE%"):
        expand_variables(r"%NOPE%\a.exe", {})
