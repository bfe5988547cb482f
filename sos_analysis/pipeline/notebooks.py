"""A chapter's notebook: run from its template with parameters, then made ready for the book.

Papermill warns about an unknown parameter and does not look at types; here both are errors.
The executed notebook appears under its name only when every cell has run. A failed one is kept
elsewhere, and the last good one stays.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sos_analysis.errors import ParameterError, SosError

# Papermill's own marks, times and random ids, which differ from run to run.
_CELL_NOISE = ("papermill", "execution", "collapsed")
_NOT_SHOWN = {"parameters", "injected-parameters"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
}
WORKED_EXAMPLE = "Worked example on made-up data"
RESTRICTED_RESULTS = "Results on the restricted records"


class NotebookError(SosError):
    """A cell of a chapter's notebook failed."""


def template_parameters(template: Path) -> dict[str, tuple[str, Any, str]]:
    """Parameters a template declares: name to (type, default, help).

    Raises
    ------
    ParameterError
        If the template has no cell tagged `parameters`, or one without a type.
    """
    import nbformat

    notebook = nbformat.read(template, as_version=4)
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ParameterError(
            f"{template.name}: {len(cells)} cells are tagged 'parameters'; it needs exactly one"
        )
    source = cells[0].source
    lines = source.splitlines()
    found: dict[str, tuple[str, Any, str]] = {}
    for node in ast.parse(source).body:
        if not (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(node.annotation, ast.Name)
            and node.value is not None
        ):
            raise ParameterError(
                f"{template.name}: line {node.lineno} of the parameters cell is not of the form "
                "'name: type = default  # what it does'"
            )
        comment = lines[node.lineno - 1].partition("#")[2].strip()
        default = ast.literal_eval(node.value)
        found[node.target.id] = (node.annotation.id, default, comment)
    return found


def check_parameters(template: Path, given: Mapping[str, Any]) -> None:
    """Reject a parameter the template does not have, or a value of another type.

    Raises
    ------
    ParameterError
        Names the parameter, what is allowed, and what was given.
    """
    known = template_parameters(template)
    for name, value in given.items():
        if name not in known:
            raise ParameterError(
                f"{template.stem} has no parameter {name!r}; it has: {', '.join(known)}"
            )
        wanted = known[name][0]
        kinds = _TYPES.get(wanted, (object,))
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ParameterError(
                f"{template.stem}: parameter {name} must be {wanted}, "
                f"not {value!r} ({type(value).__name__})"
            )


@contextlib.contextmanager
def _kernel_options() -> Iterator[dict[str, Any]]:
    """On POSIX the kernel talks through socket files: no port, and no warning about one.

    Each kernel gets a folder of its own: two in one folder would read each other's messages. It
    is in the system's place for temporary files, as the path of a socket must be short.
    """
    if os.name != "posix":
        yield {}
        return
    from jupyter_client.manager import AsyncKernelManager

    with tempfile.TemporaryDirectory(prefix="sos-", ignore_cleanup_errors=True) as folder:

        class SocketFileKernelManager(AsyncKernelManager):  # type: ignore[misc]
            """A kernel manager that never opens a TCP port."""

            def __init__(self, **options: Any) -> None:
                super().__init__(**{**options, "transport": "ipc", "ip": f"{folder}/k"})

        yield {"kernel_manager_class": SocketFileKernelManager}


def run_notebook(
    template: Path,
    output: Path,
    parameters: Mapping[str, Any],
    *,
    origin: str = "synthetic",
    seal: str = "",
    failed: Path | None = None,
    timeout: int = 1800,
) -> Path:
    """Execute a template and put the result, ready for the book, at `output`.

    Parameters
    ----------
    template
        Notebook without outputs, with one cell tagged `parameters`.
    output
        Where the executed notebook appears once all cells have run.
    parameters
        Values for some or all of its parameters.
    origin
        Origin of the results: decides the heading over them.
    seal
        Of the results it shows; the book takes no notebook of other results.
    failed
        Where to keep the notebook if a cell fails; next to `output` if not given.
    timeout
        Seconds a cell may take.

    Raises
    ------
    ParameterError
        On an unknown parameter or a wrong type.
    NotebookError
        If a cell fails or takes too long; names the cell and the error.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    check_parameters(template, parameters)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.stem}.{os.getpid()}.tmp.ipynb")
    keep = failed or output.with_name(f"{output.stem}.failed.ipynb")
    try:
        with _kernel_options() as kernel:
            papermill.execute_notebook(
                str(template),
                str(temporary),
                dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                log_output=False,
                execution_timeout=timeout,
                cwd=str(template.parent),
                **kernel,
            )
        notebook = nbformat.read(temporary, as_version=4)
        prepare(notebook, name=template.stem, origin=origin, seal=seal)
        nbformat.write(notebook, temporary)
        os.replace(temporary, output)
    except papermill.PapermillExecutionError as error:
        _keep(temporary, keep)
        raise NotebookError(
            f"{template.name}, cell {error.cell_index}: {error.ename}: {error.evalue} "
            f"(the notebook as far as it ran: {_shown(keep)})"
        ) from None
    except (CellTimeoutError, DeadKernelError) as error:
        _keep(temporary, keep)
        what = "took too long" if isinstance(error, CellTimeoutError) else "lost its kernel"
        raise NotebookError(
            f"{template.name}: a cell {what} (limit {timeout} s; "
            f"the notebook as far as it ran: {_shown(keep)})"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    keep.unlink(missing_ok=True)
    return output


def _keep(temporary: Path, keep: Path) -> None:
    if temporary.exists():
        keep.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, keep)


def _shown(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.parent.name}/{path.name}"


def download_name(chapter: str, kind: str, origin: str) -> str:
    """File name of a chapter's notebook or results: says that they are made up where they are."""
    return f"{'made-up-' if origin == 'synthetic' else ''}{chapter}.{kind}"


def _take_away(chapter: str, origin: str) -> str:
    """Links that only the book has; as HTML, because the files lie outside the pages."""
    items = []
    for kind, what in (("ipynb", "This chapter as an executed notebook"), ("json", "All results")):
        file = download_name(chapter, kind, origin)
        href = f"../../downloads/{chapter}/{file}"
        items.append(
            f'<li><a class="sos-download" href="{href}" download="{file}">{what} ({file})</a></li>'
        )
    return "\n\n<ul>" + "".join(items) + "</ul>"


def prepare(notebook: Any, *, name: str, origin: str, seal: str = "") -> Any:
    """Make an executed notebook ready for the book, in place.

    Hides the parameter cells and all code on the page (the download keeps them), puts the
    heading that fits the origin, adds links to what can be taken away, and takes out what
    differs from run to run.
    """
    for number, cell in enumerate(notebook.cells):
        tags = list(cell.metadata.get("tags", []))
        if _NOT_SHOWN & set(tags) and "remove-cell" not in tags:
            tags.append("remove-cell")
        for key in _CELL_NOISE:
            cell.metadata.pop(key, None)
        cell.metadata.pop("tags", None)
        if tags:
            cell.metadata["tags"] = tags
        if "injected-parameters" in tags:
            cell["id"] = "injected-parameters"
        if not cell.get("id"):
            cell["id"] = f"cell-{number}"
        if cell.cell_type == "markdown" and cell.source.startswith("## Downloads"):
            cell.source += _take_away(name, origin)
        if cell.cell_type == "markdown" and origin == "restricted":
            cell.source = re.sub(
                rf"^(#+ ){re.escape(WORKED_EXAMPLE)}$",
                rf"\g<1>{RESTRICTED_RESULTS}",
                cell.source,
                flags=re.MULTILINE,
            )
    notebook.metadata = type(notebook.metadata)(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            "mystnb": {"remove_code_source": True},
            "sos": {"chapter": name, "origin": origin, "seal": seal},
        }
    )
    return notebook
