"""Two releases about the same children: what can be learnt from the difference.

Rounding keeps a difference of two counts uncertain by a base, no more. So a second release is
compared with the one before: counts that moved a little, cells that one shows and the other
hides, authorities that came or went, and hidden counts that give way when the tables of both are
attacked together. No rule can say whether that tells anything about a child: a person must look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sos_analysis.disclosure import CONFIDENTIAL, RECORD_ORIGINS, SafeTable
from sos_analysis.disclosure.attack import knowledge
from sos_analysis.disclosure.audit import attack, told
from sos_analysis.errors import DisclosureError
from sos_analysis.formats import quantity

_FEWEST = re.compile(r"fewest authorities (\d+)")
#: Most differences of one table that are told one by one.
_TOLD = 3


def differences(
    earlier: Mapping[str, SafeTable], now: Mapping[str, SafeTable]
) -> dict[str, list[str]]:
    """What two releases tell together, in words, by the name of the table.

    Parameters
    ----------
    earlier, now : mapping of name to SafeTable
        Tables of both releases; those of one name are compared row by row.
    """
    learnt: dict[str, list[str]] = {}
    for name, table in now.items():
        before = earlier.get(name)
        if before is None or table.origin not in RECORD_ORIGINS or before.origin != table.origin:
            continue
        found = list(_moved(before, table))
        if found:
            more = [f"and {len(found) - _TOLD} more like these"] if len(found) > _TOLD else []
            learnt[name] = [*found[:_TOLD], *more]
    for name, words in _together(earlier, now):
        learnt.setdefault(name, []).append(words)
    return learnt


def _moved(before: SafeTable, now: SafeTable) -> Iterator[str]:
    labels = [c.key for c in now.columns if c.role in ("text", "category")]
    if [k for k in labels if k not in before.keys]:
        return
    places = {
        tuple(before.text(i, k) for k in labels): i for i in reversed(range(len(before.rows)))
    }
    stated = _FEWEST.search(now.record.rule)
    for i in range(len(now.rows)):
        place = tuple(now.text(i, k) for k in labels)
        j = places.get(place)
        if j is None:
            continue
        for column in now.columns:
            if column.key not in before.keys or column.role not in ("count", "authorities"):
                continue
            old, new = before.values(column.key)[j], now.values(column.key)[i]
            where = f"{column.label} of {', '.join(place)}"
            if (old == CONFIDENTIAL) != (new == CONFIDENTIAL):
                shown, hides = (new, "earlier") if old == CONFIDENTIAL else (old, "new")
                yield f"{where}: the {hides} release hides what the other shows ({_number(shown)})"
            elif isinstance(old, str) or isinstance(new, str) or old == new:
                continue
            elif column.role == "authorities":
                if stated and abs(new - old) < int(stated[1]):
                    yield (
                        f"{where} went from {_number(old)} to {_number(new)}: the counts of "
                        "whoever came or went are what the rows differ by"
                    )
            else:
                least = _least(int(old), int(new), before, now)
                if least < now.record.threshold:
                    yield (
                        f"{where} went from {_number(old)} to {_number(new)}: fewer than "
                        f"{now.record.threshold} may have come or gone"
                    )


def _least(old: int, new: int, before: SafeTable, now: SafeTable) -> int:
    """Least by which the exact counts can differ."""
    one = knowledge(old, before.record.base, before.record.threshold)
    two = knowledge(new, now.record.base, now.record.threshold)
    return max(0, two[0] - one[1], one[0] - two[1])


def _together(
    earlier: Mapping[str, SafeTable], now: Mapping[str, SafeTable]
) -> Iterator[tuple[str, str]]:
    """Hidden counts of the new release that give way where both are about the same records."""
    both = {f"earlier {name}": table for name, table in earlier.items()} | dict(now)
    try:
        found = attack(both)
    except DisclosureError:
        return  # the two contradict each other, so they are not about the same records
    for hidden in found:
        if not hidden.protected and hidden.table in now:
            words = told(hidden, now[hidden.table])
            yield hidden.table, f"if the records are the same, from both releases {words}"


def _number(value: float | str) -> str:
    return quantity(float(value), "", 0)
