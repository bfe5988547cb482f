"""What reading each file brought up, as problems with their place: counted, never passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sos_analysis.records.files.staging import Told, Wrong
from sos_analysis.records.files.text import TextFile
from sos_analysis.records.forms import Found, Source
from sos_analysis.records.returns.ssda903_layout import NEEDED
from sos_analysis.records.tables import Problem

#: How dates are written in each form; in an extract any one form will do.
EXPECTED = {"cin census": "iso", "ssda903": "day first"}
#: Dates without which a row is no row.
ESSENTIAL = ("referral_date", "start_date", "episode_start")


@dataclass
class Read:
    """One source that was read, and what its reading found.

    Attributes
    ----------
    source : the file or table. told : kind of row -> what staging found.
    unit : what `rows` and places count: 'row' or 'child'.
    rows : in the file; none where it was not counted.
    odd : our name -> column found by prefix, suffix or mapping.
    repeated : element -> times it stood again. orphans : groups outside where they belong.
    years : census years; authorities : codes stated or taken.
    """

    source: Source
    told: Mapping[str, Told]
    unit: str = "row"
    rows: int | None = None
    odd: Mapping[str, str] = field(default_factory=dict)
    repeated: Mapping[str, int] = field(default_factory=dict)
    orphans: int = 0
    years: set[int] = field(default_factory=set)
    authorities: set[str] = field(default_factory=set)

    @property
    def text(self) -> TextFile | None:
        """What reading a CSV file found."""
        return self.source.text


def notes_of(reads: Sequence[Read], found: Found, wanted: tuple[str, ...] | None) -> list[Problem]:
    """Problems of reading, those of one kind put together over files."""
    made: dict[tuple[str, str, str, str], Problem] = {}
    for read in reads:
        for problem in (*_dates(read, wanted), *_text(read), *_elements(read), *_columns(read)):
            key = (problem.severity, problem.table, problem.field, problem.message)
            if key in made:
                first = made[key]
                count = first.count + problem.count
                made[key] = Problem(*key, count, *_rest(first))
            else:
                made[key] = problem
    return [*made.values(), *_whole(reads, found)]


def _rest(first: Problem) -> tuple[str, str, str, str]:
    return first.remedy, first.file, first.place, first.sample


def _dates(read: Read, wanted: tuple[str, ...] | None) -> Iterator[Problem]:
    shown = read.source.shown
    for kind, told in read.told.items():
        for notes, severity, message, remedy in (
            (told.faults, "", "is no date", "taken as not stated"),
            (told.keys, "warning", "was written as a decimal", "read without its decimals"),
        ):
            for name in dict.fromkeys(name for name, _ in notes):
                mine = [
                    wrong
                    for (field_, la), wrong in notes.items()
                    if field_ == name and (wanted is None or la in wanted)
                ]
                if mine:
                    how = severity or ("error" if name in ESSENTIAL else "warning")
                    yield _found(how, kind, name, message, remedy, mine, read)
        usual = EXPECTED.get(read.source.form)
        for name, forms in told.forms.items():
            main = usual or max(forms, key=lambda f: forms[f], default="")
            other = sum(n for form, n in forms.items() if form != main)
            if other:
                message = f"is not written {main or 'alike'} as the rest"
                yield Problem("info", kind, name, message, other, "read all the same", shown)
            if told.short_years.get(name):
                yield Problem(
                    "warning",
                    kind,
                    name,
                    "has a year of two figures",
                    told.short_years[name],
                    "70 to 99 read as 1970 to 1999, the rest as 2000 to 2069; check",
                    shown,
                )


def _found(
    severity: str,
    kind: str,
    name: str,
    message: str,
    remedy: str,
    wrongs: Sequence[Wrong],
    read: Read,
) -> Problem:
    first = min(wrongs, key=lambda w: w.row)
    return Problem(
        severity,  # type: ignore[arg-type]
        kind,
        name,
        message,
        sum(w.count for w in wrongs),
        remedy,
        read.source.shown,
        f"{read.unit} {first.row}",
        first.masked,
    )


def _text(read: Read) -> Iterator[Problem]:
    text, shown = read.text, read.source.shown
    if text is None:
        return
    if text.ragged:
        yield Problem(
            "error",
            read.source.kind,
            "",
            "row has more or fewer fields than the header",
            text.ragged,
            "left out; export the file again",
            shown,
            f"row {text.first_ragged}",
        )
    if text.guessed:
        yield Problem(
            "warning",
            read.source.kind,
            "",
            "file is not in UTF-8",
            1,
            f"read as {text.encoding}; save it in UTF-8 if names of columns look wrong",
            shown,
        )
    if text.unended:
        yield Problem(
            "info",
            read.source.kind,
            "",
            "file's last line has no end",
            1,
            "read all the same; check that it was not cut short",
            shown,
        )


def _elements(read: Read) -> Iterator[Problem]:
    shown, kind = read.source.shown, read.source.form
    for name, count in read.repeated.items():
        yield Problem(
            "warning",
            kind,
            name,
            "stands more than once, with another value, where it may stand once",
            count,
            "the first was used",
            shown,
        )
    if read.orphans:
        yield Problem(
            "error",
            kind,
            "",
            "group stands outside the group it belongs in",
            read.orphans,
            "left out; export the file again",
            shown,
        )


def _columns(read: Read) -> Iterator[Problem]:
    for name, column in read.odd.items():
        yield Problem(
            "info",
            read.source.kind,
            name,
            f"was read from column {column!r}",
            1,
            "by the mapping file, a prefix or the year as suffix",
            read.source.shown,
        )


def _whole(reads: Sequence[Read], found: Found) -> Iterator[Problem]:
    twice: dict[tuple[str, int], list[str]] = {}
    for read in reads:
        for la in read.authorities:
            for year in read.years:
                twice.setdefault((la, year), []).append(read.source.shown)
    for (la, year), files in twice.items():
        if len(files) > 1:
            message = f"the census of {year} of authority {la} is there more than once"
            remedy = (
                "referrals that stand in both count once; check that one does not replace another"
            )
            yield Problem("warning", "cin census", "", message, len(files), remedy, files[0])
    csv = {read.source.kind for read in reads if read.source.form == "ssda903" and read.text}
    for name in NEEDED:
        if csv and name not in csv and not found.of("ssda903", "xml"):
            severity = "error" if name == "Episodes" else "warning"
            what = "no care can be read" if name == "Episodes" else "age, sex and ethnicity missing"
            yield Problem(severity, "ssda903", "", f"there is no {name} file", 1, what)  # type: ignore[arg-type]
    for shown, why in found.unread:
        yield Problem("info", "files", "", f"not read: {why}", 1, "nothing to do, if meant", shown)
