"""What the service says becomes typed objects or one error; needs no Blender."""

import copy
import json

import numpy as np
import pytest

from tests.blender.addon import load

fields, hello, resources, wire = map(
    load, ("service.fields", "service.hello", "service.resources", "service.wire")
)
WORLD = {
    "id": "yard-0a1b2c3d", "name": "yard", "engine": "preview", "created": "2026-01-02T03:04:05", "width": 832,
    "height": 480, "frames": 81, "state": "ready", "error": None,
    "intrinsics": [[700, 0, 416], [0, 700, 240], [0, 0, 1]],
    "last_w2c": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0, 1]], "scale": 1.5, "seed": 7,
    "depth_source": "file", "license": "", "notes": ["a note"], "folder": "/worlds/yard",
    "chunks": [{"index": 1, "prompt": "a gate", "seed": 7, "seconds": 3.5}],
    "files": [{"path": "chunks/0001/trajectory.npz", "size": 9000}], "results": {"splats": 5, "faces": None},
}  # fmt: skip
JOB = {
    "id": "j-1", "world_id": "yard-0a1b2c3d", "kind": "extend", "state": "running", "stage": "frames",
    "progress": 0.5, "eta_seconds": 9.0, "message": "", "error": None, "notes": [], "sequence": 3, "preview": True,
    "created": "x", "started": None, "finished": None,
}  # fmt: skip
ENGINE = {
    "id": "lyra2-fast", "label": "Lyra", "ready": False, "reason": "r", "needs": "n", "license": "l", "default": True,
    "state": {"status": "needs_licence", "text": "t", "download_bytes": 10, "licences": [
        {"id": "nvidia-lyra-2.0", "title": "N", "text": "t", "where": "w", "accepted": False}]},
    "options": {"steps": {"default": 35, "min": 1, "max": 100}, "styles": None},
}  # fmt: skip
HEALTH = {
    "api": 1,
    "version": "0.1",
    "pid": 9,
    "owner": "blender",
    "device": None,
    "worker": "idle",
    "active_jobs": 0,
}
HELLO = {"service": "lyra-worlds", "api": 1, "pid": 9, "proof": "0" * 64}
CASES = [
    (resources.World, WORLD),
    (resources.Job, JOB),
    (resources.Engine, ENGINE),
    (resources.Health, HEALTH),
    (resources.Hello, HELLO),
    (resources.NewWorld, {"world": WORLD, "job": JOB}),
    (resources.Picture, {"width": 3, "height": 4}),
]
OUTSIDE = [
    "../x",
    "..",
    "a/../b",
    "/etc/passwd",
    "C:/x",
    "a\\b",
    "",
    "a//b",
    "con",
    "a/NUL.txt",
    "x\0y",
    "x" * 2000,
]


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_what_the_service_says_is_taken(kind, value):
    got = kind.from_json(json.loads(json.dumps(value)))
    assert got == kind.from_json(value)


def test_a_world_is_kept_and_read_again():
    world = resources.World.from_json(WORLD)
    assert resources.World.from_json(json.loads(json.dumps(world.to_json()))) == world
    assert world.size_of("chunks/0001/trajectory.npz") == 9000 and world.size_of("seed.png") is None
    assert (world.chunks[0].prompt, world.results.faces, world.last_w2c[2][3]) == ("a gate", 0, 0.5)


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key)
            yield from leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield (*path, index)
            yield from leaves(each, (*path, index))


def changed(value, path, new):
    whole = copy.deepcopy(value)
    part = whole
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = new
    return whole


STRANGE = [
    None,
    True,
    -1,
    10**400,
    1e308,
    "text",
    "../x",
    "x" * 200_000,
    [],
    {},
    [[1]],
    {"a": 1},
    "\ud800",
    1.5,
]


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_any_mutation_is_taken_or_refused_in_one_line(kind, value):
    """500 of them, each a field replaced or taken away."""
    chance, places = np.random.default_rng(1), list(leaves(value))
    for _ in range(500):
        path = places[chance.integers(len(places))]
        mutant = changed(value, path, STRANGE[chance.integers(len(STRANGE))])
        if chance.random() < 0.2:
            part = mutant
            for step in path[:-1]:
                part = part[step]
            del part[path[-1]]
        try:
            got = kind.from_json(mutant)
        except wire.ProtocolError as error:
            assert len(str(error)) <= 300 and "\n" not in str(error), str(error)
        else:
            json.dumps(repr(got)).encode()
    for strange in STRANGE:
        with pytest.raises(wire.ProtocolError):
            kind.from_json(strange)


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_leads_out_of_a_folder(path):
    assert not fields.is_file_path(path) and not fields.is_id(path)
    for value, kind in (
        (WORLD | {"id": path}, resources.World),
        ({"path": path, "size": 1}, resources.FileEntry),
        (JOB | {"id": path}, resources.Job),
        (ENGINE | {"id": path}, resources.Engine),
    ):
        with pytest.raises(wire.ProtocolError):
            kind.from_json(value)
    world = WORLD | {"files": [{"path": path, "size": 1}, {"path": "seed.png", "size": 2}]}
    try:
        # What only other systems have a name for is left out: a user may keep it in the world's folder.
        assert resources.World.from_json(world).files == (resources.FileEntry("seed.png", 2),)
    except wire.ProtocolError:
        assert {"", ".", ".."} & set(path.split("/"))
    if path:  # a download has no world
        with pytest.raises(wire.ProtocolError):
            resources.Job.from_json(JOB | {"world_id": path})


@pytest.mark.parametrize(
    "path", ["seed.png", "chunks/0001/trajectory.npz", "results/splats.ply", "a b.png", "console"]
)
def test_files_of_worlds(path):
    assert fields.is_file_path(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frames": "81"}, "'81' as frames of a world, not a whole number"),
        ({"frames": 1e3}, "frames"),
        ({"frames": True}, "frames"),
        ({"width": -5}, "-5 as width"),
        ({"height": 10**30}, "height"),
        ({"scale": 0}, "scale"),
        ({"intrinsics": None}, "intrinsics"),
        ({"intrinsics": [[0, 0, 1], [0, 1, 1], [0, 0, 1]]}, "the intrinsics of a lens"),
        ({"last_w2c": [[1, 2], [3, 4]]}, "last_w2c"),
        ({"up": [0, -1]}, "up"),
        ({"up": [0, -1, 1]}, "up"),
        ({"up": [0, float("nan"), 1]}, "up"),
        ({"state": "odd"}, "one of damaged, ready, seeding"),
        ({"chunks": [{"index": 0}]}, "index of a chunk"),
        ({"notes": ["a", 5]}, "notes"),
    ],
)
def test_refusals_quote_the_value(change, says):
    with pytest.raises(wire.ProtocolError) as refused:
        resources.World.from_json(WORLD | change)
    assert says in str(refused.value)


def test_lists():
    assert resources.entries([JOB, JOB], resources.Job.from_json)[1].id == "j-1"
    for value in ({}, None, "x", [1], [JOB] * 100_001):
        with pytest.raises(wire.ProtocolError):
            resources.entries(value, resources.Job.from_json)


@pytest.mark.parametrize(
    ("change", "token", "pid", "says"),
    [
        ({}, "t", 9, None),
        ({}, "t", None, None),
        ({}, "other", 9, "another token"),
        ({}, "t", 8, "Process 9 answers"),
        ({"proof": "0" * 64}, "t", 9, "another token"),
        ({"pid": 8}, "t", 8, "another token"),
    ],
)
def test_the_token_is_proven_before_it_is_sent(change, token, pid, says):
    from backend.state_file import proof

    challenge = hello.new_challenge()
    greeting = resources.Hello.from_json(HELLO | {"proof": proof("t", challenge, 9)} | change)
    address = wire.Address("127.0.0.1", 5, token, pid)
    if says is None:
        hello.check(greeting, challenge, address)
    else:
        with pytest.raises(wire.ProtocolError, match=says):
            hello.check(greeting, challenge, address)
    assert "'t'" not in repr(address)
