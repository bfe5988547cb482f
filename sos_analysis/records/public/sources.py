"""Which public statistics there are: tables and their layouts, releases, and the outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sos_analysis.errors import RecordsError
from sos_analysis.sources import ROOT
from sos_analysis.study.reading import Frozen, Section, listed, nearest, parse

SOURCES = ROOT / "data" / "programme" / "public_sources.toml"
#: Published statistics in the layout of Explore Education Statistics, sets of statistical
#: neighbours, an excerpt of DfE's interactive tool, and counts of words in Ofsted reports.
KINDS = ("statistics", "neighbours", "excerpt", "reports")
#: In place of a table's column: children aged 0 to 17 in the middle of the year before.
POPULATION = "population"


@dataclass(frozen=True)
class Layout:
    """Another set of column names: where all of `when` are there, `names` are what they mean."""

    when: tuple[str, ...]
    names: Mapping[str, str]


@dataclass(frozen=True)
class PublicFile:
    """One published file: where it lies, its hash, and the columns it may have.

    ``keep`` says which rows are kept: those whose column has one of the labels. ``breakdowns``
    are columns of text that tell rows of one place and year apart, ``labels`` newer words for
    their older ones. ``url`` and ``sha256`` are empty where the file is in no pinned release;
    ``fetch`` is False for a file that is derived rather than published, so cannot be fetched.
    """

    id: str
    kind: str
    name: str
    pattern: str
    about: str
    repository: str = ""
    commit: str = ""
    path: str = ""
    url: str = ""
    sha256: str = ""
    fetch: bool = False
    indicators: tuple[str, ...] = ()
    breakdowns: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    keep: Mapping[str, tuple[str, ...]] = Frozen()
    labels: Mapping[str, str] = Frozen()
    layouts: tuple[Layout, ...] = ()


@dataclass(frozen=True)
class PublicOutcome:
    """A figure of an authority in a year.

    ``published`` (table.column) is taken as it stands; where it is empty, or authorities are
    joined, the figure is ``per`` x numerator / denominator. ``weight`` is the denominator of the
    estimate that counts authorities by size. ``unit`` and ``of`` are words: per 100 referrals.
    ``good`` is the wanted direction, or None. ``minimum_important_difference`` is in ``unit``.
    """

    id: str
    short: str
    published: str
    numerators: tuple[str, ...]
    denominator: str
    weight: str
    per: float
    unit: str
    of: str
    label: str
    short_label: str
    spoken: str
    good: str | None
    minimum_important_difference: float
    mid_reason: str

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that the figure and its weight are taken from."""
        columns = (self.published, *self.numerators, self.denominator, self.weight)
        return tuple(dict.fromkeys(c.partition(".")[0] for c in columns if c))


@dataclass(frozen=True)
class Boundary:
    """Authorities that were divided or joined, as one place through all years."""

    id: str
    name: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class PublicSources:
    """Tables of one release and all outcomes, with the attribution their licence asks for."""

    publisher: str
    publication: str
    attribution: str
    release: str
    files: tuple[PublicFile, ...]
    outcomes: tuple[PublicOutcome, ...]
    boundaries: tuple[Boundary, ...]

    @property
    def pinned(self) -> tuple[PublicFile, ...]:
        """Files of the release, in its order."""
        return tuple(f for f in self.files if f.sha256)

    def file(self, id: str) -> PublicFile:
        """The file of that table."""
        found: PublicFile = _named(id, {f.id: f for f in self.files}, "public table")
        return found

    def outcome(self, id: str) -> PublicOutcome:
        """The outcome of that id, or of that short name.

        Raises
        ------
        RecordsError
            If there is none; the message lists those there are.
        """
        for outcome in self.outcomes:
            if id in (outcome.id, outcome.short):
                return outcome
        found: PublicOutcome = _named(id, {o.id: o for o in self.outcomes}, "public outcome")
        return found


def _named(id: str, known: Mapping[str, Any], what: str) -> Any:
    if id not in known:
        raise RecordsError(f"no {what} {id!r}; known: {listed(known)}.{nearest(id, known)}")
    return known[id]


def public_sources(path: Path = SOURCES, release: str = "") -> PublicSources:
    """Read the sources file: every key checked, unknown ones refused with the nearest known name.

    Parameters
    ----------
    path
        The project's own file, or one like it.
    release
        Name of one of its releases; empty for its default one.

    Raises
    ------
    RecordsError
        If the file is wrong, or has no such release.
    """
    path = Path(path)
    keys = ("source", "tables", "releases", "outcomes", "boundaries")
    top = Section(parse(path, RecordsError), "", keys, file=path.name, error=RecordsError)
    fields = ("publisher", "publication", "attribution", "host", "default_release")
    source = top.section("source", fields)
    tables = top.sections(
        "tables",
        ("id", "kind", "pattern", "about", *_LISTS, "keep", "labels", "layouts"),
        _table,
    )
    known = {t.id: t for t in tables}
    host = source.text("host")
    releases = dict(top.sections("releases", ("name", "files"), lambda s: _release(s, known, host)))
    wanted = release or source.text("default_release", list(releases))
    pinned = {f.id: f for f in _named(wanted, releases, f"release in {path.name}")}
    return PublicSources(
        publisher=source.text("publisher"),
        publication=source.text("publication"),
        attribution=source.text("attribution"),
        release=wanted,
        files=tuple(pinned.get(t.id, t) for t in tables),
        outcomes=top.sections("outcomes", _OUTCOME, lambda s: _outcome(s, known)),
        boundaries=top.sections("boundaries", ("id", "name", "codes"), _boundary),
    )


_LISTS = ("indicators", "breakdowns", "ignored")


def _table(section: Section) -> PublicFile:
    kind = section.text("kind", KINDS)
    statistics = kind == "statistics"
    indicators, breakdowns, ignored = (section.texts(k) if statistics else () for k in _LISTS)
    layouts: tuple[Layout, ...] = ()
    if "layouts" in section.data:
        layouts = section.sections(
            "layouts", ("when", "names"), lambda s: Layout(s.texts("when"), _texts(s, "names"))
        )
    keep = {}
    if statistics:
        raw = section.raw("keep", "a table of lists of texts (it may be empty)")
        names = section.section("keep", list(raw))
        keep = {name: names.texts(name) for name in raw}
    return PublicFile(
        id=section.text("id"),
        kind=kind,
        name=section.text("pattern"),
        pattern=section.text("pattern"),
        about=section.text("about"),
        indicators=indicators,
        breakdowns=breakdowns,
        ignored=ignored,
        keep=Frozen(keep),
        labels=_texts(section, "labels") if "labels" in section.data else Frozen(),
        layouts=layouts,
    )


def _release(
    section: Section, tables: Mapping[str, PublicFile], host: str
) -> tuple[str, tuple[PublicFile, ...]]:
    def one_file(s: Section) -> PublicFile:
        repository, commit, path = (s.text(k) for k in ("repository", "commit", "path"))
        return replace(
            tables[s.text("table", list(tables))],
            name=s.text("name"),
            repository=repository,
            commit=commit,
            path=path,
            url=f"{host}/{repository}/{commit}/{path}",
            sha256=s.text("sha256"),
            fetch=s.flag("fetch"),
        )

    keys = ("table", "name", "repository", "commit", "path", "sha256", "fetch")
    return section.text("name"), section.sections("files", keys, one_file)


_OUTCOME = (
    *("id", "short", "published", "numerators", "denominator", "weight", "per", "unit", "of"),
    *("label", "short_label", "spoken", "good", "minimum_important_difference", "mid_reason"),
)


def _outcome(section: Section, tables: Mapping[str, PublicFile]) -> PublicOutcome:
    def column(key: str, value: object) -> str:
        table = str(value).partition(".")[0]
        if value and table not in tables:
            section.refuse(key, value, f"a table and a column; the tables are {listed(tables)}")
        return str(value)

    def optional(key: str) -> str:
        value = section.raw(key, "a text (it may be empty)")
        if not isinstance(value, str):
            section.refuse(key, value, "a text (it may be empty)")
        return str(value)

    good = optional("good")
    if good not in ("", "down", "up"):
        section.refuse("good", good, "'down', 'up' or nothing")
    per = section.number("per", 1, 100_000)
    return PublicOutcome(
        id=section.text("id"),
        short=section.text("short"),
        published=column("published", optional("published")),
        numerators=tuple(column("numerators", n) for n in section.texts("numerators")),
        denominator=column("denominator", optional("denominator")),
        weight=column("weight", section.text("weight")),
        per=per,
        unit=section.text("unit"),
        of=section.text("of"),
        label=section.text("label"),
        short_label=section.text("short_label"),
        spoken=section.text("spoken"),
        good=good or None,
        minimum_important_difference=section.number(
            "minimum_important_difference", 0, per, open_low=True
        ),
        mid_reason=section.text("mid_reason"),
    )


def _boundary(section: Section) -> Boundary:
    return Boundary(section.text("id"), section.text("name"), section.texts("codes"))


def _texts(section: Section, key: str) -> Frozen[str, str]:
    value = section.raw(key, "a table of texts (it may be empty)")
    if not isinstance(value, dict) or any(not isinstance(v, str) for v in value.values()):
        section.refuse(key, value, "a table of texts")
    return Frozen(value)
