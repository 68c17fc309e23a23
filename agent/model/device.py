"""A device as the agent knows it: facts, never policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.model.address import Address


class Family(StrEnum):
    """The operating system family: which rule list and which path form a device uses."""

    WINDOWS = "windows"
    MAC = "mac"
    LINUX = "linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device document, validated. None in a collection of facts means "not described", () means none exist."""

    id: str = "0" * 40
    name: str = "assumed-device"
    platform: str = "Windows11"
    """osPlatform as the machine resource spells it."""
    family: Family = Family.WINDOWS
    os_version: str | None = "24H2"
    kind: str = "workstation"
    addresses: tuple[Address, ...] = ()
    resolvers: tuple[Address, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    drives: Mapping[str, str] = field(default_factory=dict)
    executables: tuple[str, ...] | None = None
    """Canonical images that exist on the device."""
    services: tuple[str, ...] | None = None
    packages: tuple[str, ...] | None = None
    known_names: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    onboarded: bool = True
    tags: tuple[str, ...] = ()
    assumed: bool = False
    """True if nobody described the device and the defaults stand in."""
