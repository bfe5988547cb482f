"""What can be wrong with events that are to be counted, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sos_analysis.errors import RecordsError

if TYPE_CHECKING:
    import ibis

    from sos_analysis.study import Study


def no_event(outcome: str) -> str:
    """Message where there is nothing to count."""
    return (
        f"outcome {outcome!r}: no event in any authority of the study's matched groups. "
        "Check that the LA codes of the study file are those of the extract."
    )


def check_events(placed: ibis.Table, study: Study, outcome: str) -> None:
    """Refuse events at fault, naming the first fault and how many have it.

    Parameters
    ----------
    placed : events with their intervals (`first`, `last`).
    """
    from ibis import literal

    start, end = literal(study.data_start), literal(study.data_end)
    given = [name for name in placed.columns if name not in ("first", "last")]
    faults = {
        **{f"null {name!r}": placed[name].isnull() for name in given},
        f"'event_date' before data_start ({study.data_start})": placed["event_date"] < start,
        f"'event_date' after data_end ({study.data_end})": placed["event_date"] > end,
        "'window_end' before 'event_date'": placed["window_end"] < placed["event_date"],
    }
    counts = placed.aggregate(
        rows=placed.count(),
        **{f"fault_{i}": fault.sum().cast("int64") for i, fault in enumerate(faults.values())},
    )
    found = counts.to_pyarrow().to_pylist()[0]
    if not found["rows"]:
        raise RecordsError(no_event(outcome))
    for i, fault in enumerate(faults):
        if found[f"fault_{i}"]:
            raise RecordsError(
                f"outcome {outcome!r}: {found[f'fault_{i}']} of {found['rows']} events have "
                f"{fault}. Correct or drop them where outcomes are defined; a covariate that is "
                "not known takes the category 'missing'."
            )
