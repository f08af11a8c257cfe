"""HTML from templates: every value is escaped, unless a template made it."""

from __future__ import annotations

import json
from typing import Any

import jinja2
from markupsafe import Markup

from . import inline

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("lab.ui", ""),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
_environment.filters |= {
    "json": json.dumps,  # for attributes: autoescaping makes it safe there
    "with_code": inline.with_code,
    "with_symbols": inline.with_symbols,
}


def render(template: str, **values: Any) -> Markup:
    """The template at this path below `lab/ui`, such as "your_images/report.html", filled with the values.

    Returns Markup, so that what one template made goes into another unescaped; any other text is escaped. A value
    that knows its own HTML, as `tables.Table` does, is placed as that. A value that the template names and that is
    not there raises jinja2.UndefinedError.
    """
    return Markup(_environment.get_template(template).render(**values))
