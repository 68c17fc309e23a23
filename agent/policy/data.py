"""Finds the shipped data of policies/, wherever this package runs from.

Knows two layouts: an installed package keeps the folder as `agent/policydata/`, a source tree (run in place or
installed editable) as `policies/` beside `agent/`. Must not know: what is in the files.

    >>> data_names("examples")[:1]
    ('linux-lab.yaml',)
    >>> read_data("examples/linux-lab.yaml").startswith(b"#")
    True
"""

from __future__ import annotations

import os

from agent.model.errors import EnvironmentFailure, UsageError

# Not importlib.resources: importing it costs more than everything else here, and compiled modules rule out a zip.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_FOLDERS = (os.path.join(_PACKAGE, "policydata"), os.path.join(os.path.dirname(_PACKAGE), "policies"))
"""Installed first: beside an installed package, `policies/` could be anyone's."""


def data_folder() -> str:
    """The folder of the shipped data; EnvironmentFailure if this installation has none."""
    for folder in _FOLDERS:
        if os.path.isdir(folder):
            return folder
    raise EnvironmentFailure(f"{_FOLDERS[0]}: the policy data is missing: install isolation-agent again")


def data_path(name: str) -> str:
    """Where `name` lies, such as `essential.yaml` or `examples/linux-lab.yaml`; it need not exist.

    UsageError if the name leaves the folder: names of built-in documents come from the command line too.
    """
    parts = name.split("/")
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise UsageError(f"policies/{name}: a name inside policies/, such as essential.yaml, is allowed here")
    return os.path.join(data_folder(), *parts)


def read_data(name: str) -> bytes:
    """The bytes of policies/`name`; EnvironmentFailure if it cannot be read."""
    path = data_path(name)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise EnvironmentFailure(f"{path}: {error.strerror or error}: install isolation-agent again") from error


def data_names(folder: str) -> tuple[str, ...]:
    """The files directly in policies/`folder` in alphabetical order, `""` for policies/ itself; no folder, none."""
    path = data_path(folder) if folder else data_folder()
    try:
        with os.scandir(path) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_file() and entry.name[:1] != "."))
    except (FileNotFoundError, NotADirectoryError):
        return ()
