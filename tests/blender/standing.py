"""Run inside Blender: how worlds stand in a file with several scenes. Checks for a script that has opened world w1."""

import bpy
import numpy as np

from tests.blender.addon import finished
from tests.blender.playing import module


def _like(world, identifier):
    return world | {"id": identifier, "name": identifier}


def _create(scene, world, identifier):
    """The empty of a world that is started in a scene."""
    worlds = module("worlds")
    scene.lyra.world = worlds.create(scene, _like(world, identifier), np.eye(4))
    return scene.lyra.world


def check_second_scene(choose):
    """A world that is started in another scene leaves the first alone; one that is opened there stands in both."""
    worlds, fetching, results = map(module, ("worlds", "fetching", "importers.results"))
    first, here = bpy.context.scene, bpy.context.scene.lyra.world
    world, camera = worlds.description(here), first.camera
    other = bpy.data.scenes.new("other")
    empty = _create(other, world, "w2")
    files = [fetching.folder_of("w1") / name for name in fetching.SEED_FILES]
    finished(results.import_seed(_like(world, "w2"), *files))
    assert other.camera == worlds.part(empty, worlds.SEED_CAMERA) and other.lyra.world == empty
    assert (first.camera, first.lyra.world) == (camera, here)
    assert here.users_scene == (first,) and empty.users_scene == (other,)

    bpy.context.window.scene = other
    choose()
    assert other.lyra.world == here and set(here.users_scene) == {first, other}
    assert here in other.view_layers[0].objects[:] and first.camera == camera
    assert worlds.scene_of(here) == other
    bpy.context.window.scene = first
    assert worlds.scene_of(here) == first
    bpy.data.scenes.remove(other)
    worlds.delete(empty)


def check_root():
    """It stays where the artist has filed it; one that several scenes share, as in older files, gets nothing new."""
    worlds = module("worlds")
    first, here = bpy.context.scene, bpy.context.scene.lyra.world
    world, shared = worlds.description(here), bpy.data.collections["Lyra Worlds"]
    other = bpy.data.scenes.new("other")
    other.collection.children.link(shared)
    one = _create(other, world, "w2")
    assert one.users_scene == (other,) and set(here.users_scene) == {first, other}
    (root,) = set(other.collection.children) - {shared}
    shelf = bpy.data.collections.new("shelf for worlds")
    other.collection.children.link(shelf)
    other.collection.children.unlink(root)
    shelf.children.link(root)
    root.name = "mine"
    layer = other.view_layers[0]
    layer.layer_collection.children[shelf.name].exclude = True
    two = _create(other, world, "w3")
    layer.update()
    assert set(other.collection.children) == {shared, shelf} and len(root.children) == 2
    assert two in layer.objects[:] and one not in layer.objects[:]
    for empty in (one, two):
        worlds.delete(empty)
    bpy.data.scenes.remove(other)
