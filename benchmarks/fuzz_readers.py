"""Feed damaged files to the readers of returns: one clear error or a counted reading, never else.

    python benchmarks/fuzz_readers.py --cases 6000 --seed 1

Seeds are small invented returns; each case damages one of them a few times: bytes flipped, cut,
repeated, swapped for something hostile, or re-encoded. Any exception but `RecordsError`, any
error of more than one line, or a reading that runs longer than a few seconds is a failure, and the
case is kept. Prints the count of cases by reader and by what came of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from sos_analysis.errors import RecordsError
from sos_analysis.records.files.xml import root_of
from sos_analysis.records.returns import cin_census, ssda903

SLOW = 5.0
CENSUS = (
    '<?xml version="1.0" encoding="UTF-8"?><Message><Header><CollectionDetails>'
    "<Collection>CIN</Collection><Year>2019</Year></CollectionDetails><Source><LEA>801</LEA>"
    "</Source></Header><Children>"
    + "".join(
        f"<Child><ChildIdentifiers><LAchildID>c{i}</LAchildID><PersonBirthDate>2010-05-0{i}"
        "</PersonBirthDate><GenderCurrent>1</GenderCurrent></ChildIdentifiers>"
        "<ChildCharacteristics><Ethnicity>WBRI</Ethnicity></ChildCharacteristics><CINdetails>"
        f"<CINreferralDate>2018-0{i}-01</CINreferralDate><Assessments>"
        "<AssessmentActualStartDate>2018-06-01</AssessmentActualStartDate></Assessments>"
        "<ReferralNFA>0</ReferralNFA></CINdetails></Child>"
        for i in range(1, 6)
    )
    + "</Children></Message>"
).encode()
CARE = (
    "<?xml version='1.0' encoding='us-ascii'?><EXPSSDA903>"
    + "".join(
        f"<CHILD><HEADER><CHILDID>{i}</CHILDID><SEX>1</SEX><DOB>0{i}/05/2010</DOB><UASC /></HEADER>"
        f"<EPISODE><DECOM>0{i}/06/2018</DECOM><RNE>S</RNE><LS>C2</LS><PL>U1</PL><DEC /></EPISODE>"
        "</CHILD>"
        for i in range(1, 6)
    )
    + "</EXPSSDA903>"
).encode()
TABLE = (
    "CHILD,DECOM,RNE,LS,CIN,PLACE,DEC,REC\r\n"
    + "".join(f'c{i},0{i}/06/2018,S,C2,"N1",U1,,\r\n' for i in range(1, 9))
).encode()
SEEDS = {"cin census": CENSUS, "ssda903 xml": CARE, "ssda903 csv": TABLE}
HOSTILE = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"<",
        b">",
        b"&amp;",
        b"&#0;",
        b"&x;",
        b'"',
        b",",
        b"\n",
    ),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<![CDATA[", b"]]>", b"<!--", b"<Child>", b"</Child>"),
    *(b"<CINdetails/>", b"<EPISODE>", b"31/02/2018", b"2018-13-45", b"9" * 500, b"<a>" * 300),
    *(b"=cmd|' /C calc'!A0", "é€\u202e\U0001f600".encode(), b"\r", b"\xed\xa0\x80", b"9999-99-99"),
)
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig")


def damage(seed: bytes, rng: np.random.Generator) -> bytes:
    """A seed with one to four things done to it."""
    made = bytearray(seed)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, max(len(made), 1)))
        what = int(rng.integers(0, 8))
        if what == 0 and made:
            made[at % len(made)] = int(rng.integers(0, 256))
        elif what == 1:
            del made[at : at + int(rng.integers(1, 60))]
        elif what == 2:
            made[at:at] = made[max(0, at - int(rng.integers(1, 200))) : at]
        elif what == 3:
            del made[at:]
        elif what in (4, 5):
            made[at:at] = HOSTILE[int(rng.integers(0, len(HOSTILE)))]
        elif what == 6:
            end = at + int(rng.integers(1, 20))
            made[at:end] = rng.integers(
                0, 256, size=min(end, len(made)) - at, dtype=np.uint8
            ).tobytes()
        else:
            text = bytes(made).decode("latin-1")
            encoding = ENCODINGS[int(rng.integers(0, len(ENCODINGS)))]
            made = bytearray(text.encode(encoding, "replace"))
    return bytes(made)


def read(kind: str, path: Path, scratch: Path) -> int:
    """Rows read from a file by the reader of its kind."""
    if kind == "ssda903 csv":
        file, table = ssda903.read_table(path)
        if table is None or table.use == "ignored":
            return 0
        told = ssda903.stage_table(file, table, 0, scratch, authority="801").told
    elif root_of(path) is None:
        return 0
    elif kind == "cin census":
        told = cin_census.stage_census(path, 0, scratch).told
    else:
        told = ssda903.stage_xml(path, 0, scratch, authority="801").told
    return sum(one.rows for one in told.values())


def main() -> int:
    """Run the cases; status 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=20_201)
    parser.add_argument("--keep", type=Path, help="folder for cases that failed")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    came: Counter[tuple[str, str]] = Counter()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for case in range(chosen.cases):
            kind = tuple(SEEDS)[case % len(SEEDS)]
            content = damage(SEEDS[kind], rng)
            path = scratch / ("case.csv" if kind == "ssda903 csv" else "case.xml")
            path.write_bytes(content)
            began, wrong = time.monotonic(), ""
            try:
                came[kind, "read" if read(kind, path, scratch) else "read, no rows"] += 1
            except RecordsError as error:
                came[kind, "refused"] += 1
                wrong = "an error of several lines" if "\n" in str(error) else ""
            except Exception:
                wrong = traceback.format_exc()
            if time.monotonic() - began > SLOW:
                wrong = wrong or "slow"
            if wrong:
                failed += 1
                print(f"case {case}, {kind}: {wrong}")
                if chosen.keep:
                    chosen.keep.mkdir(parents=True, exist_ok=True)
                    (chosen.keep / f"{case}_{path.name}").write_bytes(content)
    for (kind, what), n in sorted(came.items()):
        print(f"{kind:<12} {what:<14} {n}")
    print(f"{chosen.cases} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
