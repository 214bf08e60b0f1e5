"""One recovered person: numbers, mesh, overlay, files."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image
from torch import Tensor

from bilayer_graph.body import PerspectiveCamera, Skeleton, matrix_to_axis_angle
from bilayer_graph.data.overlay import lay_over, overlay
from bilayer_graph.errors import InputError
from bilayer_graph.pictures import crop_image, limbs, person_box, to_crop, to_tensor

PANEL_SIZE = 384
"""Side of each of the four panels of an overlay, in pixels."""

_CLAY = (204, 194, 184, 255)


@dataclass(frozen=True, eq=False)
class Person:
    """What the model says of one person; metres, camera axes (x right, y down, z forward).

    Attributes:
        joints: The skeleton's 12 joints, pelvis at the origin, ``[12, 3]``.
        vertices: The body, pelvis at the origin, ``[V, 3]``; what is shown and saved.
        free_vertices: The mesh of the mesh branch, ``[V, 3]``: the body plus what the body model
            cannot say.
        body_pose: Rotations of the bones relative to their parents, ``[23, 3, 3]``.
        global_orient: Rotation from the body's to the camera's axes, ``[3, 3]``.
        betas: Shape coefficients, ``[10]``.
        camera: The picture's camera, and the person's place before it.
        crop: Centre x and y and side of the square that the model saw, in pixels, ``[3]``.
        keypoints: COCO's 17 keypoints in pixels, and confidence, ``[17, 3]``.
        score: Confidence of the person, in [0, 1]; 1 where keypoints were given.
        uncertain: Whether the detector gave the person only because it found nobody better.
        picture: The picture.
        faces: Triangles of the meshes, ``[F, 3]``.
        skeleton: Names and bones of the joints.
    """

    joints: Tensor
    vertices: Tensor
    free_vertices: Tensor
    body_pose: Tensor
    global_orient: Tensor
    betas: Tensor
    camera: PerspectiveCamera
    crop: Tensor
    keypoints: Tensor
    score: float
    uncertain: bool
    picture: Image.Image = field(repr=False)
    faces: Tensor = field(repr=False)
    skeleton: Skeleton = field(repr=False)

    @property
    def joints2d(self) -> Tensor:
        """The skeleton's joints in pixels of the picture, ``[12, 2]``."""
        return self.camera.project(self.joints)

    def mesh(self, floor: bool = False) -> trimesh.Trimesh:
        """Return the body as a mesh with smooth normals; y up, facing +z, as viewers expect.

        Args:
            floor: Whether the lowest point is moved to y = 0; else the pelvis is the origin.
        """
        upright = self.vertices.cpu().numpy() * np.array([1.0, -1.0, -1.0])
        if floor:
            upright[:, 1] -= upright[:, 1].min()
        material = trimesh.visual.material.PBRMaterial(
            name="clay", baseColorFactor=_CLAY, metallicFactor=0.0, roughnessFactor=0.8
        )
        mesh = trimesh.Trimesh(
            upright,
            self.faces.numpy(),
            process=False,
            visual=trimesh.visual.TextureVisuals(material=material),
        )
        # Computed now, so that they are written.
        mesh.vertex_normals  # noqa: B018
        mesh.metadata["name"] = "person"
        return mesh

    def overlay(self) -> Image.Image:
        """Return four panels: the person, the body over it, from the side and from above."""
        centre, side = person_box(self.keypoints)
        drawn = limbs(self.keypoints)
        keypoints = torch.cat([to_crop(drawn[:, :2], centre, side), drawn[:, 2:]], dim=1)

        def project(points: Tensor) -> Tensor:
            return to_crop(self.camera.project(points), centre, side)

        return overlay(
            crop_image(self.picture, centre, side, PANEL_SIZE),
            keypoints,
            self.vertices,
            self.faces,
            self.joints,
            project,
            self.skeleton,
        )

    def save(self, folder: str | Path, overlay: bool = True, floor: bool = False) -> None:
        """Write ``mesh.glb``, ``mesh.obj``, ``prediction.npz`` and ``overlay.png``.

        Args:
            folder: Where to; made if need be.
            overlay: Whether to draw and write the overlay.
            floor: As for :meth:`mesh`.

        Raises:
            InputError: If the folder or a file cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mesh = self.mesh(floor)
            mesh.export(folder / "mesh.glb", include_normals=True)
            mesh.export(folder / "mesh.obj", include_texture=False)
            np.savez(folder / "prediction.npz", **self.arrays())  # type: ignore[arg-type]
            if overlay:
                # Fast rather than small: the file is to be looked at.
                self.overlay().save(folder / "overlay.png", compress_level=1)
        except OSError as error:
            remedy = "Give a folder that can be written to, on a disk with space"
            problem = f"cannot be written ({error.strerror or error})"
            raise InputError("folder", folder, problem, remedy) from error

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all numbers as they are saved; rotations as axis-angle vectors."""
        tensors = {
            "joints": self.joints,
            "joints2d": self.joints2d,
            "vertices": self.vertices,
            "free_vertices": self.free_vertices,
            "body_pose": matrix_to_axis_angle(self.body_pose),
            "global_orient": matrix_to_axis_angle(self.global_orient),
            "betas": self.betas,
            "place": self.camera.place,
            "focal": torch.tensor(self.camera.focal),
            "centre": self.camera.centre,
            "crop": self.crop,
            "keypoints": self.keypoints,
            "score": torch.tensor(self.score),
        }
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def overlay_people(people: list[Person]) -> Image.Image:
    """Return the picture of some people with all their bodies laid over it.

    Args:
        people: At least one, all of one picture.
    """
    return lay_over(
        to_tensor(people[0].picture),
        [person.vertices + person.camera.place for person in people],
        people[0].faces,
        [person.camera.project(person.vertices) for person in people],
    )
