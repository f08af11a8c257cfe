"""Damage to bytes of any format: flipped, cut, repeated, spliced, and numbers overwritten by odd ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def pick(rng: np.random.Generator, values: Sequence):
    """One of the values, as it is: numpy's `choice` would make them its own."""
    return values[int(rng.integers(len(values)))]


def odd_number(rng: np.random.Generator, bits: int) -> int:
    """A number that is rarely seen in a field of so many bits, or any."""
    value = pick(rng, NUMBERS) if rng.random() < 0.7 else int(rng.integers(2**32))
    return value % 2**bits


def damaged(data: bytes, rng: np.random.Generator, others: Sequence[bytes] = (), times: int = 3) -> bytes:
    """The bytes with one to `times` damages, at their head more often than elsewhere."""
    for _ in range(int(rng.integers(1, times + 1))):
        data = _damage(data, rng, others)
    return data


def _damage(data: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    changed, size = bytearray(data), len(data)
    if size < 8:
        return data + rng.bytes(8)
    place = int(rng.integers(min(size, 256))) if rng.random() < 0.5 else int(rng.integers(size))
    length = int(rng.integers(1, 1 + min(64, size)))
    kind = int(rng.integers(9))
    if kind == 0:
        for at in rng.integers(0, size, int(rng.integers(1, 20))):
            changed[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        bits = pick(rng, (8, 16, 32))
        number = odd_number(rng, bits).to_bytes(bits // 8, pick(rng, ("little", "big")))
        changed[place : place + len(number)] = number
    elif kind == 2:
        del changed[place:]
    elif kind == 3:
        del changed[place : place + length]
    elif kind == 4:
        changed[place:place] = changed[place : place + length] * int(rng.integers(1, 50))
    elif kind == 5:
        changed[place : place + length] = bytes([pick(rng, (0, 0xFF, 0x80, 0x20))]) * length
    elif kind == 6:
        changed[place : place + length] = rng.bytes(length)
    elif kind == 7:
        changed += rng.bytes(int(rng.integers(1, 2_000)))
    elif others:
        other = pick(rng, others)
        at = int(rng.integers(len(other)))
        changed[place : place + length * 8] = other[at : at + length * 8]
    return bytes(changed)


def u32(number: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}I", number % 2**32)


def u16(number: int, order: str = "<") -> bytes:
    return struct.pack(f"{order}H", number % 2**16)
