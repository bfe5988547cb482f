"""The book's one Sphinx extension.

- Numbers, exhibits and what pages rest on are in `numbers`.
- ``{plan}`` writes out the plan and what became of it.
- ``{changed-claims}`` lists the claims that differ from the release before.
- ``{edition}`` holds words for one edition alone: made-up worked examples, or restricted records.
- Every page gets a banner that says whether its numbers are real.
- Formulas become MathML: no script, no font, no network.
- ``{explore}`` is the page on which readers choose; ``{takeaway}`` and ``{howtocite}`` list what
  can be taken away, and how to cite it.
- The theme is mended where it would shut readers out; start page, page for lost readers, site map
  and descriptions for machines are written.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_book import (
    assets,
    beside,
    explore,
    formulas,
    head,
    history,
    numbers,
    pages,
    prose,
    prose_tables,
    readers,
    takeaway,
)

if TYPE_CHECKING:
    from sphinx.application import Sphinx


#: Each registers what it gives.
PARTS = (
    *(numbers, prose, history, explore, takeaway),
    *(formulas, prose_tables, readers, pages, head, assets, beside),
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    # Jupyter Book sets this for an extension that this book leaves out.
    app.add_config_value("comments_config", {}, "env")
    for part in PARTS:
        part.setup(app)
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return {
        "version": "1",
        # A change of these files makes Sphinx read every page again.
        "env_version": int(digest.hexdigest()[:7], 16),
        "parallel_read_safe": False,
        "parallel_write_safe": True,
    }
