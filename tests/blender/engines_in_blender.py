"""Run inside Blender: the extension before a service that has an engine with weights, from licence to download."""

import json
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bpy
import numpy as np

from tests.blender.greeting import greeting, is_greeting
from tests.blender.playing import install, module, refused, uninstall, until, world_of
from tests.blender.recorder import drawn

LICENCE = {
    "id": "nvidia-lyra-2.0",
    "title": "NVIDIA",
    "text": "Research only.\n  - No sale.",
    "where": "page",
}


class Service:
    """What the service knows: licence accepted or not, and the job that downloads."""

    def __init__(self):
        self.accepted, self.job, self.requests = False, None, []

    def engines(self):
        there = self.job is not None and self.job["state"] == "done"
        status = "ready" if there else "needs_download" if self.accepted else "needs_licence"
        lyra = {
            "id": "lyra2", "label": "Lyra 2.0", "ready": there, "reason": "Weights are missing.", "needs": "a GPU",
            "license": "research", "default": False,
            "state": {"status": status, "text": f"It {status}.", "download_bytes": 98_000_000_000,
                      "licences": [LICENCE | {"accepted": self.accepted}]},
            "options": {"steps": {"default": 35, "min": 1, "max": 100},
                        "guidance": {"default": 5.0, "min": 1.0, "max": 15.0},
                        "styles": {"default": 0.0, "min": 0.0, "max": 1.0}},
        }  # fmt: skip
        preview = {
            "id": "preview", "label": "Preview", "ready": True, "reason": "", "needs": "", "license": "",
            "default": True, "options": {"steps": None, "guidance": None},
            "state": {"status": "ready", "text": "", "download_bytes": 0, "licences": []},
        }  # fmt: skip
        return [preview, lyra]

    def begin(self):
        self.job = {
            "id": "d1", "world_id": "", "kind": "download", "state": "running", "stage": "download", "progress": 0.25,
            "eta_seconds": 90, "message": "24 of 98 GB", "error": None, "notes": [], "sequence": 1, "preview": False,
        }  # fmt: skip
        return self.job

    def answer(self, method, path):
        self.requests.append(f"{method} {path}")
        if is_greeting(path):
            return greeting(path, "token")
        if path == "/v1/health":
            return {
                "api": 1,
                "version": "0.1.0",
                "pid": 1,
                "owner": "user",
                "device": "cpu",
                "worker": "idle",
            }
        if path == "/v1/engines":
            return self.engines()
        if path.startswith("/v1/licences/"):
            self.accepted = True
            return {}
        if path == "/v1/engines/lyra2/download":
            return self.begin()
        if path == "/v1/jobs?active=true":
            return [self.job] if self.job and self.job["state"] == "running" else []
        if path == "/v1/jobs/d1/cancel":
            self.job["state"] = "cancelled"
        return self.job


def serve(service):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args):
            pass

        def do_GET(self):
            body = json.dumps(service.answer(self.command, self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def panel(name):
    return drawn(getattr(bpy.types, name), bpy.context)


def check_licence_and_download(service):
    settings = bpy.context.scene.lyra
    settings.engine = "lyra2"
    texts = panel("LYRA_PT_image")
    assert "Lyra 2.0: licence not accepted" in texts and "Read and Accept Licence" in texts, texts
    assert "lyra.download_weights" not in texts
    settings.image = __file__
    refused(bpy.ops.lyra.start_world, "Lyra 2.0: licence not accepted")
    refused(bpy.ops.lyra.download_weights, "nothing to download")
    assert bpy.ops.lyra.accept_licence(engine="lyra2", licence=LICENCE["id"]) == {"FINISHED"}
    until(lambda: engines.find("lyra2").state.status == "needs_download")
    assert "POST /v1/licences/nvidia-lyra-2.0/accept" in service.requests
    refused(bpy.ops.lyra.accept_licence, "no licence", engine="lyra2", licence=LICENCE["id"])
    texts = panel("LYRA_PT_image")
    assert "Lyra 2.0: 98 GB to download" in texts and "Download 98 GB" in texts, texts
    assert "It needs_download." not in texts, "that is for the command line"
    refused(bpy.ops.lyra.download_weights, "Allow Online Access")
    bpy.context.preferences.system.use_online_access = True
    assert bpy.ops.lyra.download_weights() == {"FINISHED"}
    until(weights.is_downloading)
    texts = panel("LYRA_PT_image")
    assert "Downloading" in texts and "24 of 98 GB" in texts and "lyra.cancel_download" in texts, texts
    refused(bpy.ops.lyra.download_weights, "under way")
    assert bpy.ops.lyra.cancel_download() == {"FINISHED"}
    until(lambda: not weights.is_downloading())
    assert "Cancelled" in panel("LYRA_PT_image")


def check_found_again(service):
    """Another Blender, or this one later, follows the download that runs."""
    service.begin()
    session.current.disconnect()
    session.current.jobs.clear()
    bpy.ops.lyra.start_service()
    until(weights.is_downloading)
    service.job["state"] = "done"
    until(lambda: engines.find("lyra2").ready)
    assert panel("LYRA_PT_image").count("Lyra 2.0") == 1


def check_what_no_button_mends():
    lyra = engines.find("lyra2")
    licences = (replace(lyra.state.licences[0], accepted=False),)
    now = replace(lyra.state, status="needs_gpu", text="Needs a GPU with 24 GB.", licences=licences)
    session.current.engines = [replace(lyra, ready=False, state=now)]
    texts = panel("LYRA_PT_image")
    assert "Lyra 2.0: needs a GPU" in texts and "Needs a GPU with 24 GB." in texts, texts
    assert "lyra.accept_licence" not in texts and "lyra.download_weights" not in texts
    refused(bpy.ops.lyra.start_world, "Lyra 2.0: Needs a GPU with 24 GB")


def check_settings_and_prompts(folder):
    scene = bpy.context.scene
    world = {"id": "w", "name": "W", "engine": "lyra2", "seed": 7, "license": "Research only.", "width": 64,
             "height": 64, "frames": 81, "notes": [], "chunks": [{"index": 1, "prompt": "", "seconds": 1.0}],
             "files": [], "folder": ""}  # fmt: skip
    settings = scene.lyra
    settings.world = worlds.create(scene, world_of(world), np.eye(4))
    assert settings.world["lyra_license"] == "Research only."
    part = bpy.data.objects.new("part", None)
    worlds.add(settings.world, worlds.MESH, part)
    assert part["lyra_license"] == "Research only."
    assert "Research only." in panel("LYRA_PT_world")
    assert "35" in panel("LYRA_PT_engine_settings")
    settings.use_guidance = True
    assert settings.guidance == 5.0 and "guidance" in panel("LYRA_PT_engine_settings")
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    settings.camera, settings.chunks, settings.prompt = camera, 2, "a valley"
    plain = generate.extend_settings(bpy.context, settings.world).to_json()
    assert plain["options"] == {"guidance": 5.0} and plain["prompt"] == "a valley" and "seed" not in plain
    settings.use_styles, settings.styles = True, 0.25
    assert generate.extend_settings(bpy.context, settings.world).to_json()["options"] == {
        "guidance": 5.0,
        "styles": 0.25,
    }
    settings.use_styles = False
    settings.use_steps, settings.steps, settings.use_new_seed, settings.new_seed = True, 20, True, 3
    bpy.ops.lyra.add_prompt()
    settings.world.lyra.prompts[0].text = "a bridge"
    bpy.ops.lyra.add_prompt()
    assert [entry.chunk for entry in settings.world.lyra.prompts] == [2, 3]
    assert "Chunk 3: frames 161 to 240" in panel("LYRA_PT_prompts")
    own = generate.extend_settings(bpy.context, settings.world).to_json()
    assert own["captions"] == {"0": "a valley", "81": "a bridge", "161": "a valley"} and "prompt" not in own
    assert own["options"] == {"steps": 20, "guidance": 5.0} and own["seed"] == 3
    bpy.ops.lyra.remove_prompt()
    bpy.ops.wm.save_as_mainfile(filepath=f"{folder}/prompts.blend")
    bpy.ops.wm.open_mainfile(filepath=f"{folder}/prompts.blend")
    (kept,) = bpy.context.scene.lyra.world.lyra.prompts
    assert (kept.chunk, kept.text) == (2, "a bridge")
    stored = kept.bl_system_properties_get() if hasattr(kept, "bl_system_properties_get") else kept
    stored["piece"] = 7  # as an earlier version has saved it
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=f"{folder}/prompts.blend")
    (kept,) = bpy.context.scene.lyra.world.lyra.prompts
    assert (kept.chunk, kept.text) == (7, "a bridge")
    bpy.context.scene.lyra.steps, described = 150, module("service.resources").Engine.from_json
    session.current.engines = [described(engine) for engine in Service().engines()]
    try:
        generate.extend_settings(bpy.context, bpy.context.scene.lyra.world)
    except ValueError as error:
        assert "Steps is 150" in str(error) and "1 to 100" in str(error)
    else:
        raise AssertionError("150 steps were taken")


def check_camera_left_out():
    """A camera that the view layer leaves out moves all the same; one that was deleted is refused."""
    scene, camera = bpy.context.scene, bpy.context.scene.lyra.camera
    seed = bpy.data.objects.new("seed", bpy.data.cameras.new("seed"))
    worlds.add(scene.lyra.world, worlds.FIRST_CAMERA, seed)
    shelf = bpy.data.collections.new("shelf")
    scene.collection.children.link(shelf)
    shelf.objects.link(camera)
    scene.collection.objects.unlink(camera)
    for x, frame in ((0, 1), (8, 81)):
        camera.location.x = x
        camera.keyframe_insert("location", frame=frame)
    scene.lyra.range, scene.lyra.first_frame, scene.lyra.last_frame = "PATH", 1, 81
    scene.lyra.chunks = 1
    scene.timeline_markers.new("cut", frame=40).camera = seed
    scene.camera = seed
    layer = bpy.context.view_layer.layer_collection.children["shelf"]
    for owner, switch in ((camera, "hide_viewport"), (shelf, "hide_viewport"), (layer, "exclude")):
        setattr(owner, switch, True)
        assert bpy.ops.lyra.update_path() == {"FINISHED"} and scene.camera == seed
        x = module("scene.sampled_path").shown(scene).sampled.matrices[:, 0, 3]
        assert abs(x[0]) < 1e-4 and abs(x[40] - 4) < 1e-4 and abs(x[80] - 8) < 1e-4, (switch, x)
        setattr(owner, switch, False)
    bpy.ops.lyra.update_path()
    bpy.context.view_layer.update()
    assert module("scene.sampled_path").is_current(scene)
    shelf.objects.unlink(camera)
    refused(bpy.ops.lyra.update_path, "Camera 'camera' was deleted")


def main():
    zip_file, folder = sys.argv[1:]
    install(zip_file)
    global engines, generate, session, weights, worlds
    engines, session, weights, worlds = map(
        module, ("service.engines", "service.session", "jobs.weights", "scene.worlds")
    )
    generate = module("operators.generate")
    service = Service()
    chosen = module("service.preferences").get()
    chosen.source, chosen.address, chosen.token = "ADDRESS", f"127.0.0.1:{serve(service)}", "token"
    bpy.ops.lyra.start_service()
    until(lambda: session.current.engines)
    check_licence_and_download(service)
    check_found_again(service)
    check_what_no_button_mends()
    check_settings_and_prompts(folder)
    check_camera_left_out()
    uninstall()


main()
