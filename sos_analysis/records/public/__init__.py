"""Public statistics about English authorities: fetched at pinned commits, read by column name.

They are Crown copyright under the Open Government Licence v3 and are never kept in this
repository; `data/programme/public_sources.toml` says which file, from where, with which SHA-256.
"""

from sos_analysis.records.public.derived import (
    read_lait,
    read_neighbours,
    read_ratings,
    read_reports,
)
from sos_analysis.records.public.fetch import fetch_public
from sos_analysis.records.public.places import AbsentError, Located, find_file, locate
from sos_analysis.records.public.reading import LEVELS, PLACE, Statistics, read_statistics
from sos_analysis.records.public.released import RELEASED, read_released, release_public
from sos_analysis.records.public.sources import (
    POPULATION,
    SOURCES,
    Boundary,
    PublicFile,
    PublicOutcome,
    PublicSources,
    public_sources,
)

__all__ = [
    "LEVELS",
    "PLACE",
    "POPULATION",
    "RELEASED",
    "SOURCES",
    "AbsentError",
    "Boundary",
    "Located",
    "PublicFile",
    "PublicOutcome",
    "PublicSources",
    "Statistics",
    "fetch_public",
    "find_file",
    "locate",
    "public_sources",
    "read_lait",
    "read_neighbours",
    "read_ratings",
    "read_released",
    "read_reports",
    "read_statistics",
    "release_public",
]
