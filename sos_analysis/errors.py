"""Errors that name what is wrong, where, and the remedy."""

from __future__ import annotations


class SosError(ValueError):
    """Base of every error the package raises on bad input."""


class StudyError(SosError):
    """A key of a study file is missing, unknown or has a value that is not allowed."""


class RecordsError(SosError):
    """A file of records lacks a column, holds a wrong code or cannot be read."""


class ParameterError(SosError):
    """A chapter was called with an unknown parameter or a value of the wrong type."""


class DisclosureError(SosError):
    """A table or figure would break a disclosure rule, or did not pass through the guard."""


class ClaimError(SosError):
    """A page names a number that no result holds, or a result names a number twice."""


def refused_by_system(error: OSError) -> str:
    """What the system refused, in a line."""
    file = error.filename2 or error.filename
    where = "the disk" if file is None else str(file)
    return (
        f"{where}: cannot be read or written ({error.strerror or error}). Check that it is there, "
        "that you may, and that the disk is not full; what was finished before is as it was."
    )
