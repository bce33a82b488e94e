"""The reports of ``refopt verify`` as one HTML file, which needs no other."""

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import groupby

from refopt.oracle.claim import VERDICTS, ClaimReport
from refopt.oracle.mathml import html
from refopt.oracle.pictures import picture

MARKS = {"verified": "✓", "refuted": "✗", "failed": "!", "skipped": "–"}
MEANING = {
    "verified": "every instance agrees",
    "refuted": "false as stated: a counterexample was run, and the correction holds",
    "failed": "an instance disagrees",
    "skipped": "not computed",
}
HEAD = ("claim", "found", "statement", "worst residual, tolerance", "certain")

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a7d46; --bad: #b3261e; --odd: #9a6a00; --quiet: #777; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1280px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .45rem .6rem; vertical-align: top; text-align: left; }
tr { border-top: 1px solid var(--line); } thead th { position: sticky; top: 0; background: Canvas; cursor: pointer; }
thead button { all: unset; } thead button:focus-visible { outline: auto; }
thead button::after { content: " ↕"; color: var(--quiet); } tr.topic th { padding-top: 1.4rem; font-size: 1.15em; }
td:first-child { font-family: ui-monospace, monospace; font-size: .86em; min-width: 9em; }
td:nth-child(2), td:nth-child(5), .numbers { white-space: nowrap; }
math { font-size: 1.06em; } .note { color: var(--quiet); font-size: .88em; margin: .15rem 0 0; }
.verified { color: var(--good); } .refuted { color: var(--odd); } .failed { color: var(--bad); font-weight: 600; }
.skipped { color: var(--quiet); } svg { display: block; } pre { overflow-x: auto; font-size: .8em; }
input { font: inherit; padding: .3rem .6rem; width: 20rem; max-width: 100%; }
@media print { input { display: none; } thead th { position: static; } }
"""

SCRIPT = """
const table = document.querySelector("table"), rows = [...table.tBodies[0].rows], order = {};
const show = () => { const sought = document.querySelector("input").value.toLowerCase();
  for (const row of rows) if (!row.className) row.hidden = !row.textContent.toLowerCase().includes(sought);
  for (const row of rows) if (row.className) { let next = row.nextElementSibling, any = false;
    while (next && !next.className) { any ||= !next.hidden; next = next.nextElementSibling; } row.hidden = !any; } };
document.querySelector("input").addEventListener("input", show);
[...table.tHead.rows[0].cells].forEach((cell, k) => cell.addEventListener("click", () => {
  const sign = order[k] = -(order[k] || -1), body = table.tBodies[0];
  const key = row => { const value = row.cells[k].dataset.sort ?? row.cells[k].textContent; return value; };
  const compare = (a, b) => isNaN(a) || isNaN(b) ? String(a).localeCompare(String(b)) : a - b;
  const claims = rows.filter(row => !row.className);
  if (k === 0 && sign > 0) { rows.forEach(row => body.append(row)); show(); return; }
  rows.filter(row => row.className).forEach(row => row.remove());
  claims.sort((a, b) => sign * compare(key(a), key(b))).forEach(row => body.append(row));
}));
"""


def page(reports: Sequence[ClaimReport], version: str, settings: str) -> str:
    """The whole file.   ``settings``: how the instances were drawn."""
    counts = Counter(report.status for report in reports)
    found = ", ".join(f"{counts[status]} {status}" for status in MARKS if counts[status])
    exact = sum(report.exact for report in reports)
    legend = "; ".join(f"{MARKS[status]} {status}: {MEANING[status]}" for status in MARKS if counts[status])
    body = "".join(
        f'<tr class="topic"><th colspan="{len(HEAD)}">{escape(topic)}</th></tr>\n' + "".join(map(row, group))
        for topic, group in groupby(reports, key=lambda report: report.id.partition(".")[0])
    )
    head = "".join(f'<th scope="col"><button>{name}</button></th>' for name in HEAD)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>refopt verify</title><style>{STYLE}</style></head><body>
<h1>What the literature says, checked</h1>
<p>{len(reports)} claims: {found}; {exact} decided without rounding too.
refopt {escape(version)}, {escape(settings)}.</p>
<p class="note">{escape(legend)}. The dot is the worst residual relative to its scale, the line what rounding may leave
of it, on a logarithmic axis from 10⁻¹⁸ to 1. Digits are those to which float64 results satisfy the claim, in ball
arithmetic.</p>
<p><input type="search" placeholder="search" aria-label="search"></p>
<table><thead><tr>{head}</tr></thead><tbody>
{body}</tbody></table>
<script>{SCRIPT}</script></body></html>
"""


def row(report: ClaimReport) -> str:
    """One claim."""
    verdict = report.verdict if report.verdict != "true" else ""
    status = (
        f'<span class="{report.status}" title="{escape(MEANING[report.status])}">{MARKS[report.status]} {report.status}'
    )
    status += f'</span><p class="note" title="{escape(VERDICTS[report.verdict])}">{verdict}</p>'
    picture = strip(report) if report.cases else ""
    worst = report.worst if report.cases else -1
    known = "exact" if report.exact else "" if report.digits is None else f"{report.digits} digits"
    order = 99 if report.exact else -1 if report.digits is None else report.digits
    name = escape(report.id)
    return (
        f'<tr id="{name}"><td>{name.replace(".", ".<wbr>")}</td><td data-sort="{report.status}">{status}</td>'
        f"<td>{''.join(statement(report))}</td>"
        f'<td data-sort="{worst if math.isfinite(worst) else 1e300}">{picture}</td>'
        f'<td data-sort="{order}">{known}</td></tr>\n'
    )


def statement(report: ClaimReport) -> list[str]:
    """What it says, under which conditions, and why the tolerance is what it is."""
    notes = [
        ("given", report.given),
        ("correct is", report.corrected),
        ("fails", "; ".join(report.fails)),
        (report.status, report.detail),
        (f"checked on {report.cases} cases to {report.tolerance:.1e}", report.because if report.cases else ""),
    ]
    told = [f'<p class="note"><em>{name}:</em> {html(text)}</p>' for name, text in notes if text]
    source = f'<p class="note"><em>source:</em> {escape(report.source)}</p>'
    code = f"<details><summary>code</summary><pre>{escape(report.code)}</pre></details>" if report.code else ""
    return [html(report.says), *told, source, picture(report.id) if report.cases else "", code]


def strip(report: ClaimReport) -> str:
    """Where the worst residual lies beside the tolerance, on a logarithmic axis."""
    dot, line = place(report.worst), place(report.tolerance)
    good = report.worst <= report.tolerance
    numbers = f"{report.worst:.1e} of {report.tolerance:.1e}"
    return (
        f'<svg width="160" height="14" role="img" aria-label="{numbers}"><title>{numbers}</title>'
        '<line x1="4" x2="156" y1="7" y2="7" stroke="#8886"/>'
        f'<line x1="{line:.1f}" x2="{line:.1f}" y1="1" y2="13" stroke="currentColor"/>'
        f'<circle cx="{dot:.1f}" cy="7" r="3.5" fill="{"#2a7d46" if good else "#b3261e"}"/></svg>'
        f'<p class="note numbers">{numbers}</p>'
    )


def place(value: float) -> float:
    """Pixels from the left."""
    exponent = 0.0 if not math.isfinite(value) else math.log10(value) if value > 0 else -18.0
    return 4 + 152 * (min(max(exponent, -18.0), 0.0) + 18) / 18
