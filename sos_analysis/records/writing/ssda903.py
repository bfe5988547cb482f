"""Write a made-up authority's SSDA903 return of one year: CSV files and XML.

What is in a return: episodes of care open at some time in the year, as known at its end. The rules
among its parts are those the sector's validators check (domain rule: csc-validator-be-903). No
provider number is made up, because each could be a real one: the code for an unknown one stands in
its place. The validators look postcodes up in a list of real ones, so all homes and placements have
those of two public buildings, where nobody lives.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TextIO
from xml.sax.saxutils import escape

import numpy as np

from sos_analysis.records.returns import ssda903_layout as layout
from sos_analysis.records.synthetic_care import (
    GUARDIANSHIP_CHANGE,
    LEGAL,
    PLACEMENT_CHANGE,
    PLACEMENTS,
    REASONS,
    STARTS,
    Episodes,
)
from sos_analysis.records.synthetic_days import year_end
from sos_analysis.records.synthetic_facts import NEEDS, NOT_FOR_CARE
from sos_analysis.records.writing.history import History, anniversary_day, as_date

#: Files written, in this order.
FILES = ("Header", "Episodes", "UASC", "OC2")
Rows = dict[str, list[dict[str, str]]]

# Codes as they are after a change of list. A period of care still open at the change has the new
# codes in all its returns, so that copies of an episode agree.
_NEW_PLACES = {"Q1": "U3", "Q2": "U6", "F1": "U3", "F4": "U3"}
_NEW_REASONS = {"E43": "E45", "E44": "E47", "E4": "E4A"}
# Who provides a kind of placement (ours): parents, the authority, private, other public.
_PROVIDERS = {"P1": "PR0", "K2": "PR4", "K1": "PR4", "H5": "PR4", "R1": "PR4", "R5": "PR3"}
#: Postcodes of the Department for Education and of the House of Commons: nobody's home.
HOME, AWAY = "SW1P 3BT", "SW1A 0AA"
UNKNOWN_PROVIDER = "XXXXXXX"
# What placements with a provider number begin with; from the return of 2024 two more.
_REGISTERED = ("A", "U", "K1", "K2", "R3", "S1", "Q")
_REGISTERED_LATER, _LATER = (*_REGISTERED, "H5", "P2"), year_end(2023)
_LETTERS_SINCE = 2025  # sex as M or F
_TEENAGE = 14  # years from which semi-independent living is allowed
# Special guardianship of a former foster carer, where the last placement was no foster home.
_FROM_FOSTER = {"E45": "E47", "E46": "E48"}
_SAME_CARER = {"P": "T", "B": "U"}  # adopted by foster carers: the carer does not change
_MOVES = ("P", "T", "B", "U")


def return_rows(history: History, year: int) -> Rows:
    """Rows of each file of a year's return, as text under the return's own column names.

    Parameters
    ----------
    history : the made-up authority.
    year : of the return (by its end).
    """
    begins, ends = year_end(year - 1) + 1, year_end(year)
    tables = history.tables
    care, cases, children = tables.care, tables.cases, tables.children
    ids = history.child_id
    rows: Rows = {name: [] for name in FILES}
    seen: set[int] = set()
    for i in np.flatnonzero((care.start <= ends) & (care.end >= begins)):
        if LEGAL[int(care.legal[i])] in layout.SHORT_BREAKS:
            continue  # short breaks are no care order; the return has them apart
        child = int(cases.child[care.case[i]])
        born = int(children.born[child])
        rows["Episodes"].append(_episode(history, int(i), ids[child], born, ends))
        if child in seen:
            continue
        seen.add(child)
        header = {
            "CHILD": ids[child],
            "SEX": ("MF" if year >= _LETTERS_SINCE else "12")[int(not children.male[child])],
            "DOB": _day(born),
            "ETHNIC": tables.ethnicities[int(children.ethnicity[child])],
            "UPN": "UN1" if ends - born < 5 * 366 else "UN5",
            "MOTHER": "" if children.male[child] else "0",
            "MC_DOB": "",
        }
        rows["Header"].append(header)
        if children.asylum[child]:
            adult = _day(anniversary_day(born, 18))
            own = {name: header[name] for name in ("CHILD", "SEX", "DOB")}
            rows["UASC"].append({**own, "DUC": adult})
        if health := _health(history, int(i), ids[child], born, year):
            rows["OC2"].append(health)
    rows["Header"].sort(key=lambda row: row["CHILD"])
    return rows


def _day(day: Any) -> str:
    return as_date(day).strftime(layout.DATE_FORMAT)


def codes_of(history: History, i: int, born: int) -> tuple[str, str, str, str]:
    """Legal status, reason begun, placement and reason ended of an episode, as returned.

    Parameters
    ----------
    i : number of the episode. born : day on which the child was born.
    """
    care = history.tables.care
    legal, begins = LEGAL[int(care.legal[i])], STARTS[int(care.begins[i])]
    place = PLACEMENTS[int(care.placement[i])]
    reason = REASONS[int(care.reason[i])] if care.reason[i] >= 0 else ""
    if legal in layout.SHORT_BREAKS:
        return legal, begins, place, reason
    if care.period_end[i] >= PLACEMENT_CHANGE:
        place = _new_place(history, i, place)
    if place == "H5" and care.start[i] < anniversary_day(born, _TEENAGE):
        place = "K2"
    if place == "P1" and legal == "V2":
        place = "U6"  # nobody is accommodated with their own parents
    if place in ("A3", "A5"):
        begins = _SAME_CARER.get(begins, begins)
    if care.end[i] >= GUARDIANSHIP_CHANGE:
        reason = _NEW_REASONS.get(reason, reason)
    if reason == "E17" and care.end[i] < anniversary_day(born, 18):
        reason = "E5"
    if reason in _FROM_FOSTER and place[0] not in "UQ":
        reason = _FROM_FOSTER[reason]
    return legal, begins, place, reason


def as_returned(history: History) -> Episodes:
    """Episodes of the made-up authority with the codes its returns have, for the NPD extract."""
    care, tables = history.tables.care, history.tables
    begins, places, reasons = (
        np.array(column) for column in (care.begins, care.placement, care.reason)
    )
    for i, case in enumerate(care.case):
        born = int(tables.children.born[tables.cases.child[case]])
        _, began, place, reason = codes_of(history, i, born)
        begins[i], places[i] = STARTS.index(began), PLACEMENTS.index(place)
        reasons[i] = REASONS.index(reason) if reason else -1
    return replace(care, begins=begins, placement=places, reason=reasons)


def _episode(history: History, i: int, child: str, born: int, ends: int) -> dict[str, str]:
    care, facts = history.tables.care, history.tables.facts
    case = int(care.case[i])
    legal, begins, place, reason = codes_of(history, i, born)
    if care.end[i] > ends:
        reason = ""
    follows = i + 1 < len(care.case) and care.case[i + 1] == case
    moved = reason == layout.CONTINUES and follows and STARTS[int(care.begins[i + 1])] in _MOVES
    need = int(facts.need[case])
    registered = _REGISTERED_LATER if ends > _LATER else _REGISTERED
    return {
        "CHILD": child,
        "DECOM": _day(care.start[i]),
        "RNE": begins,
        "LS": legal,
        "CIN": "N1" if need < 0 or need in NOT_FOR_CARE else NEEDS[need],
        "PLACE": place,
        "PLACE_PROVIDER": _PROVIDERS.get(place, "PR1" if place[0] in "UQA" else "PR4"),
        "DEC": _day(care.end[i]) if reason else "",
        "REC": reason,
        "REASON_PLACE_CHANGE": "CARPL" if moved else "",
        # Of a child who came alone there is no home to measure a distance from.
        "HOME_POST": ""
        if history.tables.children.asylum[history.tables.cases.child[case]]
        else HOME,
        "PL_POST": HOME if place == "P1" else AWAY,
        "URN": UNKNOWN_PROVIDER if place.startswith(registered) else "",
    }


def _new_place(history: History, i: int, place: str) -> str:
    """The code after the change of list: that of the same home, where a later episode tells it."""
    if place not in _NEW_PLACES:
        return place
    care = history.tables.care
    for j in range(i + 1, len(care.case)):
        if care.case[j] != care.case[i] or STARTS[int(care.begins[j])] != "L":
            break
        later = PLACEMENTS[int(care.placement[j])]
        if later not in _NEW_PLACES:
            return later
    return _NEW_PLACES[place]


def _health(history: History, i: int, child: str, born: int, year: int) -> dict[str, str] | None:
    """Health and offending, of children looked after for the whole year up to its end."""
    care = history.tables.care
    begins, ends = year_end(year - 1) + 1, year_end(year)
    if care.period_start[i] > begins or care.period_end[i] < ends:
        return None
    age = next(a for a in range(30, -1, -1) if a == 0 or anniversary_day(born, a) <= ends)
    first = next(a for a in range(30, -1, -1) if a == 0 or anniversary_day(born, a) <= begins)
    asked = age >= 4 and first < 17
    score = int(born * 7 + year) % 30
    return {
        "CHILD": child,
        "DOB": _day(born),
        "SDQ_SCORE": str(score) if asked else "",
        "SDQ_REASON": "",
        "CONVICTED": "0" if age >= 10 else "",
        "HEALTH_CHECK": "1" if age < 5 else "",
        "IMMUNISATIONS": "1",
        "TEETH_CHECK": "1",
        "HEALTH_ASSESSMENT": "1",
        "SUBSTANCE_MISUSE": "0",
        "INTERVENTION_RECEIVED": "",
        "INTERVENTION_OFFERED": "",
    }


def write_table(rows: Rows, name: str, out: TextIO) -> None:
    """Write one file of the return as CSV."""
    writer = csv.DictWriter(out, layout.TABLES[name].columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[name])


def write_xml(rows: Rows, note: str, out: TextIO) -> None:
    """Write the whole return as XML, child by child."""
    episodes: dict[str, list[dict[str, str]]] = {}
    for row in rows["Episodes"]:
        episodes.setdefault(row["CHILD"], []).append(row)
    alone = {row["CHILD"]: row["DUC"] for row in rows["UASC"]}
    health = {row["CHILD"]: row for row in rows["OC2"]}
    out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {note} -->\n<{layout.ROOT}>\n')
    for header in rows["Header"]:
        child = header["CHILD"]
        told = {**header, "UASC": "1" if child in alone else "0", "DUC": alone.get(child, "")}
        out.write(f"<{layout.CHILD}><{layout.HEADER}>")
        out.writelines(_tags(told, layout.HEADER_ORDER, layout.HEADER_TAGS))
        if child in alone:
            out.write(f"<DUC>{alone[child]}</DUC>")
        if child in health:
            columns = layout.TABLES["OC2"].columns[2:]
            out.write("<OC2>" + "".join(_tags(health[child], columns, {})) + "</OC2>")
        out.write(f"</{layout.HEADER}>")
        for row in episodes[child]:
            out.write(f"<{layout.EPISODE}>")
            out.writelines(_tags(row, layout.EPISODE_ORDER, layout.EPISODE_TAGS))
            out.write(f"</{layout.EPISODE}>")
        out.write(f"</{layout.CHILD}>\n")
    out.write(f"</{layout.ROOT}>\n")


def _tags(
    row: Mapping[str, str], order: tuple[str, ...], names: Mapping[str, str]
) -> Iterator[str]:
    for tag in order:
        text = row.get(names.get(tag, tag), "")
        yield f"<{tag}>{escape(text)}</{tag}>" if text else f"<{tag}/>"
