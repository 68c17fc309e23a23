"""The progress bar: only where somebody watches, and only if it takes long."""

from __future__ import annotations

import pytest

from agent.cli.progress import ProgressBar
from agent.replay.options import Progress


def step(packets: int) -> Progress:
    return Progress(bytes_read=packets * 100, bytes_total=1000, packets=packets, path="a.pcap")


def test_nobody_is_called_where_nobody_watches() -> None:
    """Standard error of a test is no terminal."""
    assert ProgressBar(forced=None).callback is None
    assert ProgressBar(forced=False).callback is None
    assert ProgressBar(forced=True).callback is not None


def test_a_forced_bar_is_drawn_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(forced=True) as bar:
        bar.update(step(5))
    assert "5 packets" in capsys.readouterr().err


def test_an_unknown_size_is_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe has none."""
    with ProgressBar(forced=True) as bar:
        bar.update(Progress(bytes_read=500, bytes_total=None, packets=3, path="-"))
    assert "3 packets" in capsys.readouterr().err


def test_a_short_run_draws_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Even on a terminal: the bar waits for a second."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with ProgressBar(forced=None) as bar:
        assert bar.callback is not None
        bar.update(step(1))
    assert capsys.readouterr().err == ""
