"""The call of the model: people of one batch, from keypoints to bodies before their cameras."""

import math

import torch
from torch import Tensor

from bilayer_graph.body import BodyModel, PerspectiveCamera, make_rigs
from bilayer_graph.models import BilayerHMR
from bilayer_graph.models.lifting import Crops, lift
from bilayer_graph.person import Person
from bilayer_graph.pictures import crop_image, keypoints_box, to_crop
from bilayer_graph.recovery.find import Candidate


def recover_bodies(
    model: BilayerHMR, body: BodyModel, people: list[Candidate], field_of_view: float
) -> list[Person]:
    """Recover the bodies of a batch of people.

    Args:
        model: The model.
        body: The body that it was trained on.
        people: At least one.
        field_of_view: Degrees along the longer side of each picture.
    """
    keypoints = torch.stack([one.seen.keypoints for one in people])
    centre, side = keypoints_box(keypoints)
    middle = torch.tensor([one.picture.size for one in people], dtype=torch.float32) / 2
    focal = middle.amax(1) / math.tan(math.radians(field_of_view) / 2)
    points = torch.cat([to_crop(keypoints[..., :2], centre, side), keypoints[..., 2:]], -1)
    device = body.v_template.device
    crops = Crops(
        # Where a missing joint is said to be means nothing.
        keypoints=torch.where(points[..., 2:] > 0, points, 0).to(device),
        centre=((centre - middle) / focal.unsqueeze(1)).to(device),
        half=(side / 2 / focal).to(device),
        patches=(patches := _patches(people, device)),
        image=_images(model, people, centre, side) if patches is None else None,
    )
    bodies = lift(model, body, crops)
    rigs = make_rigs(body, bodies.betas, bodies.rotations[:, 1:])
    lifted = {name: x.float().cpu() for name, x in vars(bodies).items()}
    found = []
    for row, one in enumerate(people):
        # Copies: a person that is kept must not keep its batch.
        own = {name: tensor[row].clone() for name, tensor in lifted.items()}
        person = Person(
            joints=own["joints"],
            vertices=own["vertices"],
            free_vertices=own["free_vertices"],
            body_pose=own["rotations"][1:],
            global_orient=own["rotations"][0],
            betas=own["betas"],
            camera=PerspectiveCamera(float(focal[row]), middle[row].clone(), own["place"]),
            crop=torch.cat([centre[row], side[row].view(1)]),
            keypoints=one.seen.keypoints,
            score=one.seen.score,
            uncertain=one.seen.uncertain,
            picture=one.picture,
            faces=rigs[row].faces,
            skeleton=body.skeleton,
            rig=rigs[row],
        )
        found.append(person)
    return found


def is_finite(person: Person) -> bool:
    """Return whether all that the model says of a person is numbers."""
    tensors = (
        person.joints,
        person.vertices,
        person.free_vertices,
        person.body_pose,
        person.global_orient,
        person.betas,
        person.camera.place,
    )
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _patches(people: list[Candidate], device: torch.device) -> Tensor | None:
    """Return what the model sees of all people, if it need look at none."""
    patches = [one.seen.patches for one in people]
    known = [seen for seen in patches if seen is not None]
    return torch.stack(known).to(device) if len(known) == len(people) else None


def _images(
    model: BilayerHMR, people: list[Candidate], centre: Tensor, side: Tensor
) -> Tensor | None:
    """Return what the model sees of the pictures, if it looks at them."""
    if model.encoder is None:
        return None
    crops = [
        crop_image(one.picture, middle, length, model.image_size)
        for one, middle, length in zip(people, centre, side, strict=True)
    ]
    return torch.stack(crops).to(next(model.parameters()).device)
