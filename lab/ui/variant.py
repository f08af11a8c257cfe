"""A method with some of its settings changed, as a value.

"As published" is the preset `live`: what a page can fit while someone waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass
from typing import Any, Self

from ..errors import LabError
from ..method import BaseSettings, Method
from ..methods import METHODS, preset_settings


@dataclass(frozen=True)
class Variant:
    """A method as published, or altered. LabError for an unknown method.

    changes   (setting, value) of every setting that differs from the published one, in the order of the settings
    """

    method: str
    changes: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise LabError(f"There is no method {self.method!r}; there are {', '.join(METHODS)}.")

    @classmethod
    def of(cls, method: str, changes: Mapping[str, Any]) -> Self:
        """The method with these settings changed. LabError for a value that the settings do not allow."""
        published = cls(method).published
        altered = published.replace(**changes)
        pairs = ((name, getattr(altered, name)) for name in changeable(method))
        return cls(method, tuple((name, value) for name, value in pairs if value != getattr(published, name)))

    @property
    def method_class(self) -> type[Method]:
        return METHODS[self.method]

    @property
    def published(self) -> BaseSettings:
        return self.method_class.presets()["live"]

    def settings(self, backbone: str | None = None) -> BaseSettings:
        """All settings; `backbone` replaces the published one where the method has a choice."""
        changes = ({"backbone": backbone} if backbone else {}) | dict(self.changes)
        return self.method_class.Settings(**preset_settings(self.method, "live", changes))

    @property
    def scoring_changes(self) -> dict[str, Any]:
        """The changes that leave the fit as it is."""
        fields = changeable(self.method)
        return {name: value for name, value in self.changes if fields[name].metadata["scoring"]}

    @property
    def without_scoring_changes(self) -> Variant:
        """The variant whose fit this one shares."""
        kept = self.scoring_changes
        return Variant(self.method, tuple(change for change in self.changes if change[0] not in kept))

    @property
    def backbone(self) -> str:
        """The backbone that was chosen; "" where none was."""
        return str(dict(self.changes).get("backbone", ""))

    def on_backbone(self, backbone: str) -> Variant:
        """The published method on that backbone; as published for "", or where it has none to choose."""
        has_choice = backbone and "backbone" in changeable(self.method)
        return Variant.of(self.method, {"backbone": backbone} if has_choice else {})

    @property
    def changes_in_words(self) -> str:
        """ "without OOM, gamma 1"; "" as published."""
        fields, phrases = changeable(self.method), []
        for name, value in self.changes:
            title, switch = "on" if name == "backbone" else label(fields[name]), "with" if value else "without"
            phrases.append(f"{switch} {title}" if isinstance(value, bool) else f"{title} {format_value(value)}")
        return ", ".join(phrases)

    @property
    def title(self) -> str:
        return f"{self.method_class.title} {self.changes_in_words}".strip()


# --- the settings that a visitor may change ---------------------------------------------------------------------------


def controls(method: str) -> dict[str, Field[Any]]:
    """name -> setting: what the paper's tables switch, what an equation names, what changes only scoring."""
    fields = Variant(method).method_class.Settings.fields()
    marks = ("component", "eq", "scoring")
    return {name: field for name, field in fields.items() if any(field.metadata[mark] for mark in marks)}


def changeable(method: str) -> dict[str, Field[Any]]:
    """What a variant may change: the controls, and the backbone, which the page chooses for all methods at once."""
    fields = METHODS[method].Settings.fields()
    return controls(method) | {name: fields[name] for name in ("backbone",) if name in fields}


def methods_with_components() -> list[str]:
    """The methods that have a component to switch off."""
    return [m for m in METHODS if any(field.metadata["component"] for field in controls(m).values())]


def format_value(value: Any) -> str:
    """A setting's value as text, for people and for addresses: "0" and "1" for a bool."""
    return str(int(value)) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def label(field: Field[Any]) -> str:
    """What the paper calls the setting, where its help begins with that; else its name."""
    head, colon, _ = field.metadata["help"].partition(": ")
    return head if colon and len(head) <= 12 else field.name.replace("_", " ")


def description(field: Field[Any]) -> str:
    """What the setting does, in one line."""
    text: str = field.metadata["help"]
    return text.removeprefix(f"{label(field)}: ")
