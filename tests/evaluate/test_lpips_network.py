"""LPIPS with the right weights or not at all. Tests use no network."""

import hashlib
import socket
import threading
import time
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch

from nelf.evaluate import metrics as lpips_network
from nelf.evaluate.metrics import MetricUnavailable, lpips_distance

ALEX = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty torch hub cache, an empty memory, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(lpips_network, "_loaded", {})
    monkeypatch.setattr(lpips_network, "_silent", {})
    monkeypatch.setattr(lpips_network.urllib.request, "urlopen", no_network)


def no_network(*_: Any, **__: Any) -> None:
    raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))


def put_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with seeded weights in AlexNet's shapes, named by its checksum as torchvision does."""
    random = torch.Generator().manual_seed(0)
    state = {}
    for layer, shape in ALEX.items():
        state[f"features.{layer}.weight"] = torch.randn(shape, generator=random) / (shape[1] * shape[2]) ** 0.5
        state[f"features.{layer}.bias"] = torch.zeros(shape[0])
    folder.mkdir(parents=True)
    torch.save(state, folder / "new")
    name = f"seeded-{hashlib.sha256((folder / 'new').read_bytes()).hexdigest()[:8]}.pth"
    monkeypatch.setitem(lpips_network.BACKBONES, "alex", f"https://weights.invalid/models/{name}")
    return (folder / "new").rename(folder / name)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    a = torch.rand(1, 3, 64, 64, generator=random)
    return a, (a + 0.2 * torch.randn(a.shape, generator=random)).clamp(0, 1)


def test_without_weights_and_network_the_reason_is_given() -> None:
    with pytest.raises(MetricUnavailable, match=r"alexnet-owt-7be5be79\.pth are not in .* Name or service not known"):
        lpips_distance("alex", *images())


def test_the_network_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def count(*_: Any, **__: Any) -> None:
        calls.append(1)
        no_network()

    monkeypatch.setattr(lpips_network.urllib.request, "urlopen", count)
    for backbone in ("alex", "vgg", "alex"):
        with pytest.raises(MetricUnavailable):
            lpips_distance(backbone, *images())
    assert len(calls) == 1


def test_a_silent_network_does_not_hold_us_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        over.wait(30)
        no_network()

    monkeypatch.setattr(lpips_network, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(lpips_network.urllib.request, "urlopen", hang)
    start = time.monotonic()
    with pytest.raises(MetricUnavailable, match="no answer"):
        lpips_distance("alex", *images())
    assert time.monotonic() - start < 10
    over.set()


def test_cached_weights_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put_weights(tmp_path / "checkpoints", monkeypatch)
    a, b = images()
    assert lpips_distance("alex", a, a) == 0
    assert lpips_distance("alex", a, b) > 0.01
    network = lpips_network._loaded["alex"]
    assert isinstance(network, torch.nn.Module)
    state, given = network.state_dict(), torch.load(file, weights_only=True)
    assert torch.equal(state["net.slice3.6.weight"], given["features.6.weight"])
    assert not any(tensor.is_meta for tensor in state.values())
    assert not network.training


def test_the_network_is_the_librarys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our way of building it gives the same as lpips' own constructor with the same backbone."""
    import lpips

    put_weights(tmp_path / "checkpoints", monkeypatch)
    a, b = images()
    ours = lpips_distance("alex", a, b)
    network = lpips_network._loaded["alex"]
    assert isinstance(network, torch.nn.Module)
    with pytest.warns(UserWarning, match="deprecated"):
        theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    theirs.net.load_state_dict(network.net.state_dict())  # type: ignore[union-attr]
    with torch.no_grad():
        assert float(theirs(a, b, normalize=True)) == pytest.approx(ours, rel=1e-5)


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put_weights(tmp_path / "checkpoints", monkeypatch)
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    with pytest.raises(MetricUnavailable, match="damaged"):
        lpips_distance("alex", *images())
