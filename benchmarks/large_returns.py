"""Memory and time of reading a large CIN Census file, made up on the spot.

    python benchmarks/large_returns.py --gigabytes 1

Writes an invented census of that size into a temporary folder, reads it in a process of its own,
and prints size, children, seconds and the most memory held (resident). Aim: under 1 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHILD = """<Child>
  <ChildIdentifiers><LAchildID>C{i:08d}</LAchildID><UPN>A{i:012d}</UPN>
   <PersonBirthDate>20{y:02d}-0{m}-1{d}</PersonBirthDate><GenderCurrent>{s}</GenderCurrent>
  </ChildIdentifiers>
  <ChildCharacteristics><Ethnicity>WBRI</Ethnicity><Disabilities><Disability>NONE</Disability>
   </Disabilities></ChildCharacteristics>
  <CINdetails><CINreferralDate>2018-0{m}-1{d}</CINreferralDate><ReferralSource>6</ReferralSource>
   <PrimaryNeedCode>N1</PrimaryNeedCode><CINclosureDate>2019-01-2{d}</CINclosureDate>
   <ReasonForClosure>RC7</ReasonForClosure><DateOfInitialCPC>2018-10-1{d}</DateOfInitialCPC>
   <Assessments><AssessmentActualStartDate>2018-0{m}-1{d}</AssessmentActualStartDate>
    <AssessmentAuthorisationDate>2018-10-0{m}</AssessmentAuthorisationDate>
    <FactorsIdentifiedAtAssessment><AssessmentFactors>1B</AssessmentFactors>
    <AssessmentFactors>3B</AssessmentFactors></FactorsIdentifiedAtAssessment></Assessments>
   <Section47><S47ActualStartDate>2018-0{m}-1{d}</S47ActualStartDate>
    <DateOfInitialCPC>2018-10-1{d}</DateOfInitialCPC><ICPCnotRequired>0</ICPCnotRequired></Section47>
   <ReferralNFA>0</ReferralNFA></CINdetails>
</Child>
"""
HEAD = (
    "<Message><Header><CollectionDetails><Collection>CIN</Collection><Year>2019</Year>"
    "</CollectionDetails><Source><LEA>801</LEA></Source></Header><Children>\n"
)


def write(path: Path, size: int) -> int:
    """Write a census of about so many bytes; gives its children."""
    children = 0
    with path.open("w", encoding="utf-8") as file:
        written = file.write(HEAD)
        while written < size:
            i = children
            written += file.write(
                CHILD.format(i=i, y=5 + i % 13, m=1 + i % 9, d=i % 8, s=1 + i % 2)
            )
            children += 1
        file.write("</Children></Message>\n")
    return children


def read(path: Path) -> None:
    """Read it into canonical tables, and print what it took."""
    from sos_analysis.records.extract import open_extract

    began = time.monotonic()
    with open_extract(path, memory_limit="400MB") as records:
        referrals = int(records.tables["referrals"].count().to_pyarrow().as_py())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = time.monotonic() - began
    print(json.dumps({"referrals": referrals, "seconds": round(took), "peak_mb": round(most)}))


def main() -> int:
    """Make, read, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.read:
        read(chosen.read)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "census.xml"
        children = write(path, int(chosen.gigabytes * 2**30))
        print(f"{path.stat().st_size / 2**20:.0f} MB, {children} children")
        made = subprocess.run(
            [sys.executable, __file__, "--read", str(path)],
            check=False,
            capture_output=True,
            text=True,
        )
        print(made.stdout or made.stderr)
        return made.returncode


if __name__ == "__main__":
    sys.exit(main())
