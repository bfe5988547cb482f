"""Fail if a page of the contents is missing or empty: nothing half is published."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml


def main() -> int:
    """Look for each page below the folder given."""
    site = Path(sys.argv[1])
    toc = yaml.safe_load(Path("_toc.yml").read_text("utf-8"))
    names = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    pages = [site / "index.html", *(site / f"{name}.html" for name in names)]
    bad = [page for page in pages if not page.is_file() or page.stat().st_size < 200]
    for page in bad:
        print(f"missing or empty: {page}", file=sys.stderr)
    print(f"{len(pages) - len(bad)} of {len(pages)} pages are there")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
