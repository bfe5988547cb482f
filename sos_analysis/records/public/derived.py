"""Public files in layouts of their own: neighbours, the interactive tool, counts in reports."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from sos_analysis.errors import RecordsError
from sos_analysis.records.public.places import Located
from sos_analysis.records.public.reading import NOT_GIVEN
from sos_analysis.study.reading import listed, nearest

if TYPE_CHECKING:
    import pandas as pd

#: Reports published up to this day say which authorities are named (the study ended in spring
#: 2019 and reports of visits until then appear some months later; the day is ours).
REPORTS_TO = "2020-06-30"
_LAIT = ("measure_code", "year", "old_la_code", "value")
#: Overall judgements as the file writes them.
JUDGEMENTS = ("inadequate", "requires improvement", "good", "outstanding")
_JUDGED = ("old_la_code", "published", "overall_judgement")
_REPORT = ("old_la_code", "published", "n_signs_of_safety")


def read_neighbours(found: Located) -> Mapping[str, tuple[str, ...]]:
    """Statistical neighbours by three-digit code, nearest first.

    Both published forms are read: the code in ``LA num`` or ``old_la_code``, the neighbours in
    ``SN1`` to ``SN10`` or ``SN_1`` to ``SN_10`` (columns beside them say how close they are).

    Raises
    ------
    RecordsError
        A column is missing, or a neighbour is not a three-digit code.
    """
    rows = list(csv.reader(io.StringIO(found.text(), newline="")))
    header = [name.strip() for name in rows[0]] if rows else []
    wanted = [f"{stem}{i}" for i in range(1, 11) for stem in ("SN", "SN_")]
    places = [header.index(name) for name in wanted if name in header]
    code = next((header.index(n) for n in ("LA num", "old_la_code") if n in header), None)
    if code is None or not places:
        raise RecordsError(
            f"{found.name}: no column with the authority's code ('LA num' or 'old_la_code') or "
            f"none with its neighbours ('SN1' or 'SN_1'). The file has {listed(header)}."
        )
    sets: dict[str, tuple[str, ...]] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        near = tuple(row[i].strip() for i in places if row[i].strip())
        odd = [n for n in near if not (n.isdigit() and len(n) == 3)]
        if odd:
            raise RecordsError(
                f"{found.name}, line {number}: neighbour {odd[0]!r} is not a three-digit code."
            )
        sets[row[code].strip()] = near
    return sets


def read_lait(found: Located) -> pd.DataFrame:
    """The excerpt of the Local Authority Interactive Tool.

    Columns ``measure``, ``year``, ``old_la_code``, ``value`` (NaN where none is given) and
    ``code`` ('x' where the tool shows a dash).

    Raises
    ------
    RecordsError
        A column is missing, a value is no number, or an authority occurs twice in a year.
    """
    import pandas as pd

    frame = _frame(found, _LAIT)
    text = frame["value"].str.strip()
    dash = text.isin(["-", *NOT_GIVEN])
    values = pd.to_numeric(text.where(~dash), errors="coerce")
    odd = text[values.isna() & ~dash]
    if len(odd):
        raise RecordsError(
            f"{found.name}, line {int(str(odd.index[0])) + 2}: value {odd.iloc[0]!r} is no number."
        )
    made = pd.DataFrame(
        {
            "measure": frame["measure_code"],
            "year": frame["year"].astype(int),
            "old_la_code": frame["old_la_code"],
            "value": values.astype(float),
            "code": text.where(dash, "").replace({"-": "x"}),
        }
    )
    again = made[made.duplicated(["measure", "year", "old_la_code"])]
    if len(again):
        raise RecordsError(
            f"{found.name}: {again['old_la_code'].iloc[0]!r} occurs twice in "
            f"{again['year'].iloc[0]} for {again['measure'].iloc[0]!r}."
        )
    return made


def read_reports(found: Located, to: str = REPORTS_TO) -> Mapping[str, bool]:
    """Authorities with an Ofsted report up to `to`: does one of them name Signs of Safety?

    A noisy sign of use: a report that names no model does not say that there is none.

    Raises
    ------
    RecordsError
        A column is missing or a count is no whole number.
    """
    frame = _frame(found, _REPORT)
    frame = frame[frame["published"] <= to]
    counts = frame["n_signs_of_safety"].str.strip().replace("", "0")
    odd = counts[~counts.str.fullmatch(r"\d+")]
    if len(odd):
        raise RecordsError(
            f"{found.name}, line {int(str(odd.index[0])) + 2}: n_signs_of_safety "
            f"{odd.iloc[0]!r} is no whole number."
        )
    named = counts.astype(int).groupby(frame["old_la_code"]).sum() > 0
    return {str(code): bool(value) for code, value in named.items()}


def read_ratings(found: Located, before: date) -> Mapping[str, str]:
    """Each authority's latest overall judgement published before a day, by three-digit code.

    Reports without an overall judgement are passed over.

    Raises
    ------
    RecordsError
        A column is missing, or a judgement or a day is not one.
    """
    frame = _frame(found, _JUDGED)
    frame = frame[frame["overall_judgement"].str.strip() != ""]
    words = frame["overall_judgement"].str.strip().str.lower()
    odd = words[~words.isin(JUDGEMENTS)]
    if len(odd):
        raise RecordsError(
            f"{found.name}, line {int(str(odd.index[0])) + 2}: overall_judgement {odd.iloc[0]!r} "
            f"is not one of {listed(JUDGEMENTS)}."
        )
    days = frame["published"].str.strip()
    wrong = days[~days.str.fullmatch(r"\d{4}-\d{2}-\d{2}")]
    if len(wrong):
        raise RecordsError(
            f"{found.name}, line {int(str(wrong.index[0])) + 2}: published {wrong.iloc[0]!r} is "
            "not a day (YYYY-MM-DD)."
        )
    earlier = days < before.isoformat()
    order = days[earlier].sort_values(kind="stable").index
    return dict(zip(frame.loc[order, "old_la_code"], words.loc[order], strict=True))


def _frame(found: Located, needed: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_csv(io.StringIO(found.text()), dtype=str, keep_default_na=False)
    missing = [c for c in needed if c not in frame]
    if missing:
        raise RecordsError(
            f"{found.name}: column {missing[0]!r} is missing."
            f"{nearest(missing[0], frame.columns)} The file has {listed(frame.columns)}."
        )
    return frame
