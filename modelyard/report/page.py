"""The report as one HTML page that needs nothing else: no network, no server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from plotly.offline import get_plotlyjs

from modelyard.api import GateView
from modelyard.report import tables
from modelyard.report.material import Material
from modelyard.report.pictures import Drawn
from modelyard.report.style import FONT

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f3f4f6; color: #23272e; font: 15px/1.5 FONT; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 26px; margin: 8px 0 2px; } h2 { font-size: 18px; margin: 0; }
.lead { color: #5b626c; margin: 0 0 20px; }
nav { margin: 0 0 20px; line-height: 2; } nav a { margin-right: 14px; color: #0072B2; }
section { background: #fff; border: 1px solid #e2e5e9; border-radius: 8px; padding: 16px 20px;
  margin: 0 0 20px; }
section p { color: #5b626c; margin: 2px 0 8px; }
.facts { display: flex; flex-wrap: wrap; gap: 12px 40px; align-items: flex-start; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 4px; }
td, th { text-align: left; padding: 2px 18px 2px 0; font-weight: 400; }
td + td { text-align: right; padding-right: 8px; }
.problem { border-left: 4px solid #D55E00; } .problem code { white-space: pre-wrap; }
ul { margin: 4px 0; padding-left: 20px; color: #5b626c; }
""".replace("FONT", FONT)

CONFIG = {"displaylogo": False, "responsive": True}


def page(material: Material, drawn: Sequence[Drawn]) -> str:
    """The page.

    Args:
        material: for title, facts and problems.
        drawn: the pictures, in order.
    """
    links = "".join(
        f'<a href="#{one.picture.name}">{escape(one.picture.title)}</a>' for one in drawn
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(material.title)}</title>
<style>{STYLE}</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<main>
<h1>{escape(material.title)}</h1>
<p class="lead">{escape(_lead(material))}</p>
<nav>{links}</nav>
{_facts(material)}
{_problems(material)}
{"".join(_section(one) for one in drawn)}
</main>
</body>
</html>
"""


def _lead(material: Material) -> str:
    parts = [material.family] if material.family else []
    if material.metric in material.metrics:
        value = tables.number(material.metrics[material.metric])
        if material.fits:
            spread = tables.number(material.metrics[f"{material.metric}_std"])
            parts.append(f"{material.metric} {value} ± {spread}, {material.measured_on}")
        else:
            parts.append(f"{material.metric} {value} on the {material.measured_on}")
    if material.step is not None:
        parts.append(f"weights of epoch {material.step}")
    return " · ".join(parts)


def _facts(material: Material) -> str:
    metrics = {name: tables.number(value) for name, value in material.metrics.items()}
    judged = tables.gates(tuple(map(GateView.model_validate, material.outcome.get("gates", ()))))
    gates = {gate: verdict for gate, *_, verdict in judged.rows}
    shown = {name: _text(value) for name, value in material.parameters.items()}
    blocks = (
        _table(f"Metrics, {material.measured_on}", metrics),
        _table("Gates", gates),
        _table("Parameters", shown),
    )
    inner = "".join(blocks)
    return f'<section class="facts">{inner}</section>' if inner else ""


def _table(title: str, rows: Mapping[str, str]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows.items()
    )
    return f"<table><caption>{escape(title)}</caption>{lines}</table>"


def _problems(material: Material) -> str:
    notes = (*material.problems, *(material.explanation.notes if material.explanation else ()))
    if not notes:
        return ""
    return f"<section><h2>Not here</h2>{_list(notes)}</section>"


def _list(notes: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>"


def _section(drawn: Drawn) -> str:
    picture = drawn.picture
    head = f'id="{picture.name}"><h2>{escape(picture.title)}</h2>'
    if drawn.figure is None:
        problem = f"<p>This picture couldn't be drawn.</p><code>{escape(drawn.problem)}</code>"
        return f'<section class="problem" {head}{problem}</section>\n'
    body = drawn.figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure-{picture.name}",
        auto_play=False,
        config=CONFIG,
    )
    return f"<section {head}<p>{escape(picture.reads)}</p>{body}</section>\n"


def _text(value: object) -> str:
    return tables.number(value) if isinstance(value, float) else str(value)
