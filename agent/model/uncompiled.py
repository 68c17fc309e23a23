"""Stands in for the `cython` module where it is not installed and nothing is compiled."""

from __future__ import annotations

compiled = False
