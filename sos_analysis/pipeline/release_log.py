"""The log of a release for people: a table for the reviewer, one page for the output checker."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from sos_analysis.disclosure import ORIGINS, SYMBOLS
from sos_analysis.disclosure.safe import inert
from sos_analysis.pipeline.release_judge import Output

Row = dict[str, Any]

_ORDER = {"fail": 0, "review": 1, "pass": 2, "already published": 3}
_MEANING = {
    "fail": "a rule is broken; nothing was released",
    "review": "no rule is broken, but a person must say what the numbers count",
    "pass": "every rule holds",
    "already published": "numbers anyone can read, words, or choices of the design",
}
_COLUMNS = (
    *("name", "kind", "what", "origin", "rule", "status", "reasons", "cells", "suppressed"),
    *("secondary", "actions", "attacked", "command", "file", "sha256"),
)


def row(output: Output, sums: Mapping[str, str]) -> Row:
    """One output as plain data, with the checksum of its file."""
    content = asdict(output)
    content["reasons"], content["actions"] = list(output.reasons), list(output.actions)
    return {**content, "sha256": sums.get(output.file, "")}


def as_csv(rows: Sequence[Row]) -> str:
    """The log as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in _sorted(rows):
        values = [entry[c] for c in _COLUMNS]
        writer.writerow([inert("; ".join(v) if isinstance(v, list) else str(v)) for v in values])
    return text.getvalue()


def as_markdown(rows: Sequence[Row], *, refused: bool = False) -> str:
    """The log as a document: what is asked, then every output."""
    count = Counter(r["status"] for r in rows)
    lines = ["# Release log" if not refused else "# Log of a refused release", ""]
    lines += _head(rows, refused)
    lines += ["", "## How each output was judged", ""]
    lines += [f"- **{s}** ({count[s]}): {_MEANING[s]}." for s in _ORDER if count[s]]
    asked = [r for r in _sorted(rows) if r["status"] in ("fail", "review")]
    if asked:
        lines += ["", "## To look at", ""]
        for r in asked:
            lines += [f"- **{r['status']}** `{r['name']}` ({r['kind']}): {'; '.join(r['reasons'])}"]
    lines += ["", "## Every output", ""]
    for chapter in sorted({r["chapter"] for r in rows}):
        own = [r for r in rows if r["chapter"] == chapter]
        lines += [f"### {chapter}", "", f"Made by `{own[0]['command']}`.", ""]
        lines += [
            "| Output | What it is | Status | Cells | Hidden | Of these to protect others | File |",
            "|---|---|---|---:|---:|---:|---|",
        ]
        for r in own:
            what = f"{r['kind'].capitalize()}. {r['what']}".replace("|", "/")
            mark = f"`{r['file']}` {r['sha256'][:12]}"
            lines += [
                f"| {r['name'].partition('/')[2]} | {what} | {r['status']} | {r['cells']} "
                f"| {r['suppressed']} | {r['secondary']} | {mark} |"
            ]
        why = [r for r in own if r["actions"]]
        if why:
            lines += ["", "Why cells are hidden:", ""]
            lines += [f"- {r['name'].partition('/')[2]}: {'; '.join(r['actions'])}." for r in why]
        rules = sorted({f"- {r['rule']} ({', '.join(_with(own, r['rule']))})." for r in own})
        lines += ["", "Rules, and the outputs they were applied to:", "", *rules, ""]
    return "\n".join(lines).rstrip() + "\n"


def _with(rows: Sequence[Row], rule: str) -> list[str]:
    return [r["name"].partition("/")[2] for r in rows if r["rule"] == rule]


def _head(rows: Sequence[Row], refused: bool) -> list[str]:
    tables = [r for r in rows if r["kind"] == "table" or r["kind"].startswith("chart")]
    hidden, later = sum(r["suppressed"] for r in tables), sum(r["secondary"] for r in tables)
    attacked = sum(r["attacked"] for r in tables)
    models = sum(r["suppressed"] for r in tables if not r["attacked"])
    origins = Counter(ORIGINS[r["origin"]] for r in rows)
    return [
        "Nothing was released: see what failed below."
        if refused
        else f"{len(rows)} outputs: {len(tables)} tables and charts; the others are the numbers "
        "and the sentences of each chapter.",
        f"{sum(r['cells'] for r in tables):,} cells. {hidden:,} of them are hidden as [c]: "
        f"{later:,} so that another cannot be found; {models:,} in tables that show no hidden "
        "count, such as results of models that rest on too little.",
        f"All tables were attacked together: {attacked:,} hidden counts, and differences of a "
        "group and its part, stay as uncertain as the rules ask."
        if attacked
        else "All tables were attacked together: they hide no count.",
        "Where the numbers come from: "
        + "; ".join(f"{name} ({n} outputs)" for name, n in sorted(origins.items()))
        + ".",
    ]


def as_html(rows: Sequence[Row], *, refused: bool = False) -> str:
    """One page for the output checker: works offline, prints, no script."""
    count = Counter(r["status"] for r in rows)
    title = "Refused release" if refused else "Release for output checking"
    summary = "".join(f"<p>{escape(line)}</p>" for line in _head(rows, refused))
    states = "".join(
        f'<tr><th scope="row">{s}</th><td class="n">{count[s]}</td><td>{_MEANING[s]}</td></tr>'
        for s in _ORDER
    )
    asked = [r for r in _sorted(rows) if r["status"] in ("fail", "review")]
    look = "".join(
        f"<li><strong>{r['status']}</strong> {escape(r['name'])} ({escape(r['kind'])}): "
        f"{escape('; '.join(r['reasons']))}</li>"
        for r in asked
    )
    body = "".join(
        "<tr>"
        f'<th scope="row">{_breaks(r["name"])}</th><td>{escape(r["kind"])}</td>'
        f"<td>{escape(r['what'])}</td><td>{escape(ORIGINS[r['origin']])}</td>"
        f"<td>{escape(r['rule'])}</td><td>{r['status']}</td>"
        f'<td class="n">{r["cells"]}</td><td class="n">{r["suppressed"]}</td>'
        f'<td class="n">{r["secondary"]}</td><td>{escape("; ".join(r["actions"]))}</td>'
        f"<td>{_breaks(r['file'])} <code>{r['sha256'][:12]}</code></td></tr>"
        for r in _sorted(rows)
    )
    heads = (
        *("Output", "Kind", "What it is", "Where from", "Rule", "Status", "Cells", "Hidden"),
        *("To protect others", "Why hidden", "File and checksum"),
    )
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    key = "; ".join(f"{s} {words}" for s, words in SYMBOLS.items())
    return f"""<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body{{font:16px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:80rem;padding:0 1rem;
color:#0b0c0c;background:#fff}}
table{{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}}
th,td{{text-align:left;vertical-align:top;border-bottom:1px solid #b1b4b6;padding:.3rem .5rem}}
.n{{text-align:right;font-variant-numeric:tabular-nums}}
.wide{{overflow-x:auto}}
.wide table{{font-size:.85rem}}
.wide td:nth-child(3),.wide td:nth-child(5){{min-width:14rem}}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{summary}
<h2>How the outputs were judged</h2>
<table><thead><tr><th scope="col">Status</th><th scope="col" class="n">Outputs</th>
<th scope="col">Meaning</th></tr></thead><tbody>{states}</tbody></table>
<h2>To look at</h2>
{f"<ul>{look}</ul>" if look else "<p>Nothing.</p>"}
<h2>Every output</h2>
<div class="wide" role="region" aria-label="Every output" tabindex="0">
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
</div>
<p>{escape(key)}.</p>
<p>Not one number here was typed by hand. release.json holds the same with whole checksums, and
the command that makes each output again. What the rules are good for, and what not, is said in
SECURITY.md and docs/disclosure.md of the project.</p>
</main>
</body>
</html>
"""


def _breaks(name: str) -> str:
    """A long name that may break after its parts, so that it leaves room for words."""
    return re.sub(r"([/_-])", r"\1<wbr>", escape(name))


def _sorted(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda r: (_ORDER[r["status"]], r["name"]))
