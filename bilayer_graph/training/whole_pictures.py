"""Evaluation from whole pictures: the detector, the crop, the model, the refinement."""

from collections.abc import Iterator, Sequence

import torch

from bilayer_graph.body import ReducedBody
from bilayer_graph.person import Person
from bilayer_graph.predict import Predictor
from bilayer_graph.synthetic import Scenes
from bilayer_graph.training.families import picture_families
from bilayer_graph.training.measured import Measured
from bilayer_graph.training.picture_errors import (
    Sample,
    nearest_person,
    picture_errors,
    shape_errors,
)

# Pictures in memory at once.
_PICTURES = 32


@torch.no_grad()
def evaluate_pictures(predictor: Predictor, scenes: Scenes) -> Measured:
    """Recover the people of all pictures, whose field of view nobody knows, and measure them.

    Args:
        predictor: Who recovers them.
        scenes: The pictures, of one person each.

    Returns:
        The errors of :func:`~bilayer_graph.training.picture_errors.picture_errors` and
        :func:`~bilayer_graph.training.picture_errors.shape_errors` and the families of
        :func:`~bilayer_graph.training.families.picture_families`.
    """
    body, model = predictor.body, predictor.model
    mesh = ReducedBody(body, model.vertex_index)
    whole = ReducedBody(body, torch.arange(len(body.v_template)))
    people = []
    for sample, person in _recovered(predictor, scenes):
        row: dict[str, float] = {}
        if person is not None:
            row = picture_errors(person, sample, mesh) | shape_errors(person, sample, whole)
        errors = {name: torch.tensor([error]) for name, error in row.items()}
        found = torch.tensor([person is not None])
        people.append(Measured(errors, found, picture_families(sample, person)))
    return Measured.join(people)


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
