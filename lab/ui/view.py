"""What one visitor has chosen to see side by side."""

import dataclasses
from collections.abc import Mapping
from typing import Self

from .. import data
from ..errors import LabError
from ..parts import features
from . import variant_address
from .detector_service import Place
from .variant import Variant

MAX_METHODS = 4  # side by side


@dataclasses.dataclass(frozen=True)
class View:
    """All of a comparison's state but the threshold, which lives in the browser.

    image   name of a test image, or its `phrases.slug`; "": the first defective one
    """

    source: str
    category: str
    variants: tuple[Variant, ...]
    image: str = ""

    @property
    def place(self) -> Place:
        return self.source, self.category

    @property
    def methods(self) -> list[str]:
        """The methods, whatever is changed in them."""
        return [variant.method for variant in self.variants]

    @property
    def backbone(self) -> str:
        """The one that was chosen for all methods that have a choice; "" where none was."""
        return next(filter(None, (variant.backbone for variant in self.variants)), "")

    @property
    def address(self) -> dict[str, str | None]:
        """What names the view in an address, beside the image."""
        methods = ",".join(self.methods)
        return {"set": self.source, "category": self.category, "methods": methods, "backbone": self.backbone or None}

    def checked(self) -> Self:
        """This view. Raises LabError when its set or backbone is not at hand."""
        if not 1 <= len(self.variants) <= MAX_METHODS:
            raise LabError("Choose two to four methods.")
        if self.source not in data.sets():
            raise LabError(f"There is no set {self.source!r} here; there are {', '.join(data.sets())}.")
        if self.backbone and not features.local_weights(self.backbone):
            raise LabError(f"The backbone {self.backbone} is not here; choose it under Backbone, which offers it.")
        return self

    def with_query(self, query: Mapping[str, str]) -> Self:
        """This view with what an address changes in it. Raises LabError when that is not at hand."""
        variants = self.variants
        if methods := query.get("methods"):
            variants = tuple(dict.fromkeys(map(variant_address.from_text, methods.split(","))))
        if backbone := query.get("backbone"):
            variants = tuple(variant.on_backbone(backbone) for variant in variants)
        return dataclasses.replace(self, variants=variants).moved(query)

    def moved(self, query: Mapping[str, str]) -> Self:
        """This view on the set, category and image of an address. Raises LabError when they are not at hand."""
        view = dataclasses.replace(self, source=query.get("set", self.source)).checked()
        categories = data.categories(view.source)
        fallback = view.category if view.source == self.source else categories[0]
        view = dataclasses.replace(view, category=query.get("category", fallback))
        if view.category not in categories:
            raise LabError(f"The set {view.source} has no category {view.category!r}; it has {', '.join(categories)}.")
        image = query.get("image", self.image if view.place == self.place else "")
        return dataclasses.replace(view, image=image)
