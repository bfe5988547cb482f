"""The same counts on every engine, and an engine that keeps within its memory."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from sos_analysis import cells
from sos_analysis.errors import RecordsError
from sos_analysis.outcomes import events
from sos_analysis.records.engine import ENGINE, LOCAL_SPARK, MEMORY, Engine, checked_limit
from sos_analysis.records.extract import open_extract


@pytest.fixture(scope="module")
def few(tmp_path_factory, small_study) -> Path:
    """Two matched groups at a fiftieth of their size."""
    from sos_analysis.records.synthetic import generate

    place = tmp_path_factory.mktemp("few")
    pilots = small_study.pilots[:2]
    codes = {p.la for p in pilots} | {c for p in pilots for g in p.comparators.values() for c in g}
    generate(small_study, place / "x", place / "t", scale=0.02, authorities=sorted(codes))
    return place / "x"


def counted(
    folder: Path, study, outcomes, definitions=("original",), **options
) -> dict[str, pd.DataFrame]:
    """Cells and margins by outcome and definition."""
    found = {}
    with open_extract(folder, **options) as records:
        for name in outcomes:
            for definition in definitions:
                made = cells.collapse(
                    events(records, study, name, definition),
                    study,
                    name,
                    covariates=study.outcome(name).cell_covariates,
                )
                found[f"{name} ({definition}), cells"] = made.frame
                found[f"{name} ({definition}), margins"] = made.margins
    return found


def assert_equal(ours: dict[str, pd.DataFrame], theirs: dict[str, pd.DataFrame]) -> None:
    assert list(ours) == list(theirs)
    for name, mine in ours.items():
        assert len(mine), name
        pd.testing.assert_frame_equal(mine, theirs[name], obj=name)


def test_spark_counts_as_duckdb_does(few, small_study) -> None:
    """To the last integer, every outcome by every definition; run by `make test-spark`."""
    if os.environ.get("SOS_TEST_SPARK") != "1":
        pytest.skip("Spark is heavy and needs Java: run `make test-spark`")
    names = [o.name for o in small_study.outcomes]
    both = ("original", "strict")
    ours = counted(few, small_study, names, both)
    assert_equal(ours, counted(few, small_study, names, both, engine=LOCAL_SPARK))


def test_little_memory_gives_the_same_counts(few, small_study, monkeypatch) -> None:
    plenty = counted(few, small_study, ["rereferral"])
    monkeypatch.setenv(MEMORY, "200MB")
    assert_equal(plenty, counted(few, small_study, ["rereferral"]))


def test_beyond_its_memory_the_engine_writes_to_disk(monkeypatch) -> None:
    """A sort of 240 MB within 100 MB: nothing but spilling can do it."""
    monkeypatch.setenv(MEMORY, "100MB")
    engine = Engine()
    try:
        scratch = engine._scratch
        assert scratch is not None
        assert scratch.is_dir()
        engine.con.raw_sql("SET threads = 1")
        engine.con.raw_sql(
            "CREATE TEMP TABLE sorted AS SELECT hash(i) AS a, i AS b, hash(i + 1) AS c "
            "FROM range(10000000) t(i) ORDER BY a"
        )
        assert any(scratch.iterdir())
        assert engine.con.raw_sql("SELECT count(*) FROM sorted").fetchone()[0] == 10_000_000
    finally:
        engine.close()
    assert not scratch.exists()


def test_what_is_no_engine_or_no_size_is_said_in_a_line(monkeypatch) -> None:
    for wrong in ("much", "4", "-1GB", "4 bananas"):
        with pytest.raises(RecordsError, match="such as 512MB"):
            checked_limit(wrong)
    monkeypatch.setenv(ENGINE, "nonsense://nowhere")
    with pytest.raises(RecordsError, match="cannot be started"):
        Engine()


def test_numbers_that_clash_give_way_to_words(few, small_study, monkeypatch) -> None:
    """Children whose numbers are not their own are told apart by authority and id, as ever."""
    outcomes = ("duration", "escalation", "icpc")
    right = counted(few, small_study, outcomes)
    monkeypatch.setattr(Engine, "number", lambda self, la, child_id: la + child_id.right(1))
    with open_extract(few) as records:
        child = records.tables["referrals"].child
        assert records.tables["children"].count().execute() > 1000
        assert child.contains("/").all().execute()
    assert_equal(right, counted(few, small_study, outcomes))
