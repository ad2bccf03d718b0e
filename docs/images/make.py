"""Make the pictures of the documents from the eval folder of a run.

    python docs/images/make.py runs/stilllife docs/images/demo.jpg

Writes one row per view (the student's worst, median and best): the true photo, then every measured model with its PSNR.
"""

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE = 200  # pixels of each picture
GAP, LINE = 6, 22
MODELS = {"teacher": "teacher", "student": "student", "ios": "Core ML file", "android": "LiteRT file"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    folder = options.run / "eval"
    metrics = json.loads((folder / "metrics.json").read_text())
    ranked = sorted(metrics["student"]["views"], key=lambda view: metrics["student"]["views"][view]["psnr"])
    views = [ranked[0], ranked[len(ranked) // 2], ranked[-1]]
    models = {name: label for name, label in MODELS.items() if name in metrics}
    columns = {"ground_truth": "photo", **models}
    size = ((SIDE + GAP) * len(columns) - GAP, (SIDE + LINE + GAP) * len(views) + LINE)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, (name, label) in enumerate(columns.items()):
        x = column * (SIDE + GAP)
        draw.text((x + SIDE / 2, LINE / 2), label, "black", font, anchor="mm")
        for row, view in enumerate(views):
            y = LINE + row * (SIDE + LINE + GAP)
            with Image.open(folder / name / f"{view}.png") as picture:
                scale = SIDE / max(picture.size)
                small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.LANCZOS)
            sheet.paste(small, (x + (SIDE - small.width) // 2, y + (SIDE - small.height) // 2))
            text = view if name == "ground_truth" else f"{metrics[name]['views'][view]['psnr']:.2f} dB"
            draw.text((x + SIDE / 2, y + SIDE + LINE / 2), text, "black", font, anchor="mm")
    sheet.save(options.out, quality=90)


if __name__ == "__main__":
    main()
