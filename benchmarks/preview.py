"""Time of the preview engine for 80 frames, by stage; to be run on an idle machine.

python -m benchmarks.preview [--size 832x480] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise

from lyra.common.progress import Progress
from lyra.engines.preview import PreviewEngine
from lyra.evaluation.scenes import hall, street


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    print(
        f"{'scene':<10}{'completing s':>14}{'drawing s':>11}{'80 frames s':>13}{'layers':>8}{'longest pause s':>17}"
    )
    for scene in (hall((height, width)), street((height, width))):
        engine = PreviewEngine(options.device)
        track = scene.trajectory[1:]
        # Warm-up: compiles the kernels.
        engine.extend(engine.begin(scene.first), track[:2], "", 0, Progress())
        times = [time.perf_counter()]
        marks = []

        def listen(stage: str, fraction: float, frame, times=times, marks=marks) -> None:
            times.append(time.perf_counter())
            if fraction > 0.6 and not marks:
                marks.append(times[-2])

        state = engine.begin(scene.first)
        start = times[0] = time.perf_counter()
        engine.extend(state, track, "", 0, Progress(listener=listen))
        end = time.perf_counter()
        pause = max(b - a for a, b in pairwise(times))
        print(
            f"{scene.name:<10}{marks[0] - start:>14.1f}{end - marks[0]:>11.1f}{end - start:>13.1f}"
            f"{len(state.placed):>8}{pause:>17.2f}"
        )


if __name__ == "__main__":
    main()
