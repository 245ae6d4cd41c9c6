"""Run inside Blender: a world of the service's folder comes into a file, gets new results, and goes again."""

import sys
from pathlib import Path

import bpy
import numpy as np

from tests.blender import standing
from tests.blender.kept_worlds import Service, serve
from tests.blender.playing import install, module, uninstall, until
from tests.blender.recorder import drawn


def settings():
    return bpy.context.scene.lyra


def part(role):
    return worlds.part(settings().world, role)


def idle():
    current = session.current
    return not current.tasks and not current.client.busy and not current.followers


def downloads():
    return sorted(path.name for path in fetching.folder_of("w1").glob("walkthrough*"))


def shown_video():
    (background,) = (entry for entry in part(worlds.CAMERA).data.background_images)
    return Path(bpy.path.abspath(background.clip.filepath))


def choose():
    undo.clear()
    assert bpy.ops.lyra.choose_world(world="w1") == {"FINISHED"}
    until(lambda: undo and idle())


def reload():
    undo.clear()
    assert bpy.ops.lyra.reload() == {"FINISHED"}
    until(lambda: undo and idle())


def check_list(service):
    """The service's worlds that are ready; those that are being started cannot be opened yet."""
    assert "lyra.open_world" in drawn(bpy.types.LYRA_PT_image, bpy.context)
    service.there = False
    bpy.ops.lyra.open_world()
    until(lambda: "no world that could be opened" in session.current.message)
    service.there = True
    # In the background the list is not shown and its first world is chosen at once.
    chosen, opens = [], opening.open_world
    opening.open_world = lambda *arguments: chosen.append(arguments[0])
    assert bpy.ops.lyra.open_world() == {"FINISHED"}
    until(lambda: chosen and idle())
    opening.open_world = opens
    assert chosen == ["w1"]
    assert [world.id for world in opening.listed] == ["w1"]


def check_opened():
    """At the cursor, all in one undo step."""
    scene = bpy.context.scene
    scene.cursor.location = (3, 4, 5)
    choose()
    assert undo == ["Open World"], undo
    empty = settings().world
    bpy.context.view_layer.update()
    assert empty.lyra.world_id == "w1" and bpy.context.view_layer.objects.active == empty
    assert worlds.collection_of(empty).name == "yard" and empty["lyra_license"] == "Mine."
    np.testing.assert_allclose(np.array(empty.matrix_world)[:3, 3], [3, 4, 6.6], atol=1e-5)
    np.testing.assert_allclose(np.array(empty.matrix_world)[:3, 2], [0, 2, 0], atol=1e-5)  # looks along +Y
    assert scene.camera == part(worlds.FIRST_CAMERA) and settings().show == "SPLATS"
    assert len(part(worlds.SPLATS).data.attributes["position"].data) == 50
    assert len(part(worlds.POINTS).data.attributes["position"].data) == 60
    assert part(worlds.CAMERA).animation_data.action
    assert shown_video().read_bytes() == b"video"


def check_chosen_not_doubled(service):
    """A world that is there is chosen, with nothing downloaded; one deleted in the viewport comes back."""
    empty = settings().world
    empty.location = (1, 2, 3)
    settings().world = None
    service.requests.clear()
    choose()
    assert undo == ["Choose World"] and settings().world == empty and len(list(worlds.all_worlds())) == 1
    assert not [request for request in service.requests if "/files/" in request]
    for collection in list(empty.users_collection):
        collection.objects.unlink(empty)  # what Delete in the viewport does while the settings point at it
    choose()
    assert settings().world == empty and empty.name in bpy.context.scene.objects
    assert len(list(worlds.all_worlds())) == 1 and tuple(empty.location) == (1, 2, 3)


def point_at_everything():
    """All that an artist may have pointed at a world's parts, as a function that tells what it points at now."""
    scene, mesh, walk = bpy.context.scene, part(worlds.MESH), part(worlds.CAMERA)
    scene.camera = settings().camera = walk
    marker = scene.timeline_markers.new("cut", frame=5)
    marker.camera = walk
    watcher = bpy.data.objects.new("watcher", None)
    scene.collection.objects.link(watcher)
    watcher.constraints.new("TRACK_TO").target = mesh
    watcher.parent = part(worlds.SPLATS)
    shelf = bpy.data.collections.new("shelf")
    scene.collection.children.link(shelf)
    for obj in (mesh, walk, part(worlds.SPLATS)):
        shelf.objects.link(obj)
    own = bpy.data.materials.new("own")
    mesh.data.materials[0] = own
    walk.data.dof.use_dof, walk.data.background_images[0].alpha = True, 0.5
    part(worlds.SPLATS).modifiers[0].show_viewport = True

    def check(splats_kept=True):
        mesh, walk, splats = part(worlds.MESH), part(worlds.CAMERA), part(worlds.SPLATS)
        assert scene.camera == settings().camera == marker.camera == walk
        assert watcher.constraints[0].target == mesh and watcher.parent == splats
        assert {mesh, walk, splats} == set(shelf.objects)
        assert {mesh, walk, splats} <= set(worlds.collection_of(settings().world).objects)
        assert list(mesh.data.materials) == [own] or not splats_kept
        assert walk.data.dof.use_dof and walk.data.background_images[0].alpha == 0.5
        assert len(splats.modifiers) == 1 and splats.modifiers[0].show_viewport == splats_kept

    return check


def check_new_results(service):
    """What points at a world's parts goes on to, and each state has a video of its own."""
    check = point_at_everything()
    check()
    first, kept = shown_video(), {role: part(role).session_uid for role in ROLES}
    counts = [len(kind) for kind in (bpy.data.objects, bpy.data.meshes, bpy.data.cameras, bpy.data.actions)]
    service.make(2, zooms=True)
    reload()
    assert undo == ["Import World"] and {role: part(role).session_uid for role in ROLES} == kept
    check()
    mesh, splats, walk = part(worlds.MESH), part(worlds.SPLATS), part(worlds.CAMERA)
    assert len(mesh.data.polygons) == 8 and len(splats.data.attributes["position"].data) == 100
    assert mesh["lyra_license"] == "Mine." and mesh.data.name == "yard Mesh"
    assert tuple(walk.animation_data.action.frame_range) == (1, 161)
    assert walk.data.animation_data.action  # the lens
    counts[-1] += 1
    assert counts == [
        len(kind) for kind in (bpy.data.objects, bpy.data.meshes, bpy.data.cameras, bpy.data.actions)
    ]
    # The clip before may come back by undo, and has its own video.
    assert shown_video() != first and shown_video().read_bytes() == b"video" * 2
    assert first.read_bytes() == b"video" and len(downloads()) == 2

    # Another video of as many frames; the lens is still again. What nothing shows any more goes.
    before = shown_video()
    service.make(2)
    service.world["chunks"][1]["seconds"] = 2.5
    bpy.data.batch_remove([clip for clip in bpy.data.movieclips if not clip.users])
    bpy.ops.lyra.reload()
    until(lambda: len(undo) == 2 and idle())
    check()
    assert shown_video() != before and sorted(downloads()) == sorted([before.name, shown_video().name])
    assert walk.data.animation_data.action is None

    # The same state again: a video that a clip may hold open is not written to. The cameras come in one file, and
    # from an earlier service by chunks.
    clips = len(bpy.data.movieclips)
    for count, service.is_earlier in ((3, False), (4, True)):
        service.requests.clear()
        bpy.ops.lyra.reload()
        until(lambda count=count: len(undo) == count and idle())
        assert not [request for request in service.requests if "walkthrough" in request]
        assert len(bpy.data.movieclips) == clips
        asked = [request for request in service.requests if request.endswith("trajectory.npz")]
        assert len(asked) == (2 if service.is_earlier else 0), asked
        assert tuple(walk.animation_data.action.frame_range) == (1, 161)
        check()
    service.is_earlier = False

    # An object whose data was converted gives way to a new one.
    convert(part(worlds.SPLATS))
    bpy.ops.lyra.reload()
    until(lambda: len(undo) == 5 and idle())
    check(splats_kept=False)


def check_results_wait():
    """Results leave alone what the artist edits meanwhile, and all data while Blender renders."""
    current, mesh, data = session.current, part(worlds.MESH), part(worlds.MESH).data
    bpy.context.view_layer.objects.active = mesh
    mesh.hide_viewport = False
    mesh.hide_set(False)
    bpy.ops.object.mode_set(mode="SCULPT")
    undo.clear()
    bpy.ops.lyra.reload()
    until(lambda: current.waits_for)
    said = " ".join(drawn(bpy.types.LYRA_PT_image, bpy.context))
    assert "Leave Sculpt Mode to import the results" in said and not undo, said
    assert current.tick() == session.ACTIVE_INTERVAL and mesh.mode == "SCULPT" and mesh.data == data
    bpy.ops.object.mode_set(mode="OBJECT")

    timer = module("service.timer")
    is_rendering, timer.is_rendering = timer.is_rendering, lambda: True
    current.tick()
    assert "Blender is rendering" in current.waits_for and not undo
    timer.is_rendering = is_rendering
    until(lambda: undo and idle())
    assert not current.waits_for and part(worlds.MESH) == mesh and mesh.data.name == "yard Mesh"


def check_damaged_results(service):
    """Files and cameras that are something else are named in the panel; what stands in the scene stays."""
    current, mesh = session.current, part(worlds.MESH).data
    whole, undo[:] = service.trajectory, []
    for damage, says in (
        (lambda: service.files.update({"results/mesh.ply": b"no mesh"}), "mesh.ply is not a PLY file"),
        (lambda: setattr(service, "trajectory", b"no cameras"), "trajectory.npz holds no cameras"),
        (lambda: setattr(service, "trajectory", bytes(1 << 20)), "at most"),
    ):
        service.make(2)
        damage()
        service.world["files"] = [{"path": name, "size": len(data)} for name, data in service.files.items()]
        current.message = ""
        assert bpy.ops.lyra.reload() == {"FINISHED"}
        until(lambda: current.message and idle())
        assert says in current.message and not undo, current.message
        assert part(worlds.MESH).data == mesh and tuple(map(len, (current.tasks, undo))) == (0, 0)
    current.message, service.trajectory = "", whole
    service.make(2)


def convert(splats):
    """Gives the splats' role to an object of another kind, which takes all that pointed at it."""
    other = bpy.data.objects.new("converted", bpy.data.curves.new("converted", "CURVE"))
    worlds.collection_of(settings().world).objects.link(other)
    other.parent, other[worlds.ROLE] = settings().world, worlds.SPLATS
    splats.user_remap(other)
    bpy.data.objects.remove(splats)


def check_running_job(service):
    """A world in which another Blender has begun a job: it is followed, and its results come in."""
    bpy.ops.lyra.remove_world()
    assert settings().world is None and not list(worlds.all_worlds())
    job = service.begin()
    undo.clear()
    assert bpy.ops.lyra.choose_world(world="w1") == {"FINISHED"}
    until(lambda: "w1" in session.current.jobs)
    assert undo == ["Open World"] and settings().world.lyra.job == job["id"]
    service.make(3)
    job["state"] = "done"
    until(lambda: len(undo) == 2 and idle())
    assert worlds.description(settings().world).frames == 241


def check_sky_is_seen(service):
    """However far the sky is: by the cameras that stand there, and by one that is added later."""
    assert bpy.ops.lyra.add_path(preset="PUSH_IN") == {"FINISHED"}
    cameras = [bpy.context.scene.camera, part(worlds.CAMERA), part(worlds.FIRST_CAMERA)]
    cameras[2].data.clip_end = 1e9  # the artist's own
    service.make(3, sky=20_000.0)
    reload()
    assert bpy.ops.lyra.add_path(preset="ORBIT") == {"FINISHED"}
    cameras.append(bpy.context.scene.camera)
    far = [camera.data.clip_end for camera in cameras]
    # Splats lie in units of 2 m, and the last camera is 2.4 of them from the first.
    np.testing.assert_allclose(far, np.array([44_005, 44_005, 1e9, 44_005]), rtol=1e-4)


def check_first_picture_only(service):
    """A world without frames yet opens as well; one that has lost them keeps no results."""
    service.make(0)
    reload()
    assert not any(part(role) for role in ROLES) and part(worlds.POINTS)
    bpy.ops.lyra.remove_world()
    choose()
    assert undo == ["Open World"] and part(worlds.FIRST_CAMERA) and not any(part(role) for role in ROLES)
    assert settings().show == "POINTS"


def check_deleted(service):
    """What was downloaded goes with the world; a name that leads elsewhere removes nothing."""
    service.make(1)
    reload()
    folder = fetching.folder_of("w1")
    assert folder.is_dir()
    fetching.forget("../downloads/w1")
    assert folder.is_dir()
    bpy.ops.lyra.delete_world()
    until(lambda: "Delete World" in undo and idle())
    assert not folder.exists() and not list(worlds.all_worlds())
    assert not [clip for clip in bpy.data.movieclips if "w1" in clip.filepath]


def main():
    install(sys.argv[1])
    global fetching, opening, session, undo, worlds, ROLES
    fetching, opening, session, worlds = map(
        module, ("jobs.fetching", "jobs.opening", "service.session", "scene.worlds")
    )
    ROLES = (worlds.SPLATS, worlds.MESH, worlds.CAMERA)
    undo = []
    worlds.push_undo = undo.append  # there is no undo in the background
    service = Service()
    chosen = module("service.preferences").get()
    chosen.source, chosen.address, chosen.token = "ADDRESS", f"127.0.0.1:{serve(service)}", "token"
    check_list(service)
    check_opened()
    check_chosen_not_doubled(service)
    standing.check_second_scene(choose)
    standing.check_root()
    standing.check_copies(reload)
    standing.check_copied_scene()
    standing.check_linked(choose, fetching.folder_of("w1"))
    standing.check_changed_by_hand(reload)
    check_new_results(service)
    check_results_wait()
    check_damaged_results(service)
    check_running_job(service)
    check_sky_is_seen(service)
    check_first_picture_only(service)
    check_deleted(service)
    uninstall()


main()
