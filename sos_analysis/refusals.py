"""What the operating system refuses, in words."""

from __future__ import annotations


def refused_by_system(error: OSError) -> str:
    """What the system refused, in a line."""
    file = error.filename2 or error.filename
    where = "the disk" if file is None else str(file)
    return (
        f"{where}: cannot be read or written ({error.strerror or error}). Check that it is there, "
        "that you may, and that the disk is not full; what was finished before is as it was."
    )
