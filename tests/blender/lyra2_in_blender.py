"""Run inside Blender: the engine lyra2 with miniature weights, from its licence to a world with its notice."""

import sys

import bpy

from tests.blender.playing import install, module, refused, uninstall, until
from tests.blender.recorder import drawn

WIDTH, HEIGHT = 96, 64


def panel(name):
    return drawn(getattr(bpy.types, name), bpy.context)


def make_ready(image):
    settings = bpy.context.scene.lyra
    settings.image, settings.engine = image, "lyra2"
    until(lambda: session.current.engines)
    assert "Read and Accept Licence" in panel("LYRA_PT_image"), session.current.engines
    refused(bpy.ops.lyra.start_world, "licence not accepted")
    for licence in engines.open_licences(engines.find("lyra2")):
        assert bpy.ops.lyra.accept_licence(engine="lyra2", licence=licence.id) == {"FINISHED"}
    until(lambda: engines.status(engines.find("lyra2")) == "needs_download")
    bpy.context.preferences.system.use_online_access = True
    assert bpy.ops.lyra.download_weights() == {"FINISHED"}
    until(lambda: engines.find("lyra2").ready)


def make_world(depth):
    settings = bpy.context.scene.lyra
    settings.depth_file = depth
    settings.size, settings.width, settings.height = "CUSTOM", WIDTH, HEIGHT
    assert bpy.ops.lyra.start_world() == {"FINISHED"}
    until(lambda: settings.world and worlds.part(settings.world, worlds.FIRST_CAMERA))
    assert bpy.ops.lyra.add_path(preset="PUSH_IN") == {"FINISHED"}
    settings.use_steps, settings.steps = True, 2
    bpy.ops.lyra.add_prompt()
    settings.world.lyra.prompts[0].text = "a gate"
    settings.reconstruct = False
    assert bpy.ops.lyra.generate() == {"FINISHED"}
    until(lambda: worlds.part(settings.world, worlds.CAMERA), 500)
    world = worlds.description(settings.world)
    assert (world.engine, world.frames, world.chunks[0].prompt) == ("lyra2", 81, "a gate")
    for holder in (settings.world, worlds.part(settings.world, worlds.CAMERA)):
        assert "research" in holder["lyra_license"]
    assert world.license in " ".join(panel("LYRA_PT_world"))


def main():
    zip_file, address, token, image, depth = sys.argv[1:]
    install(zip_file)
    global engines, session, worlds
    engines, session, worlds = map(module, ("service.engines", "service.session", "scene.worlds"))
    chosen = module("service.preferences").get()
    chosen.source, chosen.address, chosen.token = "ADDRESS", address, token
    bpy.ops.lyra.start_service()
    make_ready(image)
    make_world(depth)
    uninstall()


main()
