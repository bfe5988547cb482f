"""Sentences of the chapter on public statistics, with places for claims."""

from __future__ import annotations

from collections.abc import Mapping

from sos_analysis.chapters.minutes import minute
from sos_analysis.chapters.public_split import split_words
from sos_analysis.chapters.public_tables import WAVES
from sos_analysis.companion import CompanionResult
from sos_analysis.records.public import PublicOutcome
from sos_analysis.results import Claim


def prose(
    found: CompanionResult, claims: Mapping[str, Claim], lead: PublicOutcome
) -> dict[str, str]:
    """Everything the page says besides tables and charts; the leading outcome comes first."""
    order = [lead, *(o for o in found.outcomes if o != lead)]
    made = {f"figure_{o.short}": _figure(o, claims) for o in order}
    made = {name: text for name, text in made.items() if text}
    return {
        "answer": _answer(),
        "minute": minute("public_statistics", made_up=False),
        "message": "{public.message}",
        "kinship": "No authority's share of children living with relatives or friends is "
        "published. So these statistics can say nothing on kinship care, in favour or against.",
        "provenance": _provenance(found),
        "published": "The published evaluation followed single children in the pilots it "
        "analysed. These figures are yearly totals of authorities. They add real evidence; "
        "they do not repeat the study.",
        "counted": _counted(claims),
        "comparators": "Other choices of comparators stand beside the main one. Authorities in "
        "neither wave leave out those that were funded once. Statistical neighbours are the ten "
        "most alike of each pilot; the sets are those of 2021 and of 2025, and neither was in "
        "force during the study. Authorities whose Ofsted reports up to mid-2020 do not name "
        "Signs of Safety may still have used it, and a report that names no model does not say "
        "that there is none.",
        "estimates": "Each authority counts the same, whatever its size. A variant counts them by "
        "their referrals or their children. The two answer different questions: what happened in "
        "the usual authority, or to the usual referral or child. The estimate has an effect for "
        f"each authority and for each year.{_weights(claims)}",
        "multiplicity": "{public.tests} main estimates stand in the table. In {public.tests_below} "
        "of them both p-values are below the usual level; about {public.tests_by_chance} would be "
        "if nothing had changed anywhere. A single one of them is weak evidence.",
        "wave1": _wave1(claims),
        "event_study": "Points before a wave show whether pilots and others were on different "
        "paths already. In {public.pretrends_failed} of {public.tests} comparisons they were, by "
        "the joint test of those years or by a steady drift in them. Such a comparison cannot "
        "carry a conclusion, and its certainty is rated down. The years before the second wave "
        "hold the first one, so whatever that changed shows there too.",
        "history": _history(claims),
        "by_rating": split_words(found),
        "long": "The lines of each figure run to the year ending March {public.latest}. This long "
        "view is secondary: later years bring other programmes, other ways of recording and the "
        "pandemic. The years ending March 2021 and 2022 are shaded; that choice is ours.",
        "recording": _recording(claims),
        "boundaries": "Some authorities were divided or joined in these years: Dorset, "
        "Bournemouth and Poole; Northamptonshire; Cumbria. The main estimates take authorities as "
        "coded in each year, so such a place counts as several. A variant adds up the counts of "
        "all its parts in every year. City of London and Isles of Scilly are so small that their "
        "figures swing; a variant leaves them out.",
        "rule_out": "Differences outside the interval of a figure are hard to square with it. "
        "Where the smallest important difference is smaller than what would be found four times "
        "in five, a figure alone cannot show that little changed.",
        "analysts": _analysts(found),
        "derived": "Two files are derived rather than published: an excerpt of the Department's "
        "interactive tool (timeliness of assessments, and children looked after up to the year "
        "ending March 2020), and judgements and counts of words in Ofsted reports. They "
        "cannot be fetched, so what rests on them comes from this project's released results "
        "unless you hold them.",
        **made,
    }


def _answer() -> str:
    return (
        "<strong>Second wave.</strong> {public.message}<br><strong>First wave.</strong> "
        "{public.wave1.message}"
    )


def _figure(outcome: PublicOutcome, claims: Mapping[str, Claim]) -> str:
    told = []
    for wave, name in WAVES.items():
        start = f"public.{outcome.short}" if wave == 2 else f"public.wave{wave}.{outcome.short}"
        if f"{start}.sentence" in claims:
            told.append(
                f"<strong>Around the {name}.</strong> {{{start}.sentence}} The difference is "
                f"{{{start}.att:full}}; expected without: {{{start}.baseline}}. "
                f"{{{start}.caution}}"
            )
    if not told:
        return ""
    if f"public.wave1.{outcome.short}.sentence" not in claims:
        told.append(
            "This figure does not reach back to two years before the first wave, so it says "
            "nothing about that wave."
        )
    return "<br>".join(told)


def _weights(claims: Mapping[str, Claim]) -> str:
    if "public.not_in_need.weighted" not in claims:
        return ""
    return (
        " Counted by referrals, those assessed and found not in need changed by "
        "{public.not_in_need.weighted:full}, against {public.not_in_need.att:full} by authority: "
        "the choice of weights matters."
    )


def _counted(claims: Mapping[str, Claim]) -> str:
    first = ""
    if "public.wave1.pilots" in claims:
        first = (
            " The {public.wave1.pilots} of the first wave are compared with all authorities that "
            "were not in it, from the year ending March {public.wave1.year.first} to "
            "{public.wave1.year.last}, before the second wave began; there the year ending March "
            "{public.wave1.year.post} is the first that counts as after."
        )
    return (
        "The {public.pilots} of the second wave are compared with all other authorities, from the "
        "year ending March {public.year.first} to {public.year.last}. The year ending March "
        "{public.year.post} is the first that counts as after. Both waves began in the course of "
        "a year, so that first year is part before and part after: it counts as after, and a "
        f"variant leaves it out.{first} Nine of the ten authorities of the second wave had been "
        "in the first, so the second wave's estimates are about what that wave added, not about "
        "having Signs of Safety."
    )


def _wave1(claims: Mapping[str, Claim]) -> str:
    back = ""
    if "public.cpp.gap_2014" in claims and "public.cpp.gap_2020" in claims:
        back = (
            " Protection plans show why a longer look helps. Pilots less other authorities, the "
            "rate at which plans start was {public.cpp.gap_2014} in the year ending March 2014, "
            "{public.cpp.gap_2017} in that ending March 2017, and {public.cpp.gap_2020} in that "
            "ending March 2020: the gap opened after the first wave began and mostly closed later."
            if _opened(claims)
            else ""
        )
    return (
        "The first wave is nearer to the question whether Signs of Safety changes anything. But "
        "many of its pilots had begun before they were funded: two were entirely new to it and one "
        "fairly new. There are only two years before it, and Bexley, a pilot of the second wave, "
        f"is among the others; a variant leaves it out.{back}"
    )


def _opened(claims: Mapping[str, Claim]) -> bool:
    """Did the gap in protection plans widen by 2017 and come back at least half-way by 2020?"""
    then, later, last = (
        float(str(claims[f"public.cpp.gap_{y}"].value)) for y in (2014, 2017, 2020)
    )
    return later < then and last - later >= (then - later) / 2


def _history(claims: Mapping[str, Claim]) -> str:
    if "public.history.later_weight" not in claims:
        return "The files for this comparison are not at hand in this build."
    return (
        "Here an authority counts as treated from the year it first took part: the first wave, "
        "and Bexley with the second. Authorities in neither wave are the comparison. Plain "
        "two-way fixed effects then also compare Bexley with authorities that had begun before, "
        "which can mislead. Those comparisons carry at most {public.history.later_weight} of the "
        "weight, so the plain estimate is little affected by them. It can still differ from the "
        "estimate by cohort, which weighs years otherwise."
    )


def _recording(claims: Mapping[str, Claim]) -> str:
    if "public.nfa.jump_by" not in claims:
        return "Authorities change how they record, and each figure here depends on that."
    return (
        "Authorities change how they record, above all referrals closed with no further action. "
        "In {public.nfa.jumped_pilots} of {public.nfa.jumped_pilots_of} pilots and "
        "{public.nfa.jumped_others} of {public.nfa.jumped_others_of} other authorities that share "
        "moved by {public.nfa.jump_by} or more from one year to the next; the largest step of a "
        "pilot was {public.nfa.jump_largest}. Whatever is counted among such cases moves with it."
    )


def _provenance(found: CompanionResult) -> str:
    if found.source != "computed":
        return (
            "The public files are not at hand in this build. These numbers are the results "
            "this project released, with the version of the files and of the code."
        )
    borrowed = any(e.source == "released" for e in found.estimates)
    rest = (
        " Those that rest on a file which is not at hand are this project's released results; the "
        "table of authorities says which."
        if borrowed
        else ""
    )
    return f"These numbers were computed from the public files in this build.{rest}"


def _analysts(found: CompanionResult) -> str:
    return (
        "Primary: restricted wild cluster bootstrap with jackknifed scores; secondary: "
        "studentised permutation of adoption dates; {public.draws} draws, {public.draws_variants} "
        "for variants and single years. Rates divide by children under eighteen in the "
        "middle of the year before, as published rates do. The smallest important differences "
        "follow one rule, a tenth of England's level in the year ending March 2017; when it was "
        "written down, estimates by others of the first three figures were known. Other designs: "
        f"the parameters below, or companion.Design in Python. {_provenance(found)}"
    )
