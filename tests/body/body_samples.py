"""A small random body with the fields of an SMPL file."""

import numpy as np

from bilayer_graph.body import SMPL_PARENTS


def smpl_arrays(vertices: int = 60) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    regressor = random.random((24, vertices)) * (random.random((24, vertices)) < 0.2)
    regressor[:, 0] += 0.1
    weights = random.random((vertices, 24)) ** 8
    parents = np.array(SMPL_PARENTS, np.int64)
    parents[0] = 2**32 - 1
    return {
        "v_template": random.normal(size=(vertices, 3)),
        "shapedirs": random.normal(size=(vertices, 3, 12)),
        "posedirs": 0.1 * random.normal(size=(vertices, 3, 207)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(24)]).astype(np.uint32),
        "f": random.integers(0, vertices, (90, 3)).astype(np.uint32),
    }
