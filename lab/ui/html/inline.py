"""Plain text as HTML: code in backticks, and symbols as papers set them."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

GREEK = dict(
    phi="φ", Phi="Φ", mu="μ", gamma="γ", delta="δ", Omega="Ω", Sigma="Σ", epsilon="ε", theta="θ"
)  # fmt: skip


def with_code(text: str) -> Markup:
    """Escaped; what stands in backticks becomes code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def with_symbols(text: str) -> Markup:
    """As `with_code`, with Greek letters, subscripts and superscripts of short symbols: mu_n, d^l."""
    html = re.sub(r"(?<![^\W_])([A-Za-z]+)(?![^\W_])", lambda word: GREEK.get(word[0], word[0]), str(with_code(text)))
    html = re.sub(r"\b([^\W\d_]{1,2})_([^\W_]+)", r"\1<sub>\2</sub>", html)
    return Markup(re.sub(r"\^(-?\w+)", r"<sup>\1</sup>", html))
