"""Weights of engines: accept their licences, download them, cancel."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ..jobs import requests, weights
from ..service import engines
from ..service.resources import Licence
from ..service.wording import wrapped
from .polls import needs_service

# Characters in a line of the dialog.
LINE = 84
DIALOG_WIDTH = 560


class LYRA_OT_accept_licence(bpy.types.Operator):
    bl_idname = "lyra.accept_licence"
    bl_label = "Accept Licence"
    bl_description = "Read the licence of the engine's weights, and accept it once for this user"
    bl_options = {"REGISTER", "INTERNAL"}

    engine: StringProperty(options={"SKIP_SAVE"})
    licence: StringProperty(options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        return needs_service(cls)

    def invoke(self, context, event):
        licence = self._licence()
        if licence is None:
            return self.execute(context)
        return context.window_manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title=licence.title, confirm_text="Accept"
        )

    def draw(self, context):
        licence = self._licence()
        column = self.layout.column(align=True)
        for paragraph in licence.text.splitlines():
            for line in wrapped(paragraph, LINE) or [""]:
                column.label(text=line)

    def execute(self, context):
        if self._licence() is None:
            self.report({"ERROR"}, f"The engine '{self.engine}' has no licence '{self.licence}' to accept")
            return {"CANCELLED"}
        weights.accept(self.licence)
        return {"FINISHED"}

    def _licence(self) -> Licence | None:
        engine = engines.find(self.engine)
        found = engines.open_licences(engine) if engine else []
        return next((licence for licence in found if licence.id == self.licence), None)


class LYRA_OT_download_weights(bpy.types.Operator):
    bl_idname = "lyra.download_weights"
    bl_label = "Download Weights"
    bl_description = "Download and convert the weights of the chosen engine; files that are there are kept"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        if not needs_service(cls):
            return False
        engine = engines.find(context.scene.lyra.engine)
        if engine is None or engines.status(engine) not in engines.FETCHABLE:
            cls.poll_message_set("The chosen engine has nothing to download")
            return False
        if engines.status(engine) == "needs_download" and not bpy.app.online_access:
            cls.poll_message_set(
                "Switch on Allow Online Access in Preferences, System: the weights are downloaded"
            )
            return False
        if weights.is_downloading():
            cls.poll_message_set("Wait for the download under way, or cancel it")
            return False
        return True

    def execute(self, context):
        weights.download(context.scene.lyra.engine)
        return {"FINISHED"}


class LYRA_OT_cancel_download(bpy.types.Operator):
    bl_idname = "lyra.cancel_download"
    bl_label = "Cancel Download"
    bl_description = "Stop the download; what has arrived is kept for the next one"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return needs_service(cls) and weights.is_downloading()

    def execute(self, context):
        requests.cancel(weights.download_job().id)
        return {"FINISHED"}
