"""What scripts that run inside Blender share: the installed extension, its timer played by hand, refusals."""

import importlib
import time

import bpy

NAME = "bl_ext.user_default.lyra_worlds"
IDENTITY = [[float(i == j) for j in range(4)] for i in range(4)]


def install(zip_file) -> None:
    """The extension as a user installs it, in a Blender with nothing else in it."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=zip_file, enable_on_install=True)


def uninstall() -> None:
    bpy.ops.preferences.addon_disable(module=NAME)


def module(name):
    """A module of the installed extension."""
    return importlib.import_module(f"{NAME}.{name}")


def world_of(facts):
    """A world as the service would describe it with these facts; what they leave out is what a small one has."""
    width, height = facts.get("width", 96), facts.get("height", 64)
    plain = {
        "width": width, "height": height, "frames": 1, "state": "ready", "scale": 1.0, "files": [], "chunks": [],
        "intrinsics": [[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], "last_w2c": IDENTITY,
    }  # fmt: skip
    return module("service.resources").World.from_json(plain | facts)


def until(condition, limit=240.0):
    """Plays the timer until the condition holds. Messages for the user are returned."""
    end, said = time.monotonic() + limit, []
    current = module("service.session").current
    while not condition():
        assert time.monotonic() < end, f"{current.phase} {current.message!r} {current.jobs} {said}"
        current.tick()
        if current.message and current.message not in said:
            said.append(current.message)
        time.sleep(0.01)
    return said


def refused(operator, says, **options):
    """The operator reports an error that contains `says`, or its poll gives that as the reason."""
    try:
        operator(**options)
    except RuntimeError as error:
        assert says in str(error), error
    else:
        raise AssertionError(f"{operator} was not refused; expected: {says}")
