"""The SSDA903 return of children looked after: its files, columns, code lists and XML.

Pure data, for readers and writers alike (domain rule: liia-tools-pipeline
`SSDA903_schema_2017.yml` and its later changes; quality-lac-data-validator for names of files).
Dates are day first (`31/03/2019`). The files carry no authority and no year of return: both come
from the folder, the file's name, or the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DATE_FORMAT = "%d/%m/%Y"
#: Files without which no period of care can be built.
NEEDED = ("Header", "Episodes")

Use = Literal["read", "optional", "ignored"]


@dataclass(frozen=True)
class Table:
    """A file of the return.

    Attributes
    ----------
    name : as the sector's validator names it; files are written as `<name>.csv`.
    columns : in the order of the return.
    use : 'read' (needed), 'optional' (read if there), 'ignored' (noted, not read).
    key : columns that tell this file from the others, whatever its name.
    """

    name: str
    columns: tuple[str, ...]
    use: Use
    key: tuple[str, ...]


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(
            "Header",
            ("CHILD", "SEX", "DOB", "ETHNIC", "UPN", "MOTHER", "MC_DOB"),
            "read",
            ("CHILD", "SEX", "DOB", "ETHNIC"),
        ),
        Table(
            "Episodes",
            (
                *("CHILD", "DECOM", "RNE", "LS", "CIN", "PLACE", "PLACE_PROVIDER", "DEC", "REC"),
                *("REASON_PLACE_CHANGE", "HOME_POST", "PL_POST", "URN"),
            ),
            "read",
            ("CHILD", "DECOM", "RNE", "LS"),
        ),
        Table("UASC", ("CHILD", "SEX", "DOB", "DUC"), "optional", ("CHILD", "DUC")),
        Table("Reviews", ("CHILD", "DOB", "REVIEW", "REVIEW_CODE"), "ignored", ("CHILD", "REVIEW")),
        Table(
            "OC2",
            (
                *("CHILD", "DOB", "SDQ_SCORE", "SDQ_REASON", "CONVICTED", "HEALTH_CHECK"),
                *("IMMUNISATIONS", "TEETH_CHECK", "HEALTH_ASSESSMENT", "SUBSTANCE_MISUSE"),
                *("INTERVENTION_RECEIVED", "INTERVENTION_OFFERED"),
            ),
            "ignored",
            ("CHILD", "SDQ_SCORE"),
        ),
        Table("OC3", ("CHILD", "DOB", "IN_TOUCH", "ACTIV", "ACCOM"), "ignored", ("IN_TOUCH",)),
        Table(
            "AD1",
            (
                *("CHILD", "DOB", "DATE_INT", "DATE_MATCH", "FOSTER_CARE", "NB_ADOPTR"),
                *("SEX_ADOPTR", "LS_ADOPTR"),
            ),
            "ignored",
            ("DATE_INT", "DATE_MATCH"),
        ),
        Table(
            "PlacedAdoption",
            ("CHILD", "DOB", "DATE_PLACED", "DATE_PLACED_CEASED", "REASON_PLACED_CEASED"),
            "ignored",
            ("DATE_PLACED",),
        ),
        Table(
            "PrevPerm",
            ("CHILD", "DOB", "PREV_PERM", "LA_PERM", "DATE_PERM"),
            "ignored",
            ("PREV_PERM",),
        ),
        Table(
            "Missing",
            ("CHILD", "DOB", "MISSING", "MIS_START", "MIS_END"),
            "ignored",
            ("MISSING", "MIS_START"),
        ),
        Table(
            "SWEpisodes",
            ("CHILD", "DOB", "SW_ID", "SW_DECOM", "SW_DEC", "SW_REASON"),
            "ignored",
            ("SW_ID", "SW_DECOM"),
        ),
    )
}
#: Columns that hold dates.
DATES = ("DOB", "MC_DOB", "DECOM", "DEC", "DUC")

# --- XML ------------------------------------------------------------------------------------------
ROOT, CHILD, HEADER, EPISODE = "EXPSSDA903", "CHILD", "HEADER", "EPISODE"
#: Tag -> column where they differ.
HEADER_TAGS: Mapping[str, str] = {"CHILDID": "CHILD"}
EPISODE_TAGS: Mapping[str, str] = {"PL": "PLACE"}
#: Order of tags in a header; UASC holds a 1, or a day, if the child came alone to seek asylum.
HEADER_ORDER = ("CHILDID", "UPN", "SEX", "DOB", "ETHNIC", "UASC", "MOTHER", "MC_DOB")
EPISODE_ORDER = (
    *("DECOM", "RNE", "LS", "CIN", "PL", "PL_POST", "HOME_POST", "URN", "PLACE_PROVIDER", "DEC"),
    *("REC", "REASON_PLACE_CHANGE"),
)

# --- codes ----------------------------------------------------------------------------------------
SHORT_BREAKS = ("V3", "V4")
STARTS_CARE = "S"
CONTINUES = "X1"
_PLACES = (
    *("A3", "A4", "A5", "A6", "H5", "K1", "K2", "P1", "P2", "P3", "R1", "R2", "R3", "R5", "S1"),
    *("T0", "T1", "T2", "T3", "T4", "U1", "U2", "U3", "U4", "U5", "U6", "Z1"),
)
#: Until 2015 or thereabouts (the year of the change is not known for sure).
OLD_PLACES = ("Q1", "Q2", "F1", "F4")
NEW_PLACES = ("K3", "Z11", "Z12", "Z13", "Z14")  # lately
#: What a reader accepts.
CODES: Mapping[str, tuple[str, ...]] = {
    "SEX": ("1", "2"),
    "RNE": ("S", "L", "P", "T", "U", "B"),
    "LS": (*("C1", "C2", "D1", "E1", "V2", "V3", "V4", "L1", "L2", "L3", "J1", "J2", "J3"),),
    "CIN": ("N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"),
    "PLACE": (*_PLACES, *OLD_PLACES, *NEW_PLACES),
    "PLACE_PROVIDER": ("PR0", "PR1", "PR2", "PR3", "PR4", "PR5"),
    "REC": (
        *("X1", "E11", "E12", "E13", "E14", "E15", "E16", "E17", "E2", "E3", "E4", "E4A", "E4B"),
        *("E41", "E43", "E44", "E45", "E46", "E47", "E48", "E5", "E6", "E7", "E8", "E9"),
    ),
    "REASON_PLACE_CHANGE": (
        *("CARPL", "CLOSE", "ALLEG", "STAND", "APPRR", "CREQB", "CREQO", "CHILD", "LAREQ"),
        *("PLACE", "CUSTOD", "OTHER"),
    ),
}
#: Closure by special guardianship: E43, E44 to the return of this year; E45 to E48 after it.
GUARDIANSHIP_OLD_UNTIL = 2017
