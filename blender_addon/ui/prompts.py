"""The list of prompts by chunk, and the settings of the chosen world's engine."""

from __future__ import annotations

import bpy

from ..camera.trajectory import CHUNK_FRAMES
from ..scene import captions, worlds
from ..service import engines


class LYRA_UL_prompts(bpy.types.UIList):
    """One text per line, beside the chunk it holds from."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0):
        split = layout.split(factor=0.25)
        split.prop(item, "chunk", text="", emboss=False)
        split.prop(item, "text", text="", emboss=False, placeholder="Text")

    def filter_items(self, context, data, property):
        entries = getattr(data, property)
        order = sorted(range(len(entries)), key=lambda i: entries[i].chunk)
        place = {old: new for new, old in enumerate(order)}
        return [], [place[i] for i in range(len(entries))]


class _OfGenerate:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Lyra"
    bl_parent_id = "LYRA_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return context.scene.lyra.world is not None


class LYRA_PT_prompts(_OfGenerate, bpy.types.Panel):
    bl_label = "Prompts by Chunk"

    def draw(self, context):
        layout, kept = self.layout, context.scene.lyra.world.lyra
        row = layout.row()
        row.template_list("LYRA_UL_prompts", "", kept, "prompts", kept, "prompt_index", rows=3)
        column = row.column(align=True)
        column.operator("lyra.add_prompt", text="", icon="ADD")
        column.operator("lyra.remove_prompt", text="", icon="REMOVE")
        if 0 <= kept.prompt_index < len(kept.prompts):
            chunk = kept.prompts[kept.prompt_index].chunk
            first = captions.first_frame(chunk)
            layout.label(text=f"Chunk {chunk}: frames {first} to {CHUNK_FRAMES * chunk}")


class LYRA_PT_engine_settings(_OfGenerate, bpy.types.Panel):
    bl_label = "Engine Settings"

    def draw(self, context):
        layout, settings = self.layout, context.scene.lyra
        layout.use_property_split = True
        layout.use_property_decorate = False
        engine_id = worlds.description(settings.world).engine
        for name, label in engines.SETTINGS:
            if limits := engines.setting(engine_id, name):
                _draw_own(layout, settings, name, label, f"{limits.default:g}")
        if engines.has_weights(engine_id):
            layout.prop(settings, "memory_mode")
        _draw_own(layout, settings, "new_seed", "Seed", str(worlds.description(settings.world).seed))


def _draw_own(layout, settings, name: str, label: str, default: str) -> None:
    row = layout.row(heading=label)
    row.prop(settings, f"use_{name}", text="")
    if getattr(settings, f"use_{name}"):
        row.prop(settings, name, text="")
    else:
        row.label(text=default)
