"""The papers' equations, registered at the functions that compute them and shown by the page and the notebooks."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., object])


class Equation(NamedTuple):
    """One equation, or several neighbouring ones, of a method's paper."""

    method: str  # its id, as in `METHODS`
    numbers: tuple[int, ...]  # of the equations in the paper, such as (6, 7)
    formula: str  # in the paper's symbols, in plain text: "w_n = (d/mu_n)^gamma"
    covers: tuple[int, ...]  # numbers of further equations that are terms or special cases of it
    function: Callable[..., object]  # computes it

    def __str__(self) -> str:
        return f"Eq. {'-'.join(f'({n})' for n in dict.fromkeys((self.numbers[0], self.numbers[-1])))}: {self.formula}"


REGISTRY: list[Equation] = []


def equation(method: str, *numbers: int, formula: str, covers: tuple[int, ...] = ()) -> Callable[[F], F]:
    """Registers the decorated function as the one that computes these equations of the method's paper."""

    def register(function: F) -> F:
        REGISTRY.append(Equation(method, numbers, formula, covers, function))
        return function

    return register


def equations_of(method: str) -> list[Equation]:
    """The registered equations of a method, in the order of its paper."""
    return sorted((e for e in REGISTRY if e.method == method), key=lambda e: e.numbers)


def formula(method: str, number: str) -> str:
    """The method's equations `number` ("5" or "6-7") as text: "Eq. (6)-(7): w_n = ...", at most two of them.

    "Eq. (5) within Eq. (8): ..." where another equation covers it; only "Eq. (3)" where no function computes it.
    """
    first, last = (int(n) for n in (number.split("-") * 2)[:2])
    registered = equations_of(method)
    matches = [str(e) for e in registered if any(first <= n <= last for n in e.numbers)]
    covering = [f"Eq. ({first}) within {e}" for e in registered if first in e.covers]
    return "; ".join(matches[:2]) or (covering[0] if covering else f"Eq. ({number})")
