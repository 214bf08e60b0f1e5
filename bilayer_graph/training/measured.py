"""Errors of many people as figures, of everybody and family by family."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bilayer_graph.training.evaluation import Batch
from bilayer_graph.training.families import Families


class Figure(NamedTuple):
    """Errors in three numbers; those that are not finite do not count.

    Attributes:
        mean: Their mean.
        interval: Half of its 95 % interval; NaN of fewer than two errors.
        median: Their median.
    """

    mean: float
    interval: float
    median: float

    @classmethod
    def of(cls, errors: Tensor) -> "Figure":
        """Return the figure of errors ``[N]``."""
        known = errors[errors.isfinite()].double()
        if len(known) == 0:
            return cls(torch.nan, torch.nan, torch.nan)
        interval = 1.96 * known.std() / len(known) ** 0.5 if len(known) > 1 else torch.nan
        return cls(float(known.mean()), float(interval), float(known.median()))


@dataclass(frozen=True)
class Row:
    """What is measured of some of the people.

    Attributes:
        people: How many they are.
        share: Of everybody.
        found: Which share of them was found; NaN of nobody.
        errors: Of those who were found, by name.
    """

    people: int
    share: float
    found: float
    errors: dict[str, Figure]


@dataclass(frozen=True)
class Measured:
    """The errors of N people.

    Attributes:
        errors: Of the F people who were found, by name, ``[F]`` each.
        found: Who was found, ``[N]``.
        families: Who is of which family, ``[N]`` each.
    """

    errors: Batch
    found: Tensor
    families: Families

    @classmethod
    def join(cls, parts: Sequence["Measured"]) -> "Measured":
        """Return all the people of at least one part; a part that found nobody has no errors."""
        return cls(
            errors=_join([part.errors for part in parts if part.errors]),
            found=torch.cat([part.found for part in parts]),
            families={
                kind: _join([part.families[kind] for part in parts]) for kind in parts[0].families
            },
        )

    def everybody(self) -> Row:
        """Return what is measured of all."""
        return self.row(torch.ones_like(self.found))

    def rows(self) -> dict[str, dict[str, Row]]:
        """Return what is measured of each family, by kind and name."""
        return {
            kind: {name: self.row(members) for name, members in family.items()}
            for kind, family in self.families.items()
        }

    def row(self, members: Tensor) -> Row:
        """Return what is measured of some of the people, ``[N]`` bool."""
        mine = members[self.found]
        return Row(
            people=int(members.sum()),
            share=float(members.double().mean()),
            found=float(self.found[members].double().mean()),
            errors={name: Figure.of(values[mine]) for name, values in self.errors.items()},
        )


def _join(parts: Sequence[Batch]) -> Batch:
    return {name: torch.cat([part[name] for part in parts]) for name in (parts[0] if parts else ())}
