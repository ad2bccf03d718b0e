"""The notebook runs on the output of `evaluate`, notices a wrong figure, and is committed without outputs."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from nelf.evaluate import EvalConfig, evaluate

from .evaluate.views import make_views, noisy_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "psnr_evaluation.ipynb"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    views = make_views(4)
    models = {"teacher": noisy_model(views, 0.02), "student": noisy_model(views, 0.1), "ios": noisy_model(views, 0.11)}
    evaluate(models, views, tmp_path / "tiny" / "eval", EvalConfig(lpips=False))
    return tmp_path / "tiny"


def execute(run: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    # The kernel that "python3" names may be another Python's; the one that runs the tests is meant.
    kernels = run.parent / "kernels" / "python3"
    kernels.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernels / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "tests", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(run.parent))
    monkeypatch.setenv("IPYTHONDIR", str(run.parent / "ipython"))
    monkeypatch.setenv("NELF_RUN", str(run))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()


def test_it_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [output for cell in execute(run, monkeypatch).cells for output in cell.get("outputs", [])]
    text = "\n".join(output.get("text", "") for output in outputs)
    assert "tiny: 4 views, models teacher, student, ios" in text
    assert text.count("as metrics.json says") == 3
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1 + 3
    (table,) = (output["data"]["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {}))
    assert "| student |" in table
    assert "eval.lpips=false" in table
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_it_notices_a_wrong_figure(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = run / "eval" / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["student"]["views"]["r_2"]["psnr"] += 0.5
    file.write_text(json.dumps(metrics))
    with pytest.raises(CellExecutionError, match="r_2"):
        execute(run, monkeypatch)


def test_it_is_committed_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
