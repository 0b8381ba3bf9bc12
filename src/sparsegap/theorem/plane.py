"""Figure 1 from its definitions: three atoms in the plane, at most two of them active, and an encoder of three half-planes. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

from sparsegap.errors import InputError

Point = tuple[float, float]
Code = tuple[float, float, float]


@dataclass(frozen=True)
class Plane:
    """N = 3, M = 2, K = 2. Atoms of length 1 at these angles, in degrees; each latent is relu(gain·⟨atom turned by `turn`, x⟩ + bias).

    Where no two neighbouring atoms are 180° or more apart, every point of the plane is a sum of two neighbours in exactly one way: the
    three cones of two active atoms are all there is, and the true code of a point is unique. Raises InputError for other angles.
    """

    angles: tuple[float, float, float] = (90.0, 205.0, 300.0)
    gain: float = 1.0
    turn: float = 0.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        ordered = sorted(angle % 360 for angle in self.angles)
        gaps = [(after - before) % 360 for before, after in zip(ordered, [*ordered[1:], ordered[0]], strict=True)]
        if max(gaps) >= 180 - 1e-9 or min(gaps) <= 1e-9:
            given = ", ".join(f"{angle:g}" for angle in self.angles)
            raise InputError(f"three different atoms need angles less than 180 degrees apart all around, not {given}")

    @property
    def atoms(self) -> tuple[Point, Point, Point]:
        """Their tips."""
        first, second, third = ((math.cos(math.radians(angle)), math.sin(math.radians(angle))) for angle in self.angles)
        return first, second, third

    def made(self, code: Code) -> Point:
        """x = z·atoms."""
        return sum(z * a[0] for z, a in zip(code, self.atoms, strict=True)), sum(z * a[1] for z, a in zip(code, self.atoms, strict=True))

    def true_code(self, x: Point) -> Code:
        """The code of at most two active atoms, none negative, that makes x."""
        best, slack = (0.0, 0.0, 0.0), -math.inf
        for i, j in combinations(range(3), 2):
            (a, b), (c, d) = self.atoms[i], self.atoms[j]
            determinant = a * d - b * c
            if abs(determinant) < 1e-9:
                continue
            pair = (x[0] * d - x[1] * c) / determinant, (x[1] * a - x[0] * b) / determinant
            if min(pair) > slack:
                code = [0.0, 0.0, 0.0]
                code[i], code[j] = (max(0.0, value) for value in pair)
                best, slack = (code[0], code[1], code[2]), min(pair)
        return best

    def encoded(self, x: Point) -> Code:
        """What the encoder makes of x."""
        first, second, third = (max(0.0, w[0] * x[0] + w[1] * x[1] + self.bias) for w in self.weights)
        return first, second, third

    @property
    def weights(self) -> tuple[Point, Point, Point]:
        """The encoder's directions: the atoms, turned and scaled."""
        turned = [math.radians(angle + self.turn) for angle in self.angles]
        first, second, third = ((self.gain * math.cos(angle), self.gain * math.sin(angle)) for angle in turned)
        return first, second, third

    def error(self, x: Point, code: Code | None = None) -> float:
        """‖encoded − code‖/‖code‖, with the true code where none is given."""
        true = self.true_code(x) if code is None else code
        return math.dist(self.encoded(x), true) / max(math.hypot(*true), 1e-12)
