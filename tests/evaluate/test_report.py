"""The report: well-formed, self-contained, complete, escaped."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nelf.core.errors import NelfError
from nelf.evaluate import (
    EvalConfig,
    ModelInfo,
    RunInfo,
    evaluate,
    read_picture,
    render_report,
    write_report,
    write_video,
)
from nelf.evaluate import report as report_module
from nelf.evaluate.html import psnr_chart
from nelf.evaluate.report import choose_views

from .views import make_views, noisy_model

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects text and attributes, and checks that every element closes in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


INFO = RunInfo(
    name="<b>lego</b> & more",
    scene=[("format", "blender"), ("type", "object")],
    models={
        "student": ModelInfo("student <PyTorch>", 3_300_000, "fp32", "", 1_234_567, 2_500_000_000),
        "ios": ModelInfo("iOS", 900, "fp16", "62.1 dB on 8 poses"),
    },
    stage_seconds={"teach": 0.5, "distill": 12.0, "train": 4000.0},
    config_yaml="student:\n  name: <m>\n",
    commands=["nelf run 'a & b'"],
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    views = make_views(5)
    models = {name: noisy_model(views, noise) for name, noise in {"ios": 0.11, "student": 0.1, "teacher": 0.02}.items()}
    evaluate(models, views, tmp_path / "eval", EvalConfig(lpips=False))
    return tmp_path


def test_report_says_everything(run: Path) -> None:
    path = write_report(run, INFO)
    assert path == run / "report.html"
    text = " ".join("".join(Page(path.read_text()).text).split())
    for words in (
        "<b>lego</b> & more", "student <PyTorch>", "teacher", "iOS", "62.1 dB on 8 poses", "3.30 MB", "1 kB",
        "1.23 M", "2.5 G",
        "LPIPS (alex), LPIPS (vgg) unavailable (all models): eval.lpips=false", "train1 h 6 min", "12.0 s", "blender",
        "name: <m>", "nelf run 'a & b'", "r_4 worst", "r_2 median", "r_0 best",
    ):  # fmt: skip
        assert words in text, words


def test_report_loads_nothing(run: Path) -> None:
    html = write_report(run, INFO).read_text()
    page = Page(html)
    for tag, key, value in page.attributes:
        if key in ("src", "href", "data", "srcset", "poster", "action"):
            assert value.startswith("data:"), (tag, key, value[:60])
    assert not {tag for tag, _, _ in page.attributes} & {"link", "script", "iframe", "object", "embed"}
    assert "url(" not in html
    assert "@import" not in html


def test_pictures_are_the_evaluations(run: Path) -> None:
    page = Page(render_report(run, INFO))
    sources = [value for tag, key, value in page.attributes if (tag, key) == ("img", "src")]
    assert len(sources) == 5 * (1 + 3 * 2)  # ground truth, and picture and error of three models
    first = Image.open(io.BytesIO(base64.b64decode(sources[0].removeprefix("data:image/png;base64,"))))
    assert torch.equal(torch.from_numpy(np.array(first)), read_picture(run / "eval" / "ground_truth" / "r_4.png"))


def test_a_budget_limits_the_pictures(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "PICTURE_BUDGET", 1)
    page = Page(render_report(run, INFO))
    assert sum(tag == "img" and key == "src" for tag, key, _ in page.attributes) == 7


def test_large_pictures_become_small_jpegs() -> None:
    uri = report_module._data_uri(torch.zeros(900, 1200, 3, dtype=torch.uint8))
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert image.size == (400, 300)


def test_orbit_is_embedded_or_linked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(run / "eval" / "orbit.mp4", [torch.full((16, 16, 3), 200, dtype=torch.uint8)] * 3, 10)
    embedded = Page(render_report(run, INFO)).attributes
    assert any(tag == "video" and value.startswith("data:video/mp4;base64,") for tag, _, value in embedded)
    poster = next(value for tag, key, value in embedded if (tag, key) == ("video", "poster"))
    with Image.open(io.BytesIO(base64.b64decode(poster.removeprefix("data:image/png;base64,")))) as first:
        assert first.size == (16, 16)
        assert np.abs(np.array(first).astype(int) - 200).max() <= 2  # H.264 rounds
    monkeypatch.setattr(report_module, "VIDEO_BUDGET", 0)
    linked = Page(render_report(run, INFO)).attributes
    assert ("a", "href", "eval/orbit.mp4") in linked
    assert ("img", "src", poster) in linked


def test_a_video_that_is_none(run: Path) -> None:
    (run / "eval" / "orbit.mp4").write_bytes(b"no video")
    with pytest.raises(NelfError, match=r"orbit\.mp4 cannot be read; remove it and run `nelf eval` again"):
        render_report(run, INFO)


def test_one_model_one_view(tmp_path: Path) -> None:
    views = make_views(1)
    evaluate({"onnx": noisy_model(views, 0.1)}, views, tmp_path / "eval", EvalConfig(lpips=False))
    assert "onnx" in "".join(Page(render_report(tmp_path, RunInfo("one"))).text)


def test_without_an_evaluation(tmp_path: Path) -> None:
    with pytest.raises(NelfError, match="run `nelf eval`"):
        write_report(tmp_path, INFO)
    assert list(tmp_path.iterdir()) == []


def test_missing_picture(run: Path) -> None:
    (run / "eval" / "student" / "r_4.png").unlink()
    with pytest.raises(NelfError, match=r"r_4\.png"):
        render_report(run, INFO)


def test_pictures_of_another_size(run: Path) -> None:
    Image.new("RGB", (7, 9)).save(run / "eval" / "student" / "r_4.png")
    with pytest.raises(NelfError, match=r"r_4\.png: it is 7x9, not 48x40; run `nelf eval` again"):
        render_report(run, INFO)


@pytest.mark.parametrize(
    ("views", "count", "chosen"),
    [
        ("a", 6, "a"),
        ("ab", 6, "ab"),
        ("abc", 6, "abc"),
        ("abcde", 1, "a"),
        ("abcde", 3, "ace"),
        ("abcdefghi", 5, "aeicg"),
    ],
)
def test_chosen_views(views: str, count: int, chosen: str) -> None:
    assert "".join(choose_views(list(views), count)) == chosen


def test_chart_spans_its_box() -> None:
    chart = psnr_chart({"student": {"a": 20.2, "b": 24.9}}, ["a", "b"])
    assert [text for _, text in chart.grid] == ["20", "21", "22", "23", "24", "25"]
    (line,) = chart.lines
    assert line.dots[0][2] == "student, a: 20.20 dB"
    assert line.dots[0][0] < line.dots[1][0]
    assert chart.baseline >= line.dots[0][1] > line.dots[1][1] >= 0


def test_chart_of_equal_figures() -> None:
    assert len(psnr_chart({"m": {"a": 30.0}}, ["a"]).grid) == 2


def test_lines_that_lie_on_each_other_are_one() -> None:
    """Four files of a student would hide it and each other."""
    student = {"a": 20.0, "b": 30.0}
    files = {name: {view: psnr + 0.01 for view, psnr in student.items()} for name in ("ios", "android")}
    worse = {view: psnr - 0.5 for view, psnr in student.items()}
    chart = psnr_chart({"teacher": {"a": 25.0, "b": 35.0}, "student": student, **files, "w4": worse}, ["a", "b"])
    assert [line.label for line in chart.lines] == ["teacher", "student, ios, android", "w4"]
    assert chart.lines[1].dots[0][2] == "student, ios, android, a: 20.00 to 20.01 dB"
    lacking = psnr_chart({"student": student, "ios": {"a": 20.0}}, ["a", "b"])
    assert [line.label for line in lacking.lines] == ["student", "ios"]
