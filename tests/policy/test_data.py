"""policies/ is found, and only policies/."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.errors import EnvironmentFailure, UsageError
from agent.policy.data import data_names, data_path, read_data


def test_reads_the_bytes_of_the_file(root: Path) -> None:
    """In a source tree the data is the folder beside agent/."""
    assert read_data("essential.yaml") == (root / "policies/essential.yaml").read_bytes()


def test_lists_files_and_no_folders(root: Path) -> None:
    """Names come sorted, as read_data takes them; folders are asked for by name."""
    names = data_names("")
    assert "essential.yaml" in names
    assert "examples" not in names
    assert list(names) == sorted(path.name for path in (root / "policies").iterdir() if path.is_file())


def test_lists_nothing_where_there_is_no_folder() -> None:
    """No scenarios is an answer, not a failure."""
    assert data_names("no-such-folder") == ()


def test_a_missing_file_names_itself_and_the_fix() -> None:
    """Shipped data that is gone is the environment's fault: exit code 3."""
    with pytest.raises(EnvironmentFailure, match=r"no-such\.yaml: .*install isolation-agent again") as failure:
        read_data("no-such.yaml")
    assert failure.value.exit_code == 3


@pytest.mark.parametrize(
    "name", ["../setup.py", "/etc/passwd", "examples/../../setup.py", "", ".", "a\\b", "a\0b", "a//b"]
)
def test_a_name_cannot_leave_the_folder(name: str) -> None:
    """Built-in names are also what people type."""
    with pytest.raises(UsageError, match="inside policies/"):
        data_path(name)
