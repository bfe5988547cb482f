"""The results bundle: every number the book shows is a `Claim`; a chapter's are a `ChapterResult`.

Pieces that hold numbers from safe objects carry `data-table`, `data-figure` or `data-check`.
"""

from __future__ import annotations

from sos_analysis.results.bundle import Bundle, bundle, load_bundle
from sos_analysis.results.chapter import ChapterResult
from sos_analysis.results.claims import FINGERPRINTS, Claim, code_hash, content_hash

__all__ = [
    "FINGERPRINTS",
    "Bundle",
    "ChapterResult",
    "Claim",
    "bundle",
    "code_hash",
    "content_hash",
    "load_bundle",
]
