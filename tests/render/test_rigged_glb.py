"""Rigged bodies: skinned from the file's own numbers, by the standard's validator, in three.js."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from browser import needs_browser, node_package, visit
from gltf_file import Gltf
from motion_samples import FRAMES, TIMES, posed, rig, rotations, translation, y_up

from bilayer_graph.body import BodyModel, make_rigs, read_body_file
from bilayer_graph.body.body_file import BUILTIN_BODY
from bilayer_graph.errors import InputError
from bilayer_graph.render.rigged_glb import write_rigged_glb

# The sums of float32 matrices along a chain of joints.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    path = tmp_path_factory.mktemp("glb") / "moving.glb"
    write_rigged_glb(rig(), path, rotations(), translation(), TIMES)
    return path


def test_every_frame_is_the_body(moving):
    gltf = Gltf(moving)
    expected = y_up(posed(rotations(), translation()))
    for time, vertices in zip(TIMES, expected, strict=True):
        np.testing.assert_allclose(gltf.skinned(time), vertices, atol=TOLERANCE)
    # Without the animation the body stands as in the first frame.
    np.testing.assert_allclose(gltf.skinned(), expected[0], atol=TOLERANCE)


def test_what_is_in_the_file(moving):
    gltf = Gltf(moving)
    nodes = gltf.document["nodes"]
    names = [nodes[joint]["name"] for joint in gltf.skin["joints"]]
    assert len(names) == len(set(names)) == 24
    assert names[0] == "Hips"
    assert {"Spine2", "Head", "LeftUpLeg", "RightForeArm", "LeftToeBase"} < set(names)
    assert [nodes[0]["name"], gltf.mesh["name"]] == ["person", "person"]
    assert [material["name"] for material in gltf.document["materials"]] == ["clay"]
    weights = gltf.attribute("WEIGHTS_0")
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (gltf.attribute("JOINTS_0")[weights == 0] == 0).all()
    assert {row["target"]["path"] for row in gltf.document["animations"][0]["channels"]} == {
        "translation",
        "rotation",
    }
    np.testing.assert_array_equal(gltf.array(gltf.part["indices"]).reshape(-1, 3), rig().faces)
    # Left is +x, up is +y, toes point to +z: the rest pose is a T-pose that faces the viewer.
    rest = -gltf.array(gltf.skin["inverseBindMatrices"]).reshape(-1, 4, 4)[:, 3, :3]
    place = dict(zip(names, rest, strict=True))
    assert place["LeftHand"][0] > 0.5
    assert place["Head"][1] > 0.4
    assert place["LeftToeBase"][2] > place["LeftFoot"][2] + 0.05


def test_normals_are_those_of_the_surface(moving):
    gltf = Gltf(moving)
    vertices, normals = gltf.attribute("POSITION"), gltf.attribute("NORMAL")
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    faces = np.asarray(rig().faces)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], np.cross(b - a, c - a))
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(normals, total, atol=1e-3)


def test_half_way_between_two_frames_goes_the_short_way(moving):
    (animation,) = Gltf(moving).document["animations"]
    gltf = Gltf(moving)
    for sampler in animation["samplers"][1:]:
        turns = gltf.array(sampler["output"])
        assert ((turns[1:] * turns[:-1]).sum(1) > 0).all()


def test_what_a_pose_adds_is_built_in():
    """A body with pose blend shapes, as SMPL has: exact in the pose that it is made for."""
    draw = np.random.default_rng(0)
    body = BodyModel(
        {**read_body_file(BUILTIN_BODY), "posedirs": draw.normal(0, 0.01, (6890, 3, 207))}
    )
    turns = torch.from_numpy(rotations()[:1])
    (one,) = make_rigs(body, torch.zeros(1, 10), turns[:, 1:])
    expected = body(torch.zeros(1, 10), turns[:, 1:], turns[:, 0]).vertices[0]
    skinned = skin(one, turns[0])
    np.testing.assert_allclose(skinned, expected, atol=TOLERANCE)
    (bare,) = make_rigs(body, torch.zeros(1, 10))
    assert np.abs(skin(bare, turns[0]) - expected.numpy()).max() > 0.005


def skin(one, turns):
    """Linear blend skinning of a rig, joint after joint."""
    world, places = [], []
    for joint, parent in enumerate(one.parents):
        turn = turns[joint].numpy().astype(np.float64)
        offset = one.offsets[joint].numpy()
        world.append(turn if parent < 0 else world[parent] @ turn)
        places.append(offset if parent < 0 else places[parent] + world[parent] @ offset)
    vertices = one.vertices.numpy()
    parts = [
        (vertices - one.joints[joint].numpy()) @ world[joint].T + places[joint]
        for joint in range(len(world))
    ]
    return np.einsum("vk,kvi->vi", one.weights.numpy(), np.stack(parts))


@pytest.mark.parametrize(
    "times", [[0.0, 0.1, 0.1], [-0.1, 0.1, 0.2], [0.0, 0.2, 0.1], [np.nan] * 3]
)
def test_times_that_do_not_grow(tmp_path, times):
    with pytest.raises(InputError, match="they do not grow"):
        write_rigged_glb(
            rig(), tmp_path / "x.glb", rotations()[:3], translation()[:3], np.array(times)
        )
    assert not (tmp_path / "x.glb").exists()


VALIDATE = """
const file = require("fs").readFileSync(process.argv[2]);
require(process.argv[1]).validateBytes(new Uint8Array(file)).then(
  report => console.log(JSON.stringify(report.issues)));
"""


def test_the_validator_finds_nothing(moving, tmp_path):
    package, node = node_package("gltf-validator"), shutil.which("node")
    if node is None:
        pytest.skip("no Node on this machine")
    still = tmp_path / "still.glb"
    write_rigged_glb(rig(), still, rotations()[:1], translation()[:1])
    for path in (moving, still):
        words = [node, "-e", VALIDATE, package, path]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["messages"] == []


PAGE = """<!DOCTYPE html><meta charset="utf-8"><pre id="result"></pre>
<script type="importmap">{"imports": {"three": "FOLDER/build/three.module.js"}}</script>
<script type="module">
import * as THREE from "three";
import { GLTFLoader } from "FOLDER/examples/jsm/loaders/GLTFLoader.js";
const bytes = Uint8Array.from(atob("GLB"), sign => sign.charCodeAt(0));
new GLTFLoader().parse(bytes.buffer, "", gltf => {
  const mesh = gltf.scene.getObjectByProperty("type", "SkinnedMesh");
  const mixer = new THREE.AnimationMixer(gltf.scene);
  mixer.clipAction(gltf.animations[0]).setLoop(THREE.LoopOnce).play();
  mixer.clipAction(gltf.animations[0]).clampWhenFinished = true;
  const count = mesh.geometry.attributes.position.count;
  const found = TIMES.map(time => {
    mixer.setTime(time);
    gltf.scene.updateMatrixWorld(true);
    const place = new THREE.Vector3(), numbers = [];
    for (let i = 0; i < count; i++)
      numbers.push(...mesh.getVertexPosition(i, place).applyMatrix4(mesh.matrixWorld).toArray());
    return numbers.map(number => number.toFixed(6));
  });
  const bones = mesh.skeleton.bones.length;
  document.getElementById("result").textContent = JSON.stringify({ bones, found });
}, error => console.error(error));
</script>
"""


@needs_browser
def test_three_js_shows_the_body(moving, tmp_path):
    times = [TIMES[0], TIMES[5], TIMES[FRAMES - 1]]
    page = PAGE.replace("FOLDER", node_package("three").as_uri())
    page = page.replace("TIMES", json.dumps(times))
    page = page.replace("GLB", base64.b64encode(moving.read_bytes()).decode())
    (tmp_path / "page.html").write_text(page)
    printed, console = visit(tmp_path / "page.html", "--dump-dom")
    assert console == []
    result = json.loads(printed.split('<pre id="result">')[1].split("</pre>")[0])
    assert result["bones"] == 24
    expected = y_up(posed(rotations(), translation()))[[0, 5, FRAMES - 1]]
    found = np.array(result["found"], dtype=float).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-4)
