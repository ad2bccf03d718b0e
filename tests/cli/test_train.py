"""nelf teach and nelf train on damaged files of an interrupted run."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.pipeline.commands import (
    cut,
    refused,
    works,
)

pytestmark = pytest.mark.slow


def unfinished(run: Path) -> Path:
    """Make a run's training look interrupted; returns its newest checkpoint."""
    record = run / "student" / "stage.json"
    content = json.loads(record.read_text())
    del content["outputs"]
    record.write_text(json.dumps(content))
    (run / "student" / "student.safetensors").unlink()
    return sorted((run / "student" / "checkpoints").iterdir())[-1]


def test_training_checkpoint_cut_short(run: Path) -> None:
    newest = unfinished(run)
    cut(newest, 0.7)
    line = refused("train", run)
    assert f"{newest} is cut short" in line
    assert "delete" in line
    assert not (run / "student" / "student.safetensors").exists()
    newest.unlink()
    outcome = works("train", run)
    assert "going on from step" in outcome.out + outcome.err


@pytest.mark.parametrize("part", ["shape", "name"])
def test_training_checkpoint_of_another_architecture(run: Path, part: str) -> None:
    newest = unfinished(run)
    content = torch.load(newest, weights_only=True)
    weights = content["state"]["learner"]["model"]
    key = next(key for key in weights if weights[key].ndim == 4)
    if part == "shape":
        weights[key] = weights[key][:-1]
    else:
        weights["tower." + key] = weights.pop(key)
    torch.save(content, newest)
    line = refused("train", run)
    assert "has another architecture" in line
    assert str(newest.parent) in line


def test_teacher_checkpoint_of_another_teacher(run: Path) -> None:
    shutil.rmtree(run / "teacher")
    folder = run / "teacher" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"format": "nelf-checkpoint-1", "step": 3, "state": {"field": {}}}, folder / "checkpoint-000000003.pt")
    # Without a record, what lies in the folder is a leftover of something else: it is not used.
    works("teach", run)
    record = run / "teacher" / "stage.json"
    content = json.loads(record.read_text())
    del content["outputs"]
    record.write_text(json.dumps(content))
    folder.mkdir(exist_ok=True)
    torch.save({"format": "nelf-checkpoint-1", "step": 3, "state": {"field": {}}}, folder / "checkpoint-000000003.pt")
    assert "is of another teacher; remove that folder to start over" in refused("teach", run)
