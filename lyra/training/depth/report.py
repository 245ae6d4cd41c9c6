"""Reports of a training run: the curve of metrics and a contact sheet of predictions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lyra.common.files import whole_file

CURVES = ("loss", "abs_rel", "ordinal", "sky_iou", "fov_error")
PANEL = (420, 220)
MARGIN = 34


def append_row(path: Path, row: dict[str, float]) -> None:
    """Appends a row to a .csv file, adding columns for keys that earlier rows lack."""
    rows: list[dict[str, str]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows.append({key: f"{value:.6g}" for key, value in row.items()})
    names = list(dict.fromkeys(name for each in rows for name in each))
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def draw_curve(table: Path, picture: Path) -> None:
    """Plots the columns of `table` over the steps, one panel each, labelled with its range and newest value."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    width, height = PANEL
    sheet = Image.new("RGB", (width * len(CURVES), height), "white")
    draw = ImageDraw.Draw(sheet)
    steps = np.array([float(row["step"]) for row in rows])
    for panel, name in enumerate(CURVES):
        values = np.array([float(row[name]) for row in rows])
        known = np.isfinite(values)
        if not known.any():
            continue
        values = values[known]
        low, high = float(values.min()), float(values.max())
        x = panel * width + MARGIN + (steps[known] / max(steps.max(), 1)) * (width - 2 * MARGIN)
        y = height - MARGIN - (values - low) / max(high - low, 1e-9) * (height - 2 * MARGIN)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=(30, 80, 200), width=2)
        draw.text((panel * width + MARGIN, 8), f"{name}: newest {values[-1]:.3f}", fill="black")
        draw.text((panel * width + MARGIN, height - 20), f"{low:.3f} ... {high:.3f}", fill="grey")
        draw.text(((panel + 1) * width - 90, height - 20), f"step {steps[-1]:.0f}", fill="grey")
    sheet.save(picture)


def draw_sheet(rows: list[tuple[np.ndarray, ...]], picture: Path, columns: int = 2) -> None:
    """Writes rows of images (H, W, 3) of one height as a sheet, with several rows side by side."""
    lines = [np.concatenate(row, 1) for row in rows]
    lines += [np.zeros_like(lines[0])] * (-len(lines) % columns)
    abreast = [np.concatenate(lines[i : i + columns], 1) for i in range(0, len(lines), columns)]
    Image.fromarray(np.concatenate(abreast, 0)).save(picture)
