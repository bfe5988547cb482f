"""Charts that may be shown: a guarded table and the words around its picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sos_analysis.disclosure.columns import check_unnamed, check_untyped, check_words, need, records
from sos_analysis.disclosure.guard import safe_table
from sos_analysis.disclosure.safe import (
    DIFFERENCES,
    KINDS,
    MOST_SERIES,
    ORIGINS,
    TOKEN,
    Column,
    FigureOptions,
    SafeFigure,
)
from sos_analysis.disclosure.suppression import NOT_APPLICABLE, Rules, missing
from sos_analysis.errors import DisclosureError


def safe_figure(
    kind: str,
    frame: Any,
    *,
    title: str,
    subtitle: str,
    alt: str,
    source: str,
    origin: str,
    rules: Rules,
    options: FigureOptions,
    columns: Mapping[str, Column | Mapping[str, Any] | str] | None = None,
    caption: str = "",
    **guards: Any,
) -> SafeFigure:
    """Make a chart that may be shown.

    Parameters
    ----------
    kind : str
        One of `KINDS`, which says the columns of `frame` it reads: label, value, low, high, time,
        region, series. Others (counts, authorities) may be shown in its table through `columns`;
        a curve draws the further text columns as the choices behind each estimate.
    frame : DataFrame or sequence of mappings
        Exact values, as for `safe_table`.
    title, subtitle, alt, source : str
        The message; measure, place and period (on made-up data it begins 'Made-up data'); the
        picture in words; where the numbers come from. All needed.
    options : FigureOptions
        Axis words, unit, minimum important difference, adoption mark.
    columns : mapping, optional
        More columns for the table under the chart, or other labels for the chart's own.
    **guards
        As in `safe_table`: count_columns, authorities, rates, statistics, estimates, residual_dof.
        In charts of `DIFFERENCES`, value, low and high are estimates unless declared otherwise.

    Raises
    ------
    DisclosureError
        As `safe_table`; or the kind is unknown, or a text is missing.
    """
    if kind not in KINDS:
        raise DisclosureError(f"no chart kind {kind!r}; allowed: {', '.join(KINDS)}")
    for name, text in (("title", title), ("subtitle", subtitle), ("alt text", alt)):
        check_words(text, name)
    if origin == "synthetic" and not subtitle.startswith(ORIGINS["synthetic"]):
        raise DisclosureError("the subtitle of a chart on made-up data must begin 'Made-up data'")
    if not isinstance(options, FigureOptions):
        raise DisclosureError("options must be a FigureOptions")
    said = (subtitle, alt, *vars(options).values())
    check_unnamed(said, origin, rules)
    check_untyped(said, origin, rules)
    rows = records(frame)
    need(rows, [k for k in KINDS[kind] if k not in (guards.get("rates") or {})])
    specs = _figure_columns(kind, rows, options, columns or {}, guards)
    categories = [k for k in ("time",) if k in specs]
    if kind in DIFFERENCES:
        taken = {*(guards.get("rates") or {}), *(guards.get("statistics") or {})}
        mine = [k for k in ("value", "low", "high") if k not in taken]
        guards["estimates"] = tuple(dict.fromkeys([*mine, *guards.get("estimates", ())]))
    guards["category_columns"] = tuple(
        dict.fromkeys([*categories, *guards.get("category_columns", ())])
    )
    names = {str(row["series"]) for row in rows if "series" in row}
    most = MOST_SERIES.get(kind, 4)
    if len(names) > most:
        raise DisclosureError(
            f"{len(names)} series in one {kind} chart; at most {most} can be read"
        )
    if kind == "event_study" and options.base is not None:
        for row in rows:
            # The reference period is zero by construction: it has no interval.
            if row["time"] == options.base:
                row.update({k: NOT_APPLICABLE for k in ("low", "high") if missing(row[k])})
    data = safe_table(
        rows,
        columns=specs,
        title=title,
        caption=caption,
        source=source,
        origin=origin,
        rules=rules,
        **guards,
    )
    return SafeFigure(kind, data, subtitle, alt, options, token=TOKEN)


def _figure_columns(
    kind: str,
    rows: list[dict[str, Any]],
    options: FigureOptions,
    columns: Mapping[str, Column | Mapping[str, Any] | str],
    guards: Mapping[str, Any],
) -> dict[str, Any]:
    difference = kind in DIFFERENCES
    number = {"unit": options.unit, "decimals": options.decimals, "signed": difference}
    own: dict[str, Any] = {
        "label": Column("What is compared"),
        "time": Column(options.time or "Time"),
        "region": Column("Region"),
        "series": Column("Group"),
        "value": Column(options.measure, **number),  # type: ignore[arg-type]
        "low": Column("Interval from", **number),  # type: ignore[arg-type]
        "high": Column("Interval to", **number),  # type: ignore[arg-type]
    }
    present = {k: v for k, v in own.items() if k in rows[0] or k in (guards.get("rates") or {})}
    return {**present, **columns}
