"""Smooth bodies: what a person does is filtered as it comes, and the shape is one for all."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bilayer_graph.body import BodyModel, ReducedBody
from bilayer_graph.person import Person
from bilayer_graph.video.following import FramePeople
from bilayer_graph.video.one_euro import OneEuro

# Cutoff in Hz and beta of the filters of rotations (radians), of the ray to the pelvis (tangents)
# and of the logarithm of its depth: chosen on walks whose truth is known, see docs/video.md.
_TURN, _RAY, _DEPTH = (1.5, 1.5), (2.0, 60.0), (0.6, 3.0)


class BodyFilter:
    """Filters one person's pose and place, frame by frame.

    Depth is what one picture says least of, so it is filtered most; the ray to the pelvis, which
    an overlay shows, least.
    """

    def __init__(self) -> None:
        self._turn = OneEuro(*_TURN, rotations=True)
        self._ray = OneEuro(*_RAY)
        self._depth = OneEuro(*_DEPTH)

    def __call__(self, time: float, rotations: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return filtered rotations ``[24, 3, 3]`` and place ``[3]``; times in seconds grow."""
        rotations = self._turn(rotations, time)
        depth = self._depth(place[2:].log(), time).exp()
        ray = self._ray(place[:2] / place[2:], time)
        return rotations, torch.cat([ray * depth, depth])


@dataclass
class _Course:
    """What is known of a person so far."""

    filter: BodyFilter = field(default_factory=BodyFilter)
    betas: Tensor | None = None
    count: int = 0


class Smoother:
    """Smooths people of a video as they come.

    The shape is the mean over the frames so far. A body that is larger in one frame is also farther
    away there, so the place moves with the size.

    Args:
        body: The body that the people have.
    """

    def __init__(self, body: BodyModel) -> None:
        self._body = body
        self._sizes = BodySizes(ReducedBody(body, torch.arange(1)))
        self._courses: dict[int, _Course] = {}

    def __call__(self, frame: FramePeople) -> FramePeople:
        """Return the next frame with its people smoothed."""
        people = {
            number: self._smoothed(number, frame.time, person)
            for number, person in frame.people.items()
        }
        return replace(frame, people=people)

    def _smoothed(self, number: int, time: float, person: Person) -> Person:
        rotations = torch.cat([person.global_orient[None], person.body_pose])
        place = person.camera.place
        rotations, betas, place = self.step(number, time, rotations, person.betas, place)
        device = self._body.v_template.device
        pose = (betas[None], rotations[None, 1:], rotations[None, 0])
        vertices = self._body(*(tensor.to(device) for tensor in pose)).vertices
        joints = self._body.joints(vertices)[0].cpu()
        vertices = vertices[0].cpu()
        return replace(
            person,
            joints=joints,
            vertices=vertices,
            free_vertices=vertices + person.free_vertices - person.vertices,
            body_pose=rotations[1:],
            global_orient=rotations[0],
            betas=betas,
            camera=replace(person.camera, place=place),
        )

    def step(
        self, number: int, time: float, rotations: Tensor, betas: Tensor, place: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return smoothed rotations, shape and place of the person with a number."""
        course = self._courses.setdefault(number, _Course())
        course.count += 1
        mean = betas if course.betas is None else course.betas
        course.betas = mean + (betas - mean) / course.count
        place = place * (self._sizes(course.betas) / self._sizes(betas))
        rotations, place = course.filter(time, rotations, place)
        return rotations, course.betas, place


class BodySizes:
    """How large bodies are: the bones of their skeletons, one after the other, in metres.

    Args:
        body: The body; any vertices of it will do.
    """

    def __init__(self, body: ReducedBody) -> None:
        rest = body.rest_joints.cpu()
        self._bones = rest[1:] - rest[list(body.parents[1:])]

    def __call__(self, betas: Tensor) -> Tensor:
        """Return the sizes ``[...]`` of shapes ``[..., S]``."""
        moved = torch.einsum("kcs,...s->...kc", self._bones[..., 1:], betas)
        lengths: Tensor = (self._bones[..., 0] + moved).norm(dim=-1)
        return lengths.sum(-1)
