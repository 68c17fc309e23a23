r"""Paths, services and packages of rules and shipped data, as a device's filters hold them.

Knows how a device's environment and drives turn what was written into `model.image`'s form. Must not know: documents,
whether a file exists.

    >>> device_image(r"%WINDIR%\notepad.exe", Family.WINDOWS, {"WINDIR": r"D:\Win"}, {})
    'D:\\WIN\\NOTEPAD.EXE'
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.model.device import Device, Family
from agent.model.image import expand_variables, posix_image, windows_image

WINDOWS_ENVIRONMENT: Mapping[str, str] = {
    "SystemDrive": "C:",
    "SystemRoot": r"C:\Windows",
    "WINDIR": r"C:\Windows",
    "ProgramFiles": r"C:\Program Files",
    "ProgramFiles(x86)": r"C:\Program Files (x86)",
    "ProgramW6432": r"C:\Program Files",
    "CommonProgramFiles": r"C:\Program Files\Common Files",
    "CommonProgramFiles(x86)": r"C:\Program Files (x86)\Common Files",
    "ProgramData": r"C:\ProgramData",
    "ALLUSERSPROFILE": r"C:\ProgramData",
    "PUBLIC": r"C:\Users\Public",
}
"""The machine environment of a Windows installation nobody described."""

_ANY = "*"
_STAND_IN = "\ue000"  # a private-use character: in no path, and equal to its upper case


def machine_environment(family: Family, described: Mapping[str, str]) -> Mapping[str, str]:
    """The variables a rule may use: those the device describes, else Windows' defaults. Never a mixture.

    A device that describes some of its variables and not ProgramFiles may have it anywhere: such a rule is ignored.
    """
    if described or family is not Family.WINDOWS:
        return described
    return WINDOWS_ENVIRONMENT


def reserved_environment(device: Device) -> Mapping[str, str]:
    """The variables shipped data may use: the device's, and Windows' defaults for those it does not describe.

    Unlike a rule's, a shipped path that cannot be expanded would cut the agent off.
    """
    if device.family is not Family.WINDOWS:
        return device.environment
    known = {name.upper() for name in device.environment}
    defaults = {name: value for name, value in WINDOWS_ENVIRONMENT.items() if name.upper() not in known}
    return {**defaults, **device.environment}


def device_image(written: str, family: Family, environment: Mapping[str, str], drives: Mapping[str, str]) -> str:
    """The canonical image of a written path. Raises ValueError saying what is wrong, or which variable is unknown."""
    if family is not Family.WINDOWS:
        return posix_image(written)
    return windows_image(expand_variables(written, environment), drives)


def rule_image(written: str, device: Device) -> str:
    """As `device_image`, for a rule on `device`."""
    return device_image(written, device.family, machine_environment(device.family, device.environment), device.drives)


def reserved_image(written: str, device: Device) -> str:
    """As `device_image`, for shipped data: a component `*`, which stands for any one component, is kept."""
    separators = ("\\", "/") if device.family is Family.WINDOWS else ("/",)
    if _STAND_IN in written:
        raise ValueError(f"{written!r}: private-use characters are not allowed")
    marked = written
    for separator in separators:
        marked = separator.join(_STAND_IN if part == _ANY else part for part in marked.split(separator))
    if _ANY in marked:
        raise ValueError(f"{written!r}: '*' stands for a whole component, not for a part of one")
    image = device_image(marked, device.family, reserved_environment(device), device.drives)
    return image.replace(_STAND_IN, _ANY)


def filter_service(name: str, family: Family) -> str:
    """Windows compares service names without regard to case; systemd does not."""
    return name.lower() if family is Family.WINDOWS else name


def filter_package(name: str) -> str:
    """Package family names are compared without regard to case."""
    return name.lower()
