"""Prompts for single chunks of the chosen world: add and remove."""

from __future__ import annotations

import bpy

from ..scene import worlds


class _OnPrompts:
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        if context.scene.lyra.world is None:
            cls.poll_message_set("Start a world first")
            return False
        return True


class LYRA_OT_add_prompt(_OnPrompts, bpy.types.Operator):
    bl_idname = "lyra.add_prompt"
    bl_label = "Add Prompt"
    bl_description = "Add a prompt that holds from the next chunk on"

    def execute(self, context):
        empty = context.scene.lyra.world
        made = len(worlds.description(empty).chunks)
        chunks = [entry.chunk for entry in empty.lyra.prompts]
        entry = empty.lyra.prompts.add()
        entry.chunk = max([made, *chunks]) + 1
        entry.text = context.scene.lyra.prompt
        empty.lyra.prompt_index = len(empty.lyra.prompts) - 1
        return {"FINISHED"}


class LYRA_OT_remove_prompt(_OnPrompts, bpy.types.Operator):
    bl_idname = "lyra.remove_prompt"
    bl_label = "Remove Prompt"
    bl_description = "Remove the selected prompt"

    @classmethod
    def poll(cls, context):
        return super().poll(context) and len(context.scene.lyra.world.lyra.prompts) > 0

    def execute(self, context):
        kept = context.scene.lyra.world.lyra
        kept.prompts.remove(kept.prompt_index)
        kept.prompt_index = max(0, min(kept.prompt_index, len(kept.prompts) - 1))
        return {"FINISHED"}
