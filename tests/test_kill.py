"""Whatever is done with a world folder may be killed before any change of the file system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Deaths of each scenario; under `make soak` all of them.
PICKED = 0 if os.environ.get("LYRA_SOAK") else 5


@pytest.mark.soak
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that die are forks")
def test_what_is_killed_anywhere_goes_on_and_leaves_nothing(tmp_path):
    """After each death the world opens; then the work goes on. About 15 s on a free machine."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.kill_points", tmp_path, str(PICKED)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    scenarios = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(scenarios) == 12 and sum(scenario["changes"] for scenario in scenarios) > 183
    assert all(scenario["tried"] == (PICKED or scenario["changes"]) for scenario in scenarios)
