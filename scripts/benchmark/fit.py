"""Least squares without a constant: what each packet, flow or record adds to a time."""

from __future__ import annotations

from collections.abc import Sequence


def least_squares(rows: Sequence[Sequence[float]], times: Sequence[float]) -> list[float]:
    """The factors x for which rows . x misses `times` least, relative to each time; none is negative.

    A column whose factor would be negative is left out (0.0): noise has no price. Raises ValueError if the rows
    cannot tell the columns apart.
    """
    weights = [1 / time if time > 0 else 0.0 for time in times]
    kept = list(range(len(rows[0])))
    while kept:
        weighted = [[row[column] * weight for column in kept] for row, weight in zip(rows, weights, strict=True)]
        found = _solve(weighted, [time * weight for time, weight in zip(times, weights, strict=True)])
        if min(found) >= 0:
            by_column = dict(zip(kept, found, strict=True))
            return [by_column.get(column, 0.0) for column in range(len(rows[0]))]
        kept.pop(found.index(min(found)))
    return [0.0] * len(rows[0])


def _solve(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """By the normal equations and Gauss, with columns scaled to one size: three unknowns at most here."""
    count = len(rows[0])
    scales = [max(abs(row[column]) for row in rows) or 1.0 for column in range(count)]
    scaled = [[value / scale for value, scale in zip(row, scales, strict=True)] for row in rows]
    matrix = [
        [sum(row[one] * row[other] for row in scaled) for other in range(count)]
        + [sum(row[one] * value for row, value in zip(scaled, values, strict=True))]
        for one in range(count)
    ]
    for step in range(count):
        pivot = max(range(step, count), key=lambda row: abs(matrix[row][step]))
        if abs(matrix[pivot][step]) < 1e-12:
            raise ValueError("the shapes do not differ enough to tell packets from flows")
        matrix[step], matrix[pivot] = matrix[pivot], matrix[step]
        for row in range(count):
            if row != step:
                factor = matrix[row][step] / matrix[step][step]
                matrix[row] = [a - factor * b for a, b in zip(matrix[row], matrix[step], strict=True)]
    return [matrix[row][count] / matrix[row][row] / scales[row] for row in range(count)]
