"""The papers' equations, registered at the functions that compute them, so that the page and the notebooks can show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., object])


class Equation(NamedTuple):
    """One equation, or several neighbouring ones, of a method's paper.

    method    id of the method, as in `METHODS`
    numbers   of the equations in the paper, such as (6, 7)
    formula   in the paper's symbols, in plain text: "w_n = (d/mu_n)^gamma"
    function  computes it; its name for people
    """

    method: str
    numbers: tuple[int, ...]
    formula: str
    function: str


REGISTRY: list[Equation] = []


def equation(method: str, *numbers: int, formula: str) -> Callable[[F], F]:
    """Registers the decorated function as the one that computes these equations of the method's paper."""

    def register(function: F) -> F:
        REGISTRY.append(Equation(method, numbers, formula, f"{function.__module__}.{function.__qualname__}"))
        return function

    return register


def equations_of(method: str, *numbers: int) -> list[Equation]:
    """The registered equations that hold at least one of the numbers, in the order of the paper."""
    found = [e for e in REGISTRY if e.method == method and set(numbers) & set(e.numbers)]
    return sorted(found, key=lambda e: e.numbers)
