"""Runs a script that uses Blender as a module, and ends the process itself.

`python -m tests.blender.play SCRIPT ARGUMENTS...`. Blender 4.5's own teardown waits at times for a thread that never
ends (its destructors destroy a condition that the thread still waits on), after all is done and said.
"""

import atexit
import os
import runpy
import sys
import traceback


def main() -> int:
    del sys.argv[0]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


code = main()
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
