"""Run inside Blender: what keeps worlds from being lost, and paths from going to the wrong place or twice.

Checks for a script that is connected to a service with world w, which is chosen.
"""

from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np

from tests.blender.playing import module, refused, until, world_of
from tests.blender.recorder import Recorder


def check(service):
    """All of them; the service and the world are left as they were."""
    _worlds_folder()
    _revert_asks(service)
    _undone_results(service)
    _generate_is_a_step(service)
    _second_click(service)


def _empty():
    return module("scene.worlds").find("w")


def _describe(world):
    module("scene.worlds").describe(_empty(), world_of(world))


def _connect():
    session = module("service.session")
    bpy.ops.lyra.start_service()
    until(lambda: session.current.phase is session.Phase.READY)


def _worlds_folder():
    """Worlds outlive the extension, whose own folder Blender deletes with it; those that lie there are still found."""
    preferences = module("service.preferences")
    own, chosen = preferences.user_folder() / "worlds", preferences.get()
    assert preferences.worlds_folder() is None
    (own / ".backend").mkdir(parents=True)
    assert preferences.worlds_folder() is None
    (own / "w").mkdir()
    (own / "w" / "world.json").touch()
    assert preferences.worlds_folder() == own
    chosen.worlds_folder = "/elsewhere"
    assert preferences.worlds_folder() == Path("/elsewhere")
    chosen.worlds_folder = ""
    (own / "w" / "world.json").unlink()


def _revert_asks(service):
    """By default the newest chunk goes, and before that the dialog names what goes."""
    revert = bpy.types.LYRA_OT_revert
    chunks = [{"index": i + 1, "prompt": "", "seconds": 1.0} for i in range(5)]
    _describe(service.world | {"frames": 401, "chunks": chunks})
    operator = SimpleNamespace(keep=0, bl_rna=bpy.ops.lyra.revert.get_rna_type(), layout=Recorder())
    shown = SimpleNamespace(invoke_props_dialog=lambda operator, **_options: {"RUNNING_MODAL"})
    context = SimpleNamespace(scene=bpy.context.scene, window_manager=shown)
    assert revert.invoke(operator, context, None) == {"RUNNING_MODAL"} and operator.keep == 4
    for operator.keep in (4, 1, 5):
        revert.draw(operator, context)
    assert [text for text in operator.layout.texts if text] == [
        "keep",
        "Chunk 5 of 5 leaves the world. Undo does not bring it back,",
        "the command lyra switch does.",
        "keep",
        "Chunks 2 to 5 of 5 leave the world. Undo does not bring them back,",
        "the command lyra switch does.",
        "keep",
        "Nothing is left out; the world has 5 chunks",
    ], operator.layout.texts
    refused(bpy.ops.lyra.revert, "The world has 5 chunks; keep fewer")
    _describe(service.world)


def _undone_results(service):
    """After an undo of results the file knows an older world than the service has: nothing is made or removed by it."""
    worlds, current = module("scene.worlds"), module("service.session").current
    camera = worlds.part(_empty(), worlds.FIRST_CAMERA)
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.lyra.camera = camera
    known, service.requests[:] = service.world, []
    chunk = {"index": 1, "prompt": "", "seconds": 1.0}
    _describe(known | {"frames": 81, "chunks": [chunk]})
    service.world = known | {"frames": 161, "chunks": [chunk, chunk]}
    for click in (bpy.ops.lyra.generate, lambda: bpy.ops.lyra.revert(keep=0)):
        assert click() == {"FINISHED"}
        until(lambda: current.message)
        assert "161 frames of world 'W', this file 81" in current.message, current.message
        current.say("")
    service.world = known | {"frames": 81, "chunks": [chunk], "last_w2c": np.diag([1, -1, -1, 1]).tolist()}
    bpy.ops.lyra.generate()
    until(lambda: "this file others" in current.message)
    assert not [request for request in service.requests if request.startswith("POST")]
    current.say("")
    service.world = known
    _describe(known)


def _generate_is_a_step(service):
    """What the file remembers of a job stays when the artist undoes what came after it."""
    worlds, current = module("scene.worlds"), module("service.session").current
    undo, push = [], worlds.push_undo
    worlds.push_undo = lambda message: undo.append((message, _empty().lyra.job, _empty().lyra.first_frame))
    scene = bpy.context.scene
    scene.frame_start, scene.lyra.range = 11, "SCENE"
    service.begin("other")
    bpy.ops.lyra.generate()
    until(lambda: current.message and current.followers)
    assert _empty().lyra.first_frame == 1 and not undo, "refused, because the service is at work"
    service.job["state"] = "cancelled"
    until(lambda: not current.followers)
    assert bpy.ops.lyra.generate() == {"FINISHED"}
    until(lambda: undo)
    assert undo == [("Generate", "g", 11)], undo
    worlds.push_undo = push
    service.job["state"] = "cancelled"
    until(lambda: not current.followers)


def _second_click(service):
    """What was asked for and is not answered yet is not asked for again; a lost connection asks for nothing."""
    current, settings = module("service.session").current, bpy.context.scene.lyra
    image = bpy.data.images.new("picture", 16, 16)
    settings.image = str(Path(bpy.app.tempdir) / "picture.png")
    image.save(filepath=settings.image)
    service.requests.clear()
    service.be_silent("chunks")
    assert bpy.ops.lyra.generate() == {"FINISHED"}
    for _ in range(2):
        refused(bpy.ops.lyra.generate, "Wait for the world's job")
        refused(bpy.ops.lyra.reconstruct, "Wait for the world's job")
        until(lambda: "POST /v1/worlds/w/chunks" in service.requests)
    bpy.ops.lyra.disconnect()
    assert bpy.ops.lyra.generate.poll()
    service.be_back()
    until(lambda: service.job["state"] == "running")
    assert bpy.ops.lyra.generate() == {"FINISHED"} and not bpy.ops.lyra.generate.poll()
    until(lambda: current.followers and current.message)
    assert "working on world 'W'" in current.message
    assert service.requests.count("POST /v1/worlds/w/chunks") == 1
    service.job["state"] = "cancelled"
    until(lambda: not current.followers and bpy.ops.lyra.generate.poll())
    assert bpy.ops.lyra.resume() == {"FINISHED"}
    refused(bpy.ops.lyra.resume, "Wait until the service has answered")
    until(lambda: current.followers and not current.client.busy)
    service.job["state"] = "cancelled"
    until(lambda: not current.followers)

    service.be_silent("worlds")
    assert bpy.ops.lyra.start_world() == {"FINISHED"}
    refused(bpy.ops.lyra.start_world, "Wait until the service has the image")
    bpy.ops.lyra.disconnect()
    assert bpy.ops.lyra.start_world.poll()
    service.be_back()
    _connect()
