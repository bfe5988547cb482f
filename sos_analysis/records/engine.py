"""The engine that holds the records while they are worked on.

Embedded DuckDB by default: bounded in memory, spilling to a temporary folder of its own. Any
other Ibis backend can be given by its address. Tables are materialised through Ibis's cache,
which every backend has, and all of them are dropped before the engine is left.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import RecordsError

if TYPE_CHECKING:
    import ibis


#: Environment variables that choose the engine and its memory where nothing is said: the steps of
#: the build run in processes of their own.
ENGINE, MEMORY = "SOS_ENGINE", "SOS_MEMORY_LIMIT"
#: Spark on this machine alone, for tests; a cluster goes by its own address, `spark://host:port`.
LOCAL_SPARK = "spark-local"
#: Engine -> its hash of 64 bits, and the type of that.
_HASHES = {"duckdb": ("hash", "uint64"), "pyspark": ("xxhash64", "int64")}


def checked_limit(text: str) -> str:
    """The limit as given; RecordsError if it is no size."""
    if not re.fullmatch(r"\d+(\.\d+)? ?([KMGT]i?B)", text, re.IGNORECASE):
        raise RecordsError(
            f"memory limit {text!r} is no size; write a number and a unit, such as 512MB or 4GB."
        )
    return text


def _spark(address: str) -> Any:
    """A Spark session behind Ibis, set so that results are those of the embedded engine."""
    import ibis
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.appName("sos_analysis")
        .master("local[*]" if address == LOCAL_SPARK else address)
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        # What is no number or no date is empty, as it is in the embedded engine.
        .config("spark.sql.ansi.enabled", "false")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.shuffle.partitions", "2" if address == LOCAL_SPARK else "64")
        # The expressions are long and the rows already materialised: most of the time of a small
        # extract would go into planning and compiling, not into counting.
        .config("spark.sql.constraintPropagation.enabled", "false")
        .config("spark.sql.execution.arrow.localRelationThreshold", "0")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    con = ibis.pyspark.connect(session)
    con._create_cached_table = partial(_keep_now, con)
    con._drop_cached_table = partial(_forget, con)
    return con


@cache
def _hash(engine: str) -> Any:
    """The engine's own hash of two texts, or none."""
    import ibis

    if engine not in _HASHES:
        return None
    name, kind = _HASHES[engine]

    @ibis.udf.scalar.builtin(name=name, signature=(("string", "string"), kind))
    def hashed(la, child_id):  # type: ignore[no-untyped-def]
        """64 bits."""

    return hashed


def union_of_bits(column: Any) -> Any:
    """Bits set in any row (aggregate): the engine's own, since Ibis 12 has no rule for Spark."""
    return _bit_or(str(column.type().copy(nullable=True)))(column)


@cache
def _bit_or(kind: str) -> Any:
    import ibis

    @ibis.udf.agg.builtin(name="bit_or", signature=((kind,), kind))
    def union(bits):  # type: ignore[no-untyped-def]
        """Bits set in any row."""

    return union


def _hold(con: Any, name: str, table: Any) -> Any:
    """Rows held by the embedded engine, in the types Ibis takes them to have.

    What Ibis does, without the questions it asks of the engine before and after.
    """
    import ibis.expr.operations as ops
    import sqlglot as sg

    con._run_pre_execute_hooks(table)
    held, schema = sg.table(name, quoted=True), table.schema()
    columns = sg.exp.Schema(this=held, expressions=schema.to_sqlglot_column_defs(con.dialect))
    passing = sg.exp.Properties(expressions=[sg.exp.TemporaryProperty()])
    made = sg.exp.Create(this=columns, kind="TABLE", properties=passing)
    con.con.execute(made.sql(con.dialect))
    con.con.execute(f"INSERT INTO {held.sql(con.dialect)} {con.compile(table)}")
    return ops.DatabaseTable(name, schema=schema, source=con).to_expr()


def _keep_now(con: Any, name: str, table: Any) -> Any:
    """Rows held by the executors, without how they came about.

    Ibis would ask Spark to cache: that keeps the whole history of a table in every later plan
    (minutes of planning), and waits until rows are asked for, when their files may be gone. Ibis
    12 also forgets tables in memory here.
    """
    con._run_pre_execute_hooks(table)
    held = con._session.sql(con.compile(table)).localCheckpoint(eager=True)
    held.createTempView(name)
    con._cached_dataframes[name] = held
    return con.table(name)


def _forget(con: Any, name: str) -> None:
    con._session.catalog.dropTempView(name)
    con._cached_dataframes.pop(name)._jdf.queryExecution().logical().rdd().unpersist(False)


class Engine:
    """A connection, the tables materialised in it, and its scratch folder.

    Parameters
    ----------
    address : 'duckdb', 'spark-local', 'spark://host:port', or the address of another Ibis
        backend; by default what `SOS_ENGINE` says, else 'duckdb'.
    memory_limit : of the embedded engine, such as '4GB'; by default `SOS_MEMORY_LIMIT`, else 4GB.

    Raises
    ------
    RecordsError : the backend cannot be reached.
    """

    def __init__(self, address: str = "", memory_limit: str = "") -> None:
        import ibis

        address = address or os.environ.get(ENGINE, "") or "duckdb"
        memory_limit = checked_limit(memory_limit or os.environ.get(MEMORY, "") or "4GB")
        self._held: list[Any] = []
        self._views: list[str] = []
        self._scratch: Path | None = None
        try:
            if address == "duckdb":
                self._scratch = Path(tempfile.mkdtemp(prefix="sos_records_"))
                self.con: Any = ibis.duckdb.connect(
                    memory_limit=memory_limit,
                    temp_directory=str(self._scratch),
                    preserve_insertion_order="false",
                )
                # Blocks given back are taken up again: asking the system for fresh ones, which it
                # has to blank, would be a twelfth of the work.
                self.con.con.execute(f"SET block_allocator_memory = '{memory_limit}'")
                self.con._create_cached_table = partial(_hold, self.con)
                # Rows are read from their files more than once.
                self.con.con.execute("SET parquet_metadata_cache = true")
                # Joins are written with the smaller table on the right. The engine guesses what
                # filters leave, and would build its table of the events instead of the children.
                self.con.con.execute("SET disabled_optimizers = 'build_side_probe_side'")
            elif address == LOCAL_SPARK or address.startswith("spark://"):
                self.con = _spark(address)
            else:
                self.con = ibis.connect(address)
        except Exception as error:
            self._sweep()
            # Backends tell pages; the first line says what it was.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise RecordsError(
                f"engine {address!r} with memory limit {memory_limit!r} cannot be started "
                f"({lines[0][:200]}). Use 'duckdb' and a limit such as '4GB', or the address of "
                "an Ibis backend whose package is installed."
            ) from error

    def number(self, la: Any, child_id: Any) -> Any:
        """A whole number for a child of an authority; a text where the engine has no such function.

        Numbers are compared and held at a third of the cost of two texts. They are hashes of 64
        bits: that no two children share one is for the caller to see to (`assemble`).
        """
        hashed = _hash(self.con.name)
        return self.words(la, child_id) if hashed is None else hashed(la, child_id)

    @staticmethod
    def words(la: Any, child_id: Any) -> Any:
        """The same as one text, in which no code of an authority runs into an id."""
        return la + "/" + child_id

    def keep(self, table: ibis.Table) -> ibis.Table:
        """Materialise a table until `drop` or `close`."""
        held = table.cache()
        self._held.append(held)
        return held

    def view(self, table: ibis.Table) -> ibis.Table:
        """A name for a table that is not held: what is built on it is short, and so soon planned.

        What it rests on must last as long as it is used; the name goes with `close`.
        """
        name = f"sos_view_{uuid.uuid4().hex}"  # Spark's sessions share their names
        seen = self.con.create_view(name, table, overwrite=True)
        self._views.append(name)
        return seen

    def drop(self, table: ibis.Table) -> None:
        """Drop a materialised table. A view stays: Spark forgets what was built on one it drops."""
        for i, held in enumerate(self._held):
            if held is table:
                held.release()
                del self._held[i]
                return

    def close(self) -> None:
        """Drop what is held, disconnect, remove the scratch folder; more than once does nothing."""
        if self.con is None:
            return
        for held in self._held:
            held.release()
        self._held.clear()
        for name in reversed(self._views):
            self.con.drop_view(name)
        self._views.clear()
        self.con.disconnect()
        self.con = None
        self._sweep()

    def _sweep(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
