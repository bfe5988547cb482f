"""Notebooks are thin: parameters, one call, what to show. And they say what the package says."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from sos_analysis.chapters import CHAPTERS
from sos_analysis.errors import ParameterError
from sos_analysis.pipeline.notebooks import (
    NotebookError,
    check_parameters,
    prepare,
    run_notebook,
    template_parameters,
)

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
QUESTIONS = [name for name, spec in CHAPTERS.items() if spec.room == "question"]
SHOW = re.compile(
    r'^result\.(say|table|figure|fold)\("[a-z0-9_]+"\)$|^result\.\w+(_table|_card)\(\)$'
)


@pytest.fixture(params=sorted(CHAPTERS))
def template(request) -> Path:
    return NOTEBOOKS / f"{request.param}.ipynb"


def test_every_chapter_has_a_template_and_every_template_a_chapter():
    assert {p.stem for p in NOTEBOOKS.glob("*.ipynb")} == set(CHAPTERS)


def test_a_template_is_thin(template):
    notebook = nbformat.read(template, as_version=4)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(c.execution_count is None and not c.outputs for c in code), "outputs are committed"
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)
    parameters, call, *shown = code
    assert parameters.metadata.tags == ["parameters"]
    tree = ast.parse(call.source)
    assert len(tree.body) == 2, "one import, one call"
    assert call.source.startswith("from sos_analysis import chapter\n")
    for cell in code:
        assert len([line for line in cell.source.splitlines() if line.strip()]) <= 12, cell.id
    for cell in shown:
        assert SHOW.match(cell.source), f"{cell.id}: {cell.source}"
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert len(re.findall(r"^# ", text, flags=re.MULTILINE)) == 1
    assert not re.search(r"\d", text), "a number typed in a notebook: it belongs in the results"


def test_a_template_declares_the_parameters_of_its_chapter(template):
    spec = CHAPTERS[template.stem]
    declared = template_parameters(template)
    assert list(declared) == list(spec.parameters)
    for name, (kind, default, text) in declared.items():
        wanted = spec.parameters[name]
        assert kind == wanted.type.__name__, name
        assert default == wanted.default, name
        assert type(default) is wanted.type, name
        assert text == wanted.help, name
    call = nbformat.read(template, as_version=4).cells[2].source
    passed = {k.arg: k.value.id for k in ast.parse(call).body[1].value.keywords}
    assert passed == {name: name for name in spec.parameters}
    title = nbformat.read(template, as_version=4).cells[0].source
    assert title == f"# {spec.title}\n\n{spec.question}"


#: Sections that one chapter has besides those all questions share.
OF_ITS_OWN = {
    "addendum_icpc": (
        "### A logit beside the linear model",
        "### How complete the returns are",
        "### The complete part, and what the rest could change",
    )
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_told_in_the_agreed_order(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    headings = [c.source.splitlines()[0] for c in notebook.cells if c.cell_type == "markdown"]
    assert [h for h in headings[1:] if h not in OF_ITS_OWN.get(name, ())] == [
        "## In one minute",
        "## Worked example on made-up data",
        "### Who was counted",
        "### The estimates",
        "### Event study",
        "### Checks",
        "### What this can and cannot rule out",
        "## Caveats specific to this outcome",
        "## For analysts",
        "## Downloads",
    ]


def test_parameters_are_checked(template):
    check_parameters(template, {"draws": 199})
    with pytest.raises(ParameterError, match=r"no parameter 'drawz'; it has: .*draws"):
        check_parameters(template, {"drawz": 199})
    with pytest.raises(ParameterError, match=r"draws must be int, not '199' \(str\)"):
        check_parameters(template, {"draws": "199"})
    with pytest.raises(ParameterError, match="draws must be int, not True"):
        check_parameters(template, {"draws": True})


def _toy(folder: Path, body: str) -> Path:
    """A notebook of the same form with any body."""
    cells = [
        nbformat.v4.new_markdown_cell("# Toy", id="title"),
        nbformat.v4.new_code_cell(
            'word: str = "a"  # what is said',
            id="parameters",
            metadata={"tags": ["parameters"]},
        ),
        nbformat.v4.new_markdown_cell("## Worked example on made-up data", id="heading"),
        nbformat.v4.new_code_cell(body, id="body"),
        nbformat.v4.new_markdown_cell("## Downloads\n\nBeside each.", id="downloads"),
    ]
    path = folder / "toy.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_an_executed_notebook_is_ready_for_the_book_and_the_same_each_time(tmp_path):
    template = _toy(tmp_path, "print(word * 3)")
    first = run_notebook(template, tmp_path / "out" / "toy.ipynb", {"word": "b"})
    made = first.read_bytes()
    second = run_notebook(template, tmp_path / "again" / "toy.ipynb", {"word": "b"})
    assert made == second.read_bytes()
    assert sorted(p.name for p in first.parent.iterdir()) == ["toy.ipynb"]

    notebook = nbformat.read(first, as_version=4)
    tags = {c.id: c.metadata.get("tags", []) for c in notebook.cells}
    assert "remove-cell" in tags["parameters"]
    assert "remove-cell" in tags["injected-parameters"]
    assert notebook.metadata.mystnb.remove_code_source
    assert notebook.cells[4].outputs[0].text == "bbb\n"
    text = json.dumps(notebook)
    assert "papermill" not in text
    assert str(tmp_path) not in text
    assert "made-up-toy.ipynb" in notebook.cells[-1].source


def test_the_heading_over_the_results_follows_their_origin(tmp_path):
    def headings(origin: str) -> list[str]:
        notebook = nbformat.read(_toy(tmp_path, "1"), as_version=4)
        prepare(notebook, name="toy", origin=origin)
        return [c.source for c in notebook.cells if c.cell_type == "markdown"]

    assert headings("synthetic")[1] == "## Worked example on made-up data"
    assert headings("restricted")[1] == "## Results on the restricted records"
    assert "made-up" not in "".join(headings("restricted"))


def test_a_failing_cell_leaves_the_last_good_notebook(tmp_path):
    out, failed = tmp_path / "out" / "toy.ipynb", tmp_path / "failed" / "toy.ipynb"
    run_notebook(_toy(tmp_path, "1 + 1"), out, {}, failed=failed)
    good = out.read_bytes()
    with pytest.raises(NotebookError, match=r"toy\.ipynb, cell 3: ZeroDivisionError"):
        run_notebook(_toy(tmp_path, "1 / 0"), out, {}, failed=failed)
    assert out.read_bytes() == good
    assert "ZeroDivisionError" in failed.read_text("utf-8")
    assert sorted(p.name for p in out.parent.iterdir()) == ["toy.ipynb"]
    with pytest.raises(NotebookError, match=r"took too long \(limit 1 s"):
        run_notebook(
            _toy(tmp_path, "import time; time.sleep(30)"), out, {}, failed=failed, timeout=1
        )
    assert out.read_bytes() == good
    run_notebook(_toy(tmp_path, "1 + 1"), out, {}, failed=failed)
    assert not failed.exists(), "the failure is mended, its notebook goes"


def test_papermill_alone_runs_a_chapter_from_any_folder(tmp_path, root):
    """As an analyst does: no help from the build, other parameters, another working folder."""
    import papermill

    work = tmp_path / "elsewhere"
    work.mkdir()
    template = NOTEBOOKS / "public_statistics.ipynb"
    shutil.copy(template, work)
    out = work / "out.ipynb"
    papermill.execute_notebook(
        str(work / template.name),
        str(out),
        {"draws": 99, "last_year": 2020},
        kernel_name="python3",
        cwd=str(work),
        progress_bar=False,
    )
    text = out.read_text("utf-8")
    assert "sos-figure" in text
    # Papermill itself passes a misspelt name on with a warning.
    for wrong, words in (
        ({"last_year": 1066}, "allowed: "),
        ({"last_yaer": 2020}, "did you mean 'last_year'"),
    ):
        with pytest.raises(papermill.PapermillExecutionError, match=words):
            papermill.execute_notebook(
                str(template),
                str(work / "bad.ipynb"),
                wrong,
                kernel_name="python3",
                cwd=str(work),
                progress_bar=False,
            )
