"""The engine that holds the records while they are worked on.

Embedded DuckDB by default: bounded in memory, spilling to a temporary folder of its own. Any
other Ibis backend can be given by its address. Tables are materialised through Ibis's cache,
which every backend has, and all of them are dropped before the engine is left.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import RecordsError

if TYPE_CHECKING:
    import ibis


class Engine:
    """A connection, the tables materialised in it, and its scratch folder.

    Parameters
    ----------
    address : 'duckdb', or the address of another Ibis backend.
    memory_limit : of the embedded engine, such as '4GB'.

    Raises
    ------
    RecordsError : the backend cannot be reached.
    """

    def __init__(self, address: str = "duckdb", memory_limit: str = "4GB") -> None:
        import ibis

        self._held: list[Any] = []
        self._scratch: Path | None = None
        try:
            if address == "duckdb":
                self._scratch = Path(tempfile.mkdtemp(prefix="sos_records_"))
                self.con: Any = ibis.duckdb.connect(
                    memory_limit=memory_limit,
                    temp_directory=str(self._scratch),
                    preserve_insertion_order="false",
                )
            else:
                self.con = ibis.connect(address)
        except Exception as error:
            self._sweep()
            raise RecordsError(
                f"engine {address!r} with memory limit {memory_limit!r} cannot be started "
                f"({error}). Use 'duckdb' and a limit such as '4GB', or the address of an Ibis "
                "backend whose package is installed."
            ) from error

    def keep(self, table: ibis.Table) -> ibis.Table:
        """Materialise a table until `drop` or `close`."""
        held = table.cache()
        self._held.append(held)
        return held

    def drop(self, table: ibis.Table) -> None:
        """Drop a materialised table."""
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
        self.con.disconnect()
        self.con = None
        self._sweep()

    def _sweep(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
