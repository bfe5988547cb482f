"""Made-up public files in the layout of the published ones, for tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sos_analysis.records import public

SOURCES = public.public_sources()
REFERRALS = SOURCES.file("referrals")
HEADER = [*public.PLACE, "category", *REFERRALS.indicators]


def line(year: int, code: str, **values: object) -> dict[str, object]:
    """One row for a made-up authority; percentages default to plain numbers."""
    row: dict[str, object] = {
        "time_period": year,
        "time_identifier": "Reporting year",
        "geographic_level": "Local authority",
        "country_code": "E92000001",
        "country_name": "England",
        "region_code": "E12000001",
        "region_name": "Somewhere",
        "old_la_code": code,
        "new_la_code": f"E{code}",
        "la_name": f"Place {code}",
        "category": "Referrals and Re-referrals",
    }
    row |= dict.fromkeys(REFERRALS.indicators, 100)
    return row | values


def write(path: Path, rows: list[dict[str, object]], header: list[str] | None = None) -> Path:
    names = header or list(rows[0])
    body = [",".join(f'"{row.get(name, "")}"' for name in names) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(names), *body]) + "\n", encoding="utf-8")
    return path


def published() -> Path:
    """Folder of the published files; skips, saying why, where they are not."""
    root = Path(__file__).resolve().parents[1]
    named = os.environ.get("SOS_PUBLIC_DATA")
    beside = root.parent / "shared" / "reference-data"
    for folder in (Path(named) if named else None, root / "data" / "public", beside):
        if folder is not None and folder.is_dir():
            return folder
    pytest.skip(
        "the published files are not here; `python -m sos_analysis fetch-public` gets them. The "
        "released results were checked against the same values all the same."
    )
