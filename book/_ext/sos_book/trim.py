"""Style rules that no page can use are left out: the theme's are 400 kB, most of it for nobody.

A rule goes when each of its selectors names a class or an id that occurs in no page and no script
of the site. A script that sets a class holds its name as text, so such rules stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tinycss2

_WORD = re.compile(r"[A-Za-z_][\w-]*")
#: Rules that hold rules.
_NESTED = frozenset({"media", "supports", "container", "layer"})


def words_of(files: Iterable[Path]) -> frozenset[str]:
    """Every word of the files: any class or id that they can name is among them."""
    found: set[str] = set()
    for path in files:
        found.update(_WORD.findall(path.read_text("utf-8")))
    return frozenset(found)


def trim(css: str, words: frozenset[str]) -> str:
    """Style sheet without rules for classes and ids beyond `words`, and without web fonts.

    Parameters
    ----------
    css : str
        Any style sheet; what is kept means the same as before.
    words : frozenset of str
        As `words_of` gives them.
    """
    return "".join(_kept(tinycss2.parse_stylesheet(css, True, True), words))


def _kept(rules: Iterable[Any], words: frozenset[str]) -> list[str]:
    made = []
    for rule in rules:
        if rule.type == "qualified-rule":
            choices = [s for s in _selectors(rule.prelude) if _usable(s, words)]
            if choices:
                body = tinycss2.serialize(rule.content).strip()
                made.append(f"{','.join(tinycss2.serialize(s).strip() for s in choices)}{{{body}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in _NESTED and rule.content:
            inner = "".join(_kept(tinycss2.parse_rule_list(rule.content, True, True), words))
            if inner:
                head = tinycss2.serialize(rule.prelude).strip()
                made.append(f"@{rule.at_keyword} {head}{{{inner}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword == "font-face":
            continue  # the icons are drawn by our own style sheet
        else:
            made.append(rule.serialize())
    return made


def _selectors(prelude: list[Any]) -> list[list[Any]]:
    """The comma-separated selectors of a rule."""
    parts: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _usable(selector: list[Any], words: frozenset[str]) -> bool:
    """Whether a page or a script names every class and id outside brackets.

    What stands in brackets (`:not(…)`, `:is(…)`, `[…]`) need not be there for a match.
    """
    dot = False
    for token in selector:
        named = token.type == "hash" or (token.type == "ident" and dot)
        if named and token.value not in words:
            return False
        dot = token.type == "literal" and token.value == "."
    return True
