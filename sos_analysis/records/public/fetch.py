"""Download the public files of a release, each checked against its SHA-256."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sos_analysis.errors import RecordsError
from sos_analysis.records.public.sources import SOURCES, PublicFile, PublicSources, public_sources
from sos_analysis.sources import file_hash

Progress = Callable[[str], None]


class _Steps:
    """What pooch calls a progress bar: turns bytes into a line at each tenth."""

    def __init__(self, name: str, say: Progress) -> None:
        self.name, self.say, self.total, self.done, self.shown = name, say, 0, 0, 0

    def update(self, size: int) -> None:
        self.done += size
        tenth = min(10, 10 * self.done // self.total) if self.total else 0
        if tenth > self.shown:
            self.shown = tenth
            self.say(f"{self.name}: {10 * tenth}% of {self.total / 1024:.0f} KiB")

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.shown = 0


def fetch_public(
    dest: Path,
    progress: Progress | None = None,
    *,
    release: str = "",
    host: str | None = None,
    retries: int = 3,
    timeout: float = 30.0,
    sources: PublicSources | None = None,
) -> Path:
    """Download the public files into `dest`, each checked against its SHA-256.

    A file already there with the right hash is not fetched again. Each download goes to a
    temporary name and takes its own only when its hash is right, so a failure leaves whatever
    was there before.

    Parameters
    ----------
    dest
        Folder; made if it is not there.
    progress
        Called with a line of text now and then.
    release
        Name of a release in the sources file (empty: its default one), or the path of a file like
        it, whose default release is taken.
    host
        Another host in place of the pinned one, such as a mirror (``http://127.0.0.1:8000``);
        paths below it stay the same.
    retries
        How often to try again after a failure, waiting one second more each time.
    timeout
        Seconds to wait for the server.

    Returns
    -------
    Path
        `dest`.

    Raises
    ------
    RecordsError
        If a file cannot be had or its hash is wrong; the message says what to do instead.
    """
    import pooch
    import requests

    say: Progress = progress or (lambda line: None)
    found = sources or _release(release)
    dest = Path(dest)
    pooch.get_logger().setLevel("WARNING")
    for file in found.pinned:
        if not file.fetch:
            say(f"{file.name}: not published as such, so not fetched; released results stand in")
            continue
        url = file.url if host is None else host.rstrip("/") + "/" + file.url.split("/", 3)[3]
        target = dest / file.name
        if target.is_file() and file_hash(target) == file.sha256:
            say(f"{file.name}: there already")
            continue
        say(f"{file.name}: fetching from {url}")
        try:
            pooch.create(
                path=dest,
                base_url="",
                registry={file.name: f"sha256:{file.sha256}"},
                urls={file.name: url},
                retry_if_failed=retries,
            ).fetch(
                file.name,
                downloader=pooch.HTTPDownloader(
                    progressbar=_Steps(file.name, say), timeout=timeout
                ),
            )
        except (requests.RequestException, ValueError, OSError) as cause:
            raise RecordsError(_why_not_fetched(file, url, dest, cause)) from cause
        say(f"{file.name}: fetched, SHA-256 as expected")
    return dest


def _release(release: str) -> PublicSources:
    if release.endswith(".toml"):
        return public_sources(Path(release))
    return public_sources(SOURCES, release)


def _why_not_fetched(file: PublicFile, url: str, dest: Path, cause: Exception) -> str:
    import requests

    if isinstance(cause, requests.HTTPError) and cause.response is not None:
        reason = f"the server answered {cause.response.status_code}"
    elif isinstance(cause, requests.exceptions.ChunkedEncodingError):
        reason = "the download broke off before its end"
    elif isinstance(cause, requests.RequestException):
        reason = f"no answer from the server ({type(cause).__name__})"
    elif isinstance(cause, ValueError):
        reason = f"its content is not the pinned one (SHA-256 should be {file.sha256})"
    else:
        reason = f"{type(cause).__name__}: {cause}"
    return (
        f"{file.name}: not fetched from {url}: {reason}. Files already in {dest} are as they were. "
        "Try again when the network is there, or download the file by hand and name its folder "
        "with --public-data DIR; without either the report shows its released results."
    )
