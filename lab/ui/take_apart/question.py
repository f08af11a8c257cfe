"""What a visitor asks on *Take apart*: a method as published, beside the same with something changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

from ...errors import LabError
from ..detector_service import Place
from ..variant import Variant, controls, format_value, methods_with_components, parse_value
from ..view import View

AS_PUBLISHED = "as published"


@dataclasses.dataclass(frozen=True)
class Question:
    """The altered `variant` of a method, on a category. LabError where the method has no component to switch off."""

    source: str
    category: str
    variant: Variant
    image: str = ""

    def __post_init__(self) -> None:
        if self.variant.method not in methods_with_components():
            title, able = self.variant.method_class.title, ", ".join(methods_with_components())
            raise LabError(f"{title} has no component to switch off; those that have: {able}.")

    @property
    def method(self) -> str:
        return self.variant.method

    @property
    def place(self) -> Place:
        return self.source, self.category

    @property
    def view(self) -> View:
        """The published method, then the altered one; one alone where nothing is changed."""
        pair = tuple(dict.fromkeys([Variant(self.method), self.variant]))
        return View(self.source, self.category, pair, self.image)

    def with_query(self, query: Mapping[str, str]) -> Self:
        """This question with what an address changes in it. Raises LabError when that is not at hand."""
        variant = self.variant
        if method := query.get("method"):
            fields = {name: field for name, field in controls(method).items() if name in query}
            variant = Variant.of(method, {name: parse_value(field, query[name]) for name, field in fields.items()})
        asked = dataclasses.replace(self, variant=variant)
        view = asked.view.moved(query)
        return dataclasses.replace(asked, source=view.source, category=view.category, image=view.image)


def address(view: View) -> dict[str, str | None]:
    """What names a question's view in the page's address; None takes a name out of it."""
    variant = view.variants[-1]
    question = {"set": view.source, "category": view.category, "methods": None, "method": variant.method}
    unchanged = dict.fromkeys(name for method in methods_with_components() for name in controls(method))
    return question | unchanged | {name: format_value(value) for name, value in variant.changes}


def title(variant: Variant) -> str:
    """ "CDO as published", "CDO without OOM"."""
    return variant.title if variant.changes else f"{variant.title} {AS_PUBLISHED}"
