"""Run inside Blender: how worlds stand in a file with several scenes. Checks for a script that has opened world w1."""

from dataclasses import replace

import bpy
import numpy as np

from tests.blender.addon import finished
from tests.blender.playing import module, refused


def _like(world, identifier):
    return replace(world, id=identifier, name=identifier)


def _create(scene, world, identifier):
    """The empty of a world that is started in a scene."""
    worlds = module("scene.worlds")
    scene.lyra.world = worlds.create(scene, _like(world, identifier), np.eye(4))
    return scene.lyra.world


def check_second_scene(choose):
    """A world that is started in another scene leaves the first alone; one that is opened there stands in both."""
    worlds, fetching, results = map(module, ("scene.worlds", "jobs.fetching", "importers.results"))
    first, here = bpy.context.scene, bpy.context.scene.lyra.world
    world, camera = worlds.description(here), first.camera
    other = bpy.data.scenes.new("other")
    empty = _create(other, world, "w2")
    files = [fetching.folder_of("w1") / name for name in fetching.FIRST_VIEW_FILES]
    finished(results.import_first_view(_like(world, "w2"), *files))
    assert other.camera == worlds.part(empty, worlds.FIRST_CAMERA) and other.lyra.world == empty
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
    worlds = module("scene.worlds")
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


def _copied(empty):
    """What Shift+D makes of a world."""
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj == empty or obj.parent == empty)
    bpy.ops.object.duplicate()
    (copy,) = set(module("scene.worlds").all_worlds(empty.lyra.world_id)) - {empty}
    return copy


def check_copies(reload):
    """Results, scale and Delete World of a world that the artist has copied are those of the one that is chosen."""
    worlds, scale = module("scene.worlds"), module("operators.scale")
    settings, here = bpy.context.scene.lyra, bpy.context.scene.lyra.world
    copy = _copied(here)
    assert worlds.find("w1") == here
    settings.world = copy
    copy.lyra.job = here.lyra.job = "j"
    reload()
    assert worlds.find("w1") == copy and (copy.lyra.job, here.lyra.job) == ("", "j")
    refused(bpy.ops.lyra.delete_world, "There are 2 of this world in the file; use Remove")

    told = []
    before, scale._send_scale = scale._send_scale, lambda *scales: told.append(scales)
    worlds.describe(copy, replace(worlds.description(copy), scale=6.0))
    scale._sent_scales["w1"] = 6.0
    scale.after_undo(None)
    assert not told, told
    worlds.describe(copy, replace(worlds.description(copy), scale=2.0))
    scale.after_undo(None)
    assert told == [("w1", 2.0)], told
    scale._send_scale = before
    scale._sent_scales.clear()

    here.lyra.job = ""
    assert bpy.ops.lyra.remove_world() == {"FINISHED"}
    settings.world = here
    assert list(worlds.all_worlds()) == [here] and here.name in bpy.context.scene.objects


def check_copied_scene():
    """A copy that was deleted in the viewport comes back where it stood, without the one it was copied from."""
    worlds = module("scene.worlds")
    first, here = bpy.context.scene, bpy.context.scene.lyra.world
    bpy.ops.scene.new(type="FULL_COPY")
    other = bpy.context.scene
    copy = other.lyra.world
    assert copy != here and worlds.find("w1") == copy
    count = len(other.objects)
    collection = worlds.collection_of(copy)
    collection.objects.unlink(copy)
    worlds.ensure_in_scene(other, copy)
    assert worlds.collection_of(copy) == collection and len(other.objects) == count
    worlds.delete(copy)
    bpy.data.scenes.remove(other)
    assert bpy.context.scene == first and worlds.find("w1") == here


def check_linked(choose, folder):
    """A world that is linked from another .blend is left alone; those of this file stand beside it as ever."""
    worlds = module("scene.worlds")
    first, here = bpy.context.scene, bpy.context.scene.lyra.world
    other, blend = bpy.data.scenes.new("other"), str(folder / "library.blend")
    bpy.data.libraries.write(blend, {bpy.data.collections["Lyra Worlds"]})
    with bpy.data.libraries.load(blend, link=True) as (_there, wanted):
        wanted.collections = ["Lyra Worlds"]
    (linked,) = wanted.collections
    other.collection.children.link(linked)
    assert linked.library and here.name in other.objects and list(worlds.all_worlds()) == [here]
    new = _create(other, worlds.description(here), "w2")
    assert new.users_scene == (other,) and worlds.find("w2") == new
    bpy.context.window.scene = other
    choose()
    assert set(here.users_scene) == {first, other} and other.view_layers[0].objects.active == here
    bpy.context.window.scene = first
    bpy.data.scenes.remove(other)
    bpy.data.libraries.remove(linked.library)
    worlds.delete(new)


def check_changed_by_hand(reload):
    """Reload Results keeps the scale that the artist has given, brings the empty back, and marks only its own."""
    worlds, image = module("scene.worlds"), module("scene.reference_image")
    scene, here = bpy.context.scene, bpy.context.scene.lyra.world
    own = worlds.collection_of(here)
    here.scale = (1, 1, 1)
    bpy.context.view_layer.update()
    worlds.remove(here, worlds.FIRST_CAMERA)
    reload()
    assert worlds.part(here, worlds.FIRST_CAMERA) and tuple(here.scale) == (1, 1, 1), here.scale

    own.objects.unlink(here)  # what Delete in the viewport does while the settings point at it
    reload()
    assert tuple(here.users_collection) == (own,) and here.users_scene == (scene,)

    for obj in list(own.objects):
        own.objects.unlink(obj)
        scene.collection.objects.link(obj)
    mine = bpy.data.objects.new("my camera", bpy.data.cameras.new("my camera"))
    scene.collection.objects.link(mine)

    def lens_of(camera):
        size = 4000, 1700
        return image.camera_lens(camera).of_image(size, image.frame_size(scene.lyra)(*size))

    lens = lens_of(mine)
    reload()
    assert "lyra_world_id" not in scene.collection and here in scene.collection.objects[:]
    np.testing.assert_array_equal(lens_of(mine), lens)
    scene.collection["lyra_world_id"] = "w1"  # as older files carry it
    np.testing.assert_array_equal(lens_of(mine), lens)
    assert worlds.collection_of(here) == scene.collection and not own.all_objects
    bpy.data.objects.remove(mine)
    del scene.collection["lyra_world_id"]
    for obj in (here, *here.children):
        scene.collection.objects.unlink(obj)
        own.objects.link(obj)
    here.scale = (2, 2, 2)
