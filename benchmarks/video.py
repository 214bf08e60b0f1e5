"""Measure how many frames of a video are recovered a second, from file to files.

    python benchmarks/video.py

Renders somebody who walks (640 x 480, 25 frames a second), runs the command on it as a user would,
and compares the track that it writes with the truth. The command's own figure leaves out the start
of the program; the seconds of the whole process are beside it.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from walk import Walk, render_walk

from bilayer_graph.body import BodyModel
from bilayer_graph.training.metrics import mpjpe, pa_mpjpe
from bilayer_graph.video import Track

ROWS = {
    "--smooth": ["--smooth"],
    "--smooth --no-overlay": ["--smooth", "--no-overlay"],
    "--smooth, one thread": ["--smooth"],
}


def main() -> int:
    """Print a table; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each row, in turns")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "walk.mp4"
        walk = render_walk(BodyModel.load(), arguments.frames, video)
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ROWS}
        for _ in range(arguments.repeats):
            for name, options in ROWS.items():
                runs[name].append(_recover(video, options, one_thread="one thread" in name))
        errors = _errors(walk, Track.load(video.with_suffix("") / "track_0.npz"))
    print(
        f"{arguments.frames} frames of 640 x 480, one person; medians of {arguments.repeats} runs"
    )
    print(f"{'options':24} {'frames/s':>8} {'least':>6} {'most':>6} {'process, s':>11}")
    for name, measured in runs.items():
        rates, seconds = np.array(measured).T
        print(
            f"{name:24} {np.median(rates):8.1f} {rates.min():6.1f} {rates.max():6.1f} "
            f"{np.median(seconds):11.1f}"
        )
    print(errors)
    return 0


def _recover(video: Path, options: list[str], one_thread: bool) -> tuple[float, float]:
    """Return the frames a second that the command says, and the seconds of its process."""
    words = ["recover", "--video", str(video), "--out", str(video.with_suffix("")), *options]
    environment = os.environ | ({"OMP_NUM_THREADS": "1"} if one_thread else {})
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bilayer_graph.cli", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said = re.search(r"([\d.]+) frames", done.stdout.split(",")[-1])
    assert said is not None, done.stdout
    return float(said[1]), time.perf_counter() - start


def _errors(walk: Walk, track: Track) -> str:
    """Return how far the joints of a track are from the truth."""
    rows = torch.from_numpy(track.frames)
    joints, truth = torch.from_numpy(track.joints).float(), walk.joints[rows]
    apart, aligned = (float(f(joints, truth).mean()) for f in (mpjpe, pa_mpjpe))
    pixels = torch.from_numpy(track.keypoints)[:, 5:, :2] - walk.keypoints[rows, 5:]
    off = float(pixels.norm(dim=-1).mean())
    return (
        f"joints of the track: MPJPE {apart:.0f}, PA-MPJPE {aligned:.0f} mm; detected {off:.1f} "
        f"pixels off; in {len(rows)} of {len(walk.joints)} frames"
    )


if __name__ == "__main__":
    sys.exit(main())
