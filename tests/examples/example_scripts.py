import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

from bilayer_graph.body import COCO_TO_JOINTS

EXAMPLES = Path(__file__).parents[2] / "examples"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def write_coco(path, people):
    annotations = []
    for joints in people:
        keypoints = np.zeros((17, 3))
        keypoints[list(COCO_TO_JOINTS)] = np.concatenate([joints, np.full((12, 1), 2.0)], axis=1)
        annotations.append({"image_id": 1, "keypoints": keypoints.flatten().tolist()})
    images = [{"id": 1, "file_name": path.with_suffix(".png").name}]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
