"""The audit in the report: what people found in blind random samples, with exact intervals."""

from __future__ import annotations

from typing import Any

from cleaner.audit.results import AuditResult
from cleaner.report.charts import interval_chart
from cleaner.report.data import ReportData
from cleaner.report.markup import Safe, card, number, section, tag, words

_NAMES = {
    "noise": "noise images", "wrong_label": "wrong labels", "unusable": "unusable images",
    "any": "any of these", "all": "all, weighted",
}  # fmt: skip


def compute_audit(data: ReportData) -> dict[str, Any] | None:
    """The audit's document; None if there is none for this manifest."""
    return None if data.audit is None else data.audit.document()


def render_audit(data: ReportData) -> Safe:
    """The section; without an audit, how to make one."""
    if data.audit is None:
        lead = data.audit_fault or "Nobody has audited this result yet, so what is left behind is not known."
        text = "A blind sample of 300 images that stay and 50 of each drop reason: "
        commands = tag("code", "cleaner audit"), ", then ", tag("code", "cleaner review audit"), "."
        how = tag("p", text, commands, cls="card plain")
        return section("audit", "Audit", lead, how)
    return section("audit", "Audit", _lead(data.audit), *_charts(data.audit), _table(data.audit))


def _lead(result: AuditResult) -> str:
    noise = result.kept["noise"]
    looked = f"{number(result.num_looks)} of {number(result.num_sampled)} images were looked at, blind and shuffled. "
    if not result.num_looks:
        return (
            f"A sample of {number(result.num_sampled)} images is drawn and waits to be looked at: cleaner review audit."
        )
    verdict = "reached" if result.passes else "not reached yet"
    bound = f"At most {100 * noise.upper:.2f} % of the images that stay are noise images (one-sided 95 % bound); "
    return looked + bound + f"the goal of {100 * result.goal:g} % is {verdict}."


def _charts(result: AuditResult) -> list[Safe]:
    kept = [
        (_NAMES[k], v.share, v.low, v.high, "c-noise" if k == "noise" else "c-coarse") for k, v in result.kept.items()
    ]
    chart = interval_chart(kept, label="What is left in the kept set", mark=result.goal)
    note = (
        "Dots: the shares found; lines: exact two-sided 95 % intervals (Clopper-Pearson). Where every image was seen "
    )
    note += "the share is known exactly."
    cards = [card("What is left among the images that stay", chart, note=note, cls="card wide-card")]
    if result.dropped:
        rows = [(_NAMES.get(k, words(k)), v.share, v.low, v.high, "c-dup") for k, v in result.dropped.items()]
        note = "The weighted total adds the reasons' bounds, each at the level that Bonferroni's rule asks for: "
        note += "conservative, the true interval is narrower."
        chart = interval_chart(rows, label="What was wrongly dropped")
        cards.append(card("What was wrongly dropped, by reason", chart, note=note, cls="card wide-card"))
    return cards


def _table(result: AuditResult) -> Safe:
    head = ["Part", "Images", "Judged before", "Sampled", "Counted", "Unsure", "Open", "What was found"]
    lines = []
    for stratum in result.strata:
        found = " · ".join(f"{words(k)} {number(v)}" for k, v in stratum.outcomes.items())
        numbers = [stratum.size, sum(stratum.judged.values()), stratum.num_sampled, stratum.num_counted]
        numbers += [stratum.num_unsure, stratum.num_open]
        cells = [tag("td", words(stratum.name)), *(tag("td", number(n)) for n in numbers), tag("td", found, cls="text")]
        lines.append(tag("tr", cells))
    body = tag("table", tag("thead", tag("tr", [tag("th", h, scope="col") for h in head])), tag("tbody", lines))
    return tag("details", tag("summary", "The samples"), body)
