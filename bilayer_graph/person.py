"""One recovered person: numbers, mesh, overlay, files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image
from torch import Tensor

from bilayer_graph.body import PerspectiveCamera, Rig, Skeleton, matrix_to_axis_angle
from bilayer_graph.errors import not_written
from bilayer_graph.pictures import crop_image, limbs, person_box, to_crop
from bilayer_graph.render.mesh_files import viewer_mesh, write_glb, write_obj
from bilayer_graph.render.panels import overlay
from bilayer_graph.render.rigged_glb import write_rigged_glb

PANEL_SIZE = 384
"""Side of each of the four panels of an overlay, in pixels."""
FILES = ("mesh.glb", "rigged.glb", "mesh.obj", "prediction.npz", "overlay.png")
"""What :meth:`Person.save` writes."""


@dataclass(frozen=True, eq=False, repr=False)
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
        rig: The body in its T-pose, and what moves it.
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
    picture: Image.Image
    faces: Tensor
    skeleton: Skeleton
    rig: Rig

    def __repr__(self) -> str:
        place = ", ".join(f"{metres:.2f}" for metres in self.camera.place.tolist())
        shapes = f"joints={list(self.joints.shape)}, vertices={list(self.vertices.shape)}"
        return f"Person({shapes}, place=[{place}], score={self.score:.2f})"

    @property
    def joints2d(self) -> Tensor:
        """The skeleton's joints in pixels of the picture, ``[12, 2]``."""
        return self.camera.project(self.joints)

    @property
    def rotations(self) -> Tensor:
        """``global_orient`` and ``body_pose`` together, ``[24, 3, 3]``."""
        return torch.cat([self.global_orient[None], self.body_pose])

    @property
    def height(self) -> float:
        """How tall the body is when it stands upright, metres; a photo alone hardly says."""
        return self.rig.height

    def mesh(self, floor: bool = False) -> trimesh.Trimesh:
        """Return the body as a mesh with smooth normals; y up, facing +z, as viewers expect.

        Args:
            floor: Whether the lowest point is moved to y = 0; else the pelvis is the origin.
        """
        return viewer_mesh(self.vertices.numpy(), self.faces.numpy(), floor)

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
        """Write ``mesh.glb``, ``rigged.glb``, ``mesh.obj``, ``prediction.npz``, ``overlay.png``.

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
            write_glb(mesh, folder / "mesh.glb")
            self._write_rigged(folder / "rigged.glb", floor)
            write_obj(mesh, folder / "mesh.obj")
            np.savez(folder / "prediction.npz", **self.arrays())  # type: ignore[arg-type]
            if overlay:
                # Fast rather than small: the file is to be looked at.
                self.overlay().save(folder / "overlay.png", compress_level=1)
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be
            raise not_written("folder", folder, error) from error

    def _write_rigged(self, path: Path, floor: bool) -> None:
        translation = torch.zeros(1, 3)
        if floor:
            translation[0, 1] = -self.vertices[:, 1].max()
        write_rigged_glb(self.rig, path, self.rotations[None].numpy(), translation.numpy())

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
