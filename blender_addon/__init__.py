"""Lyra Worlds inside Blender: from an image and a camera path to a world in the scene."""

from __future__ import annotations

import atexit

import bpy

from .jobs import changes, following, weights
from .operators.depth import LYRA_OT_depth_from_scene
from .operators.generate import LYRA_OT_cancel, LYRA_OT_generate, LYRA_OT_resume
from .operators.opening import LYRA_OT_choose_world, LYRA_OT_open_world
from .operators.path import LYRA_OT_add_path, LYRA_OT_update_path
from .operators.prompts import LYRA_OT_add_prompt, LYRA_OT_remove_prompt
from .operators.results import (
    LYRA_OT_delete_world,
    LYRA_OT_open_folder,
    LYRA_OT_reconstruct,
    LYRA_OT_reload,
    LYRA_OT_remove_world,
    LYRA_OT_revert,
    LYRA_OT_standard_view,
)
from .operators.scale import LYRA_OT_pick_scale, LYRA_OT_set_scale, after_undo
from .operators.service import (
    LYRA_OT_cancel_install,
    LYRA_OT_disconnect,
    LYRA_OT_install_service,
    LYRA_OT_open_log,
    LYRA_OT_start_service,
    LYRA_OT_stop_service,
)
from .operators.standing import (
    LYRA_OT_align_to_camera,
    LYRA_OT_drop_to_floor,
    LYRA_OT_level,
    LYRA_OT_stand_here,
)
from .operators.start import (
    LYRA_FH_image,
    LYRA_OT_choose_engine,
    LYRA_OT_choose_image,
    LYRA_OT_start_world,
)
from .operators.weights import (
    LYRA_OT_accept_licence,
    LYRA_OT_cancel_download,
    LYRA_OT_download_weights,
)
from .scene import properties, sampled_path
from .scene.properties import LYRA_PG_prompt, LYRA_PG_settings, LYRA_PG_world
from .service import session, timer
from .service.preferences import LYRA_AP_preferences
from .ui import thumbnails
from .ui.panels import (
    LYRA_PT_chunks,
    LYRA_PT_generate,
    LYRA_PT_image,
    LYRA_PT_image_options,
    LYRA_PT_job,
    LYRA_PT_path,
    LYRA_PT_service,
    LYRA_PT_world,
)
from .ui.prompts import LYRA_PT_engine_settings, LYRA_PT_prompts, LYRA_UL_prompts
from .viewport import handler

# All that Blender registers, in this order: what a class refers to stands before it, and panels in that of the work.
CLASSES = (
    LYRA_AP_preferences,
    LYRA_PG_prompt,
    LYRA_PG_world,
    LYRA_PG_settings,
    LYRA_OT_choose_image,
    LYRA_FH_image,
    LYRA_OT_choose_engine,
    LYRA_OT_start_world,
    LYRA_OT_open_world,
    LYRA_OT_choose_world,
    LYRA_OT_depth_from_scene,
    LYRA_OT_add_path,
    LYRA_OT_update_path,
    LYRA_OT_add_prompt,
    LYRA_OT_remove_prompt,
    LYRA_OT_generate,
    LYRA_OT_cancel,
    LYRA_OT_resume,
    LYRA_OT_reload,
    LYRA_OT_reconstruct,
    LYRA_OT_revert,
    LYRA_OT_delete_world,
    LYRA_OT_remove_world,
    LYRA_OT_open_folder,
    LYRA_OT_standard_view,
    LYRA_OT_level,
    LYRA_OT_drop_to_floor,
    LYRA_OT_stand_here,
    LYRA_OT_align_to_camera,
    LYRA_OT_pick_scale,
    LYRA_OT_set_scale,
    LYRA_OT_install_service,
    LYRA_OT_cancel_install,
    LYRA_OT_start_service,
    LYRA_OT_stop_service,
    LYRA_OT_disconnect,
    LYRA_OT_open_log,
    LYRA_OT_accept_licence,
    LYRA_OT_download_weights,
    LYRA_OT_cancel_download,
    LYRA_PT_image,
    LYRA_PT_image_options,
    LYRA_PT_path,
    LYRA_PT_generate,
    LYRA_PT_job,
    LYRA_PT_world,
    LYRA_PT_chunks,
    LYRA_PT_service,
    LYRA_UL_prompts,
    LYRA_PT_prompts,
    LYRA_PT_engine_settings,
)
# Asked of a service as soon as it answers.
_ON_READY = (weights.find_again, following.find_again, changes.look_again)


@bpy.app.handlers.persistent
def _after_load(_file) -> None:
    """Drops what was in progress for the previous file, and looks for the jobs of the new one."""
    session.current.disconnect()
    session.current.jobs.clear()
    sampled_path.forget()
    handler.forget()
    properties.take_over_earlier_names()
    following.find_after_load()


_HANDLERS = (
    (bpy.app.handlers.load_post, _after_load),
    (bpy.app.handlers.undo_post, after_undo),
    (bpy.app.handlers.redo_post, after_undo),
    (bpy.app.handlers.depsgraph_update_post, sampled_path.watch),
)


def register() -> None:
    thumbnails.open_collection()
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.attach()
    handler.start()
    for handlers, function in _HANDLERS:
        handlers.append(function)
    timer.start(session.current.tick)
    session.current.on_ready.extend(_ON_READY)
    atexit.register(session.current.close)


def unregister() -> None:
    atexit.unregister(session.current.close)
    session.current.on_ready.clear()
    session.current.close()
    timer.stop()
    for handlers, function in _HANDLERS:
        handlers.remove(function)
    sampled_path.forget()
    handler.stop()
    properties.detach()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    thumbnails.close_collection()
