"""Which settings an ablation measures: the full method, each component off, what the paper switches off together."""

import re
from collections.abc import Sequence

from ..errors import LabError
from ..method import BaseSettings
from ..methods import METHODS
from ..papers import paper_tables

Variants = dict[str, BaseSettings]
"""Settings of one method by what is switched off in them: "full" and others, or "" alone where nothing is."""


def plan(method: str, base: BaseSettings, only: Sequence[str] = ()) -> Variants:
    """`full`, each component off, then what the paper's tables switch off together.
    `only` names settings: of the variants, those that switch nothing else; empty: all. Raises LabError for a method
    without components, and for a name that is none of its components."""
    method_class = METHODS[method]
    variants = method_class.ablations(base)
    if len(variants) == 1:
        able = [name for name, other in METHODS.items() if len(other.ablations(other.presets()["live"])) > 1]
        raise LabError(f"{method} has no component to switch off; those that have: {', '.join(able)}")
    for names in paper_tables.combinations(method):
        settings = base
        for name in names:
            further = method_class.ablations(settings)
            if name not in further:  # off already in the base
                break
            settings = further[name]
        else:
            variants[", ".join(names)] = settings
    switched = {name: {re.split("[ =]", part)[0] for part in name.split(", ")} for name in variants if name != "full"}
    components = set().union(*switched.values())
    if unknown := set(only) - components:
        missing, able = ", ".join(sorted(unknown)), sorted(components)
        raise LabError(f"{method} has no component {missing}; it has {', '.join(able)}")
    return {name: variants[name] for name in variants if name == "full" or not only or switched[name] <= set(only)}
