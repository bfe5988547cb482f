"""Placebo treatment in time: rows before adoption, with adoption moved back."""

from __future__ import annotations

import dataclasses

import numpy as np

from .frames import CellTable, Floats, FrameError


def _where(table: CellTable, keep: np.ndarray, **changed: Floats) -> CellTable:
    """Some rows of a table, columns replaced; labels and codes without gaps."""
    parts: dict[str, object] = {}
    for field in dataclasses.fields(table):
        value = changed.get(field.name, getattr(table, field.name))
        parts[field.name] = value[keep] if isinstance(value, np.ndarray) else value
    for labels, code in (("las", "la"), ("groups", "group")):
        used, parts[code] = np.unique(np.asarray(parts[code]), return_inverse=True)
        parts[labels] = tuple(getattr(table, labels)[i] for i in used)
    parts["categories"] = {k: (v, c[keep]) for k, (v, c) in table.categories.items()}
    parts["numeric"] = {k: v[keep] for k, v in table.numeric.items()}
    return CellTable(**parts)  # type: ignore[arg-type]


def placebo_table(table: CellTable, shift: int) -> CellTable:
    """Rows before adoption, with adoption moved back by `shift` periods.

    Each treated cluster keeps its rows before its own adoption, of which the last `shift` periods
    count as treated; clusters of its group without treatment keep the periods before the group's
    last adoption.

    Raises
    ------
    FrameError
        No treated cluster has more than `shift` periods before adoption.
    """
    if shift < 1:
        raise FrameError(f"shift must be 1 or more, not {shift}")
    keep, post = np.zeros(len(table.la), dtype=bool), np.zeros(len(table.la))
    for g in range(len(table.groups)):
        group = table.group == g
        last = None
        for la in np.unique(table.la[group & (table.exposure > 0)]):
            mine = group & (table.la == la)
            adopted = int(table.period[mine & (table.exposure > 0)].min())
            before = np.unique(table.period[mine & (table.period < adopted)])
            if len(before) <= shift:
                continue
            last = adopted if last is None else max(last, adopted)
            rows = mine & (table.period < adopted)
            keep |= rows
            post[rows & (table.period >= before[-shift])] = 1.0
        if last is not None:
            ever = np.unique(table.la[group & (table.treated > 0)])
            keep |= group & ~np.isin(table.la, ever) & (table.period < last)
    if not keep.any():
        raise FrameError(f"no treated cluster has more than {shift} periods before adoption")
    return _where(table, keep, post=post)
