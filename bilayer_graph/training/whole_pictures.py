"""Evaluation from whole pictures: the detector, the crop, the model, the refinement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from bilayer_graph.body import ReducedBody
from bilayer_graph.person import Person
from bilayer_graph.predict import Predictor
from bilayer_graph.synthetic import Scenes
from bilayer_graph.training.evaluation import Batch
from bilayer_graph.training.picture_errors import (
    Sample,
    nearest_person,
    picture_errors,
    shape_errors,
)

# Pictures in memory at once.
_PICTURES = 32


@dataclass(frozen=True)
class PictureErrors:
    """The errors on pictures of one person each.

    Attributes:
        found: Share of the people who were found.
        errors: Of those who were found, by name, ``[N]`` each, as
            :func:`~bilayer_graph.training.picture_errors.picture_errors` and
            :func:`~bilayer_graph.training.picture_errors.shape_errors` name them.
    """

    found: float
    errors: Batch


@torch.no_grad()
def evaluate_pictures(predictor: Predictor, scenes: Scenes) -> PictureErrors:
    """Recover the people of all pictures, whose field of view nobody knows, and measure them."""
    body, model = predictor.body, predictor.model
    mesh = ReducedBody(body, model.vertex_index)
    whole = ReducedBody(body, torch.arange(len(body.v_template)))
    rows = [
        picture_errors(person, sample, mesh) | shape_errors(person, sample, whole)
        for sample, person in _recovered(predictor, scenes)
        if person is not None
    ]
    names = rows[0] if rows else {}
    # A person without a visible joint has no share of them.
    errors = {name: torch.tensor([row[name] for row in rows]) for name in names}
    return PictureErrors(len(rows) / len(scenes), errors)


def _recovered(predictor: Predictor, scenes: Scenes) -> Iterator[tuple[Sample, Person | None]]:
    """Yield each sample and who was recovered of it."""
    for first in range(0, len(scenes), _PICTURES):
        samples = scenes.__getitems__(range(len(scenes))[first : first + _PICTURES])
        for sample, people in zip(samples, _people(predictor, samples), strict=True):
            yield sample, nearest_person(people, sample)


def _people(predictor: Predictor, samples: Sequence[Sample]) -> list[list[Person]]:
    people: list[list[Person]] = [[] for _ in samples]
    for result in predictor.stream(sample["picture"] for sample in samples):
        if result.person is not None:
            people[result.number].append(result.person)
    return people
