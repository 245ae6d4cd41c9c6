"""The local service: install, start, stop, disconnect, open its logs."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

from ..service import installer, preferences, session
from ..service.session import Phase


def _installing() -> bool:
    return session.current.installation is not None and session.current.installation.active


class LYRA_OT_install_service(bpy.types.Operator):
    bl_idname = "lyra.install_service"
    bl_label = "Install Service"
    bl_description = "Install the service with the chosen packages into an environment of its own"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        if preferences.bundled_wheel() is None:
            cls.poll_message_set(
                "This extension came without the service: install the full zip, or connect to one"
            )
            return False
        if not bpy.app.online_access:
            cls.poll_message_set(
                "Switch on Allow Online Access in Preferences, System: packages are downloaded"
            )
            return False
        if session.current.phase is not Phase.OFF:
            cls.poll_message_set("Stop the service first")
            return False
        return not _installing()

    def execute(self, context):
        session.current.say("")
        session.current.install(_install)
        return {"FINISHED"}


def _install() -> None:
    chosen = preferences.get().base_python.strip()
    session.current.installation = installer.Installation(
        python=Path(bpy.path.abspath(chosen)) if chosen else Path(sys.executable),
        wheel=preferences.bundled_wheel(),
        constraints=preferences.constraints(),
        environment=preferences.environment(),
        log=preferences.user_folder("logs") / "install.log",
        extra=preferences.wanted_extra(),
    )
    session.wake()


class LYRA_OT_cancel_install(bpy.types.Operator):
    bl_idname = "lyra.cancel_install"
    bl_label = "Cancel Installation"
    bl_description = "Stop the installation and remove what it has installed"

    @classmethod
    def poll(cls, context):
        return _installing()

    def execute(self, context):
        session.current.installation.cancel()
        return {"FINISHED"}


class LYRA_OT_start_service(bpy.types.Operator):
    bl_idname = "lyra.start_service"
    bl_label = "Start Service"
    bl_description = "Start the service, or find the one that runs"

    @classmethod
    def poll(cls, context):
        if session.current.phase is not Phase.OFF:
            cls.poll_message_set("The service is started already")
            return False
        return not _installing()

    def execute(self, context):
        session.current.ensure(lambda: None)
        if session.current.message:
            self.report({"ERROR"}, session.current.message)
            return {"CANCELLED"}
        return {"FINISHED"}


class LYRA_OT_stop_service(bpy.types.Operator):
    bl_idname = "lyra.stop_service"
    bl_label = "Stop Service"
    bl_description = "Stop the service, unless a job is running"

    @classmethod
    def poll(cls, context):
        return session.current.phase is Phase.READY

    def execute(self, context):
        session.current.stop()
        return {"FINISHED"}


class LYRA_OT_disconnect(bpy.types.Operator):
    bl_idname = "lyra.disconnect"
    bl_label = "Disconnect"
    bl_description = "Close the connection; the service and its jobs go on"

    @classmethod
    def poll(cls, context):
        return session.current.phase is not Phase.OFF

    def execute(self, context):
        session.current.disconnect()
        return {"FINISHED"}


class LYRA_OT_open_log(bpy.types.Operator):
    bl_idname = "lyra.open_log"
    bl_label = "Open Log Folder"
    bl_description = "Open the folder with the logs of the service and of its installation"

    def execute(self, context):
        bpy.ops.wm.path_open(filepath=str(preferences.user_folder("logs")))
        return {"FINISHED"}
