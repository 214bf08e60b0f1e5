"""Train the small model on 2D keypoints of synthetic people, in a page to change.

    pip install -e ".[train]"
    python examples/train.py

A few minutes give a model whose bodies are bodies; ``bilayer-graph train`` has more options, and
docs/weights.md the command that made the shipped weights.
"""

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from bilayer_graph.body import BodyModel
from bilayer_graph.models import SMALL, assemble_model, save_model
from bilayer_graph.synthetic import GeometrySamples, PoseBank
from bilayer_graph.training.lightning import LiftingTraining

STEPS, BATCH = 600, 512

pl.seed_everything(0)
body = BodyModel.load()
model = assemble_model(SMALL, body)  # dataclasses.replace(SMALL, num_blocks=5) gives another
samples = GeometrySamples(body, model.vertex_index, PoseBank(body), BATCH, STEPS)
held_out = GeometrySamples(body, model.vertex_index, PoseBank(body, seed=1), BATCH, 2, seed=1)

task = LiftingTraining(model, body, learning_rate=1.5e-3, total_steps=STEPS)
trainer = pl.Trainer(max_epochs=1, precision="bf16-mixed", logger=False)
trainer.fit(task, DataLoader(samples, batch_size=None), DataLoader(held_out, batch_size=None))
print({name: round(float(error), 1) for name, error in trainer.callback_metrics.items()})

save_model(task.mean_model, "small.safetensors")
