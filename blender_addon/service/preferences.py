"""The extension's preferences: source and place of the service, and the worlds folder."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from . import installer

# Where the full zip carries the service's wheel; the thin one has no such folder.
_BUNDLE = Path(__file__).parents[1] / "engine"
# Blender knows preferences and user folder by the extension's own package.
_EXTENSION = __package__.rpartition(".")[0]


class LYRA_AP_preferences(bpy.types.AddonPreferences):
    bl_idname = _EXTENSION

    source: EnumProperty(
        name="Service",
        description="Which service is used",
        items=[
            (
                "INSTALLED",
                "Installed Here",
                "The service that this extension installs into its own environment",
                0,
            ),
            ("PYTHON", "Own Python", "A Python that has the package lyra-worlds installed", 1),
            ("ADDRESS", "Running Service", "A service that was started with lyra serve", 2),
        ],
        default="INSTALLED" if installer.bundled_wheel(_BUNDLE) else "ADDRESS",
    )
    base_python: StringProperty(
        name="Python for the Environment",
        description="The Python, 3.11 or newer, from which the service's environment is made; empty: Blender's own",
        subtype="FILE_PATH",
    )
    packages: EnumProperty(
        name="Packages",
        description="What the service's environment holds",
        items=[
            ("BASE", "Preview", "The preview engine: a few hundred megabytes to download"),
            ("DEPTH", "Preview and Learned Depth", "With PyTorch: up to some gigabytes to download"),
            ("LYRA2", "Lyra 2.0", "With all that the engines of Lyra 2.0 need, except their weights"),
        ],
        default="BASE",
    )
    service_python: StringProperty(
        name="Service Python",
        description="The Python that has the package lyra-worlds installed",
        subtype="FILE_PATH",
    )
    address: StringProperty(
        name="Address",
        description="Where the service listens, as it printed it: 127.0.0.1 and a port",
        default="127.0.0.1:8000",
    )
    token: StringProperty(
        name="Token",
        description="The token the service printed when it started",
        subtype="PASSWORD",
    )
    worlds_folder: StringProperty(
        name="Worlds Folder",
        description="Where the service keeps its worlds; empty: a folder that stays when the extension is removed",
        subtype="DIR_PATH",
    )
    splat_limit: IntProperty(
        name="Splats in the Viewport",
        description="The most splats of one world that are drawn in the viewport; renders always have all of them",
        default=600_000,
        min=10_000,
        max=5_000_000,
    )

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "source")
        if self.source == "INSTALLED":
            layout.prop(self, "base_python", placeholder=sys.executable)
            layout.prop(self, "packages")
        elif self.source == "PYTHON":
            layout.prop(self, "service_python")
        else:
            layout.prop(self, "address")
            layout.prop(self, "token")
        if self.source != "ADDRESS":
            layout.prop(self, "worlds_folder")
            if not self.worlds_folder and (earlier := _earlier_worlds()):
                column = layout.column(align=True)
                column.label(text=f"Your worlds are in {earlier}", icon="ERROR")
                column.label(
                    text="Removing the extension would delete them: move them, and set Worlds Folder above"
                )
        layout.prop(self, "splat_limit")


def get() -> LYRA_AP_preferences:
    """The extension's preferences."""
    return bpy.context.preferences.addons[_EXTENSION].preferences


def user_folder(path: str = "") -> Path:
    """A folder of the extension's own; Blender keeps it when the extension is updated."""
    return Path(bpy.utils.extension_path_user(_EXTENSION, path=path, create=True))


def worlds_folder() -> Path | None:
    """Where the service is to keep its worlds; None: in the folder that it takes by itself, which belongs to the user
    and neither to the extension nor to one version of Blender."""
    chosen = get().worlds_folder
    return Path(bpy.path.abspath(chosen)) if chosen else _earlier_worlds()


def _earlier_worlds() -> Path | None:
    """The extension's own folder while it holds worlds. They were once made there; Blender deletes that folder with
    the extension."""
    folder = user_folder() / "worlds"
    return folder if any(folder.glob("*/world.json")) else None


def environment() -> Path:
    """The service's own environment, there or not."""
    return user_folder() / "engine"


def bundled_wheel() -> Path | None:
    """The service's wheel in the extension's zip; None in the thin one."""
    return installer.bundled_wheel(_BUNDLE)


def wanted_extra() -> str:
    """The optional part of the service's wheel that is to be installed, "" for none."""
    chosen = get().packages
    return "" if chosen == "BASE" else chosen.lower()


def constraints() -> Path:
    """The versions the bundled service was tested with."""
    return _BUNDLE / "constraints.txt"


def service_python() -> Path | None:
    """The Python that runs the service, or None while none is installed or chosen."""
    preferences = get()
    if preferences.source == "PYTHON":
        chosen = preferences.service_python.strip()
        return Path(bpy.path.abspath(chosen)) if chosen else None
    if installer.installed(environment()) is None:
        return None
    return installer.environment_python(environment())
