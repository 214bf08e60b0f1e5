import importlib
import json
import sys
from pathlib import Path

import numpy as np

from bilayer_graph.body import COCO_TO_JOINTS

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_script(name):
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    return importlib.import_module(name)


def write_coco(path, people):
    annotations = []
    for joints in people:
        keypoints = np.zeros((17, 3))
        keypoints[list(COCO_TO_JOINTS)] = np.concatenate([joints, np.full((12, 1), 2.0)], axis=1)
        annotations.append({"image_id": 1, "keypoints": keypoints.flatten().tolist()})
    images = [{"id": 1, "file_name": path.with_suffix(".png").name}]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
