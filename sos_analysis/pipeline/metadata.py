"""What the downloads are, for machines: data package, RO-Crate, schema.org, schema of the results.

Pure functions from results to JSON-ready content. Addresses are relative unless a base address is
given; nothing is invented for one that is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sos_analysis.disclosure import ORIGINS, SYMBOLS, SafeTable
from sos_analysis.results import ChapterResult

TITLE = "Signs of Safety, evaluated again"
TEXT_LICENCE = {
    "name": "CC-BY-4.0",
    "title": "Creative Commons Attribution 4.0 International",
    "path": "https://creativecommons.org/licenses/by/4.0/",
}
CODE_LICENCE = {"name": "MIT", "title": "MIT License", "path": "https://spdx.org/licenses/MIT"}
MADE_UP = "Made-up data. It says nothing about Signs of Safety. "
#: By the end of a file's name: type for machines, and what a reader gets.
MEDIA = {
    "csv": ("text/csv", "table"),
    "json": ("application/json", "results with every number, interval, origin and hash"),
    "ipynb": ("application/x-ipynb+json", "executed notebook"),
    "pdf": ("application/pdf", "the whole report"),
}


@dataclass(frozen=True)
class Item:
    """One file to take away.

    Attributes
    ----------
    path : address below the folder of downloads.
    title, description : words.
    origin, chapter, chapter_title : of the result it belongs to; '' for a file about all of them.
    kind : end of the file's name.
    bytes, sha256 : of the content.
    table : the guarded table behind a CSV.
    """

    path: str
    title: str
    description: str
    origin: str
    chapter: str
    chapter_title: str
    kind: str
    bytes: int
    sha256: str
    table: SafeTable | None = None


def item(path: str, content: bytes, *, title: str, description: str, result: ChapterResult,
         origin: str = "", table: SafeTable | None = None) -> Item:  # fmt: skip
    """An item from the bytes of its file."""
    origin = origin or result.origin
    lead = MADE_UP if origin == "synthetic" else ""
    return Item(
        path=path,
        title=title,
        description=f"{lead}{description}",
        origin=origin,
        chapter=result.name,
        chapter_title=result.title,
        kind=path.rpartition(".")[2],
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        table=table,
    )


def csv_items(result: ChapterResult) -> list[tuple[Item, str]]:
    """Item and text of each CSV file of a result."""
    shown = {**result.tables, **{k: f.data for k, f in result.figures.items()}}
    made = []
    for (file, text), (key, table) in zip(result.csv_files().items(), shown.items(), strict=True):
        what = "data of the chart" if key in result.figures else "table"
        words = f"{what.capitalize()}. {table.caption}".strip()
        made.append(
            (
                item(
                    file,
                    text.encode(),
                    title=table.title,
                    description=f"{words} Source: {table.source}.",
                    result=result,
                    origin=table.origin,
                    table=table,
                ),
                text,
            )
        )
    return made


# --- Frictionless -----------------------------------------------------------------------------


def data_package(items: Iterable[Item], version: str) -> dict[str, Any]:
    """Frictionless data package: every CSV file with its columns, symbols, hash and origin.

    Source: https://specs.frictionlessdata.io/data-package (version 1).
    """
    return {
        "profile": "data-package",
        "name": "signs-of-safety-evaluated-again",
        "title": TITLE,
        "version": version,
        "description": "Tables and chart data of the report. Each says where its numbers come "
        "from; those that begin with made-up are computed on invented records and are no finding.",
        "licenses": [TEXT_LICENCE],
        "keywords": ["children's social care", "Signs of Safety", "difference-in-differences"],
        "resources": [_resource(one) for one in items if one.table is not None],
    }


def _resource(one: Item) -> dict[str, Any]:
    assert one.table is not None
    fields: list[dict[str, Any]] = [
        {"name": "origin", "type": "string", "description": "Kind of data behind the numbers"},
        {"name": "source", "type": "string"},
    ]
    for column in one.table.columns:
        field = {"name": column.heading, "type": "number" if column.numeric else "string"}
        if column.unit and column.unit != "p":
            field["description"] = f"Unit: {column.unit}"
        fields.append(field)
    return {
        "profile": "tabular-data-resource",
        "name": one.path.rpartition(".")[0].replace("/", ".").replace("_", "-").lower(),
        "path": one.path,
        "title": one.title,
        "description": one.description,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": one.bytes,
        "hash": f"sha256:{one.sha256}",
        "sources": [{"title": one.table.source}],
        "schema": {"fields": fields, "missingValues": ["", *SYMBOLS]},
    }


# --- RO-Crate ---------------------------------------------------------------------------------


def ro_crate(items: Sequence[Item], version: str, made_on: str, base: str = "") -> dict[str, Any]:
    """RO-Crate 1.1 of the downloads.

    Parameters
    ----------
    made_on : ISO date on which the files were made (the specification asks for one).
    base : address of the folder of downloads, '' if it is not known.
    """
    chapters: dict[str, list[Item]] = {}
    for one in items:
        if one.chapter:
            chapters.setdefault(one.chapter, []).append(one)
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{TITLE}: tables, charts, notebooks and results",
        "description": "Everything the report shows, to take away. Files that begin with made-up "
        "are computed on invented records: they show the method and are no finding.",
        "datePublished": made_on,
        "version": version,
        "license": {"@id": TEXT_LICENCE["path"]},
        "hasPart": [
            *({"@id": f"{name}/"} for name in chapters),
            *({"@id": one.path} for one in items if not one.chapter),
        ],
    }
    if base:
        root["url"] = base
    graph: list[dict[str, Any]] = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        root,
        *(_licence(licence) for licence in (TEXT_LICENCE, CODE_LICENCE)),
        {
            "@id": "#software",
            "@type": "SoftwareSourceCode",
            "name": "sos_analysis",
            "version": version,
            "programmingLanguage": "Python",
            "license": {"@id": CODE_LICENCE["path"]},
        },
    ]
    for name, own in chapters.items():
        graph.append(
            {
                "@id": f"{name}/",
                "@type": "Dataset",
                "name": own[0].chapter_title,
                "description": ORIGINS[_most_careful(own)],
                "hasPart": [{"@id": one.path} for one in own],
            }
        )
        graph.append(
            {
                "@id": f"#run-{name}",
                "@type": "CreateAction",
                "name": f"Results of {name}",
                "instrument": {"@id": "#software"},
                "result": [{"@id": one.path} for one in own],
            }
        )
    graph += [
        {
            "@id": one.path,
            "@type": "File",
            "name": one.title,
            "description": one.description,
            "encodingFormat": MEDIA[one.kind][0],
            "contentSize": str(one.bytes),
            "sha256": one.sha256,
            **({"creditText": ORIGINS[one.origin]} if one.origin else {}),
        }
        for one in items
    ]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _most_careful(items: Sequence[Item]) -> str:
    origins = {one.origin for one in items}
    return next(o for o in ("synthetic", "restricted", *ORIGINS) if o in origins)


def _licence(licence: Mapping[str, str]) -> dict[str, Any]:
    return {"@id": licence["path"], "@type": "CreativeWork", "name": licence["title"]}


# --- schema.org -------------------------------------------------------------------------------


def linked_page(
    *, name: str, description: str, kind: str, citation: Mapping[str, Any], address: str = "",
    start: str = "", items: Sequence[Item] = (), downloads: str = "",
) -> dict[str, Any]:  # fmt: skip
    """schema.org description of a page.

    Parameters
    ----------
    kind : 'Report' for the whole, 'ScholarlyArticle' for a chapter, 'Dataset' for downloads.
    citation : content of CITATION.cff.
    address, start : addresses of the page and of the report's start page; '' where not known.
    items : files that belong to it.
    downloads : way or address to the folder of downloads.
    """
    report: dict[str, Any] = {
        "@type": "Report",
        "name": citation["title"],
        "version": str(citation["version"]),
    }
    made: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": kind,
        "name": name,
        "description": description,
        "inLanguage": "en-GB",
        "isAccessibleForFree": True,
        "license": TEXT_LICENCE["path"],
        "version": str(citation["version"]),
        "author": [{"@type": "Organization", "name": a["name"]} for a in citation["authors"]],
        "keywords": list(citation["keywords"]),
    }
    if address:
        made |= {"@id": address, "url": address}
    if start:
        report["@id"] = start
    if kind != "Report":
        made["isPartOf"] = report
    files = [
        {
            "@type": "DataDownload",
            "name": one.title,
            "description": one.description,
            "encodingFormat": MEDIA[one.kind][0],
            "contentSize": f"{one.bytes} B",
            "sha256": one.sha256,
            "contentUrl": f"{downloads}/{one.path}",
        }
        for one in items
    ]
    if kind == "Dataset":
        made["distribution"] = files
    elif files:
        made["hasPart"] = {
            "@type": "Dataset",
            "name": f"Tables and results: {name}",
            "description": description,
            "license": TEXT_LICENCE["path"],
            "distribution": files,
        }
    return made


# --- the results ------------------------------------------------------------------------------


def results_schema() -> dict[str, Any]:
    """JSON Schema of a results file, for readers who do not use this package."""
    text = {"type": "string"}
    number_or_none = {"type": ["number", "null"]}
    mapping = {"type": "object", "additionalProperties": text}
    claim = {
        "type": "object",
        "description": "One number that the report shows, or a published wording.",
        "required": ["id", "value", "unit", "low", "high", "decimals", "origin", "chapter",
                     "source", "level", "note", "hashes"],
        "properties": {
            "id": {"type": "string", "pattern": r"^[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+$"},
            "value": {"type": ["number", "string"], "description": "As shown: already rounded."},
            "unit": text,
            "low": {**number_or_none, "description": "Lower end of the interval."},
            "high": {**number_or_none, "description": "Upper end of the interval."},
            "level": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "decimals": {"type": "integer", "minimum": 0, "maximum": 6},
            "origin": {"$ref": "#/$defs/origin"},
            "chapter": text,
            "source": {"type": "string", "description": "Function or citation behind it."},
            "note": text,
            "hashes": mapping,
        },
        "dependentRequired": {"low": ["high"], "high": ["low"]},
    }  # fmt: skip
    table = {
        "type": "object",
        "required": ["title", "caption", "source", "origin", "columns", "rows", "record", "seal"],
        "properties": {
            **dict.fromkeys(("title", "caption", "source", "seal"), text),
            "origin": {"$ref": "#/$defs/origin"},
            "columns": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["key", "label", "unit", "decimals", "role"],
                    "properties": {"decimals": {"type": "integer"}, "key": text, "label": text},
                },
            },
            "rows": {
                "type": "array",
                "items": {"type": "array", "items": {"type": ["number", "string"]}},
            },
            "record": {"type": "object", "required": ["rule", "status", "suppressed"]},
        },
    }
    figure = {
        "type": "object",
        "required": ["kind", "subtitle", "alt", "data", "options", "seal"],
        "properties": {
            "data": {"$ref": "#/$defs/table"},
            "alt": {"type": "string", "minLength": 1},
        },
    }
    check = {
        "type": "object",
        "required": ["id", "title", "status", "sentence"],
        "properties": {"status": {"enum": ["pass", "fail", "info"]}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results of one chapter of the report",
        "description": f"{TITLE}. 'origin' says whether numbers are real; 'synthetic' is made up.",
        "type": "object",
        "required": ["schema", "version", "name", "title", "origin", "parameters", "claims",
                     "tables", "figures", "checks", "verdict", "prose", "hashes", "notes", "seal"],
        "properties": {
            "schema": {"const": "sos-results"},
            "version": {"const": 1},
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
            "title": text,
            "origin": {"$ref": "#/$defs/origin"},
            "parameters": {"type": "object"},
            "claims": {"type": "object", "additionalProperties": {"$ref": "#/$defs/claim"}},
            "tables": {"type": "object", "additionalProperties": {"$ref": "#/$defs/table"}},
            "figures": {"type": "object", "additionalProperties": {"$ref": "#/$defs/figure"}},
            "checks": {"type": "array", "items": check},
            "verdict": {"type": ["object", "null"]},
            "prose": mapping,
            "hashes": mapping,
            "notes": mapping,
            "seal": text,
        },
        "$defs": {
            "origin": {"enum": list(ORIGINS)},
            "claim": claim,
            "table": table,
            "figure": figure,
        },
    }  # fmt: skip
