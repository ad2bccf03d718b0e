"""The table that `nelf export` ends with: every bundle of the run, one a row."""

from pathlib import Path

from rich.table import Table

from nelf.export import Manifest
from nelf.pipeline.bundles import bundles_of
from nelf.pipeline.run import Run

COLUMNS = ("bundle", "target", "precision", "MB", "to PyTorch", "to photos", "lost", "ms", "verdict")


def export_table(run: Run, folder: Path) -> Table:
    """Of all bundles in `folder` that are of the run's student, made just now or before. PSNR in dB: the least of the
    golden views against PyTorch, the mean against their photos, and what of that PyTorch has more."""
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("bundle", "target", "precision", "verdict") else "right")
    for name, manifest in bundles_of(run.folder, folder).items():
        table.add_row(name, *row(manifest))
    return table


def row(manifest: Manifest) -> list[str]:
    """The cells of one bundle, without its name."""
    quality, latency, parity = manifest.quality, manifest.latency, manifest.parity
    shown = quality if quality is not None and quality.status == "measured" else None
    verdict = "forced" if shown is not None and shown.forced else parity.status.replace("_", " ")
    if manifest.quantization is not None and manifest.quantization.groups:
        verdict += f", {manifest.quantization.rungs()}"
    if manifest.experimental:
        verdict += ", experimental"
    return [
        manifest.target,
        manifest.precision,
        _number(manifest.model.bytes, ".2f", 1e6),
        _number(parity.psnr_min, ".1f"),
        _number(shown.psnr if shown else None, ".2f"),
        _number(shown.drop_db if shown else None, ".3f"),
        _number(latency.milliseconds if latency else None, ".1f"),
        verdict,
    ]


def _number(value: float | int | None, form: str, unit: float = 1.0) -> str:
    return "-" if value is None else format(value / unit, form)
