"""HTML from templates: every value is escaped, unless a template made it."""

import json
import re
from typing import Any

import jinja2
from markupsafe import Markup, escape

GREEK = dict(phi="φ", Phi="Φ", mu="μ", gamma="γ", delta="δ", Omega="Ω", Sigma="Σ", epsilon="ε", theta="θ")


def with_code(text: str) -> Markup:
    """Escaped; what stands in backticks becomes code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def with_symbols(text: str) -> Markup:
    """As `with_code`, with Greek letters, subscripts and superscripts of short symbols: mu_n, d^l."""
    html = re.sub(r"(?<![^\W_])([A-Za-z]+)(?![^\W_])", lambda word: GREEK.get(word[0], word[0]), str(with_code(text)))
    html = re.sub(r"\b([^\W\d_]{1,2})_([^\W_]+)", r"\1<sub>\2</sub>", html)
    return Markup(re.sub(r"\^(-?\w+)", r"<sup>\1</sup>", html))


_templates = jinja2.PackageLoader("lab.ui", "")
_environment = jinja2.Environment(loader=_templates, autoescape=True, trim_blocks=True, lstrip_blocks=True)
_environment.undefined = jinja2.StrictUndefined
# json is for attributes: autoescaping makes it safe there
_environment.filters |= {"json": json.dumps, "with_code": with_code, "with_symbols": with_symbols}


def render(template: str, **values: Any) -> Markup:
    """The template at this path below `lab/ui`, such as "your_images/report.html", filled with the values.

    Returns Markup, so that what one template made goes into another unescaped; any other text is escaped. A value
    that knows its own HTML, as `tables.Table` does, is placed as that. A value that the template names and that is
    not there raises jinja2.UndefinedError.
    """
    return Markup(_environment.get_template(template).render(**values))
