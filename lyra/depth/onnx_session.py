"""ONNX Runtime for the depth of pictures: on a GPU where its build has one, with bounded memory and threads.

A network is checked before it is loaded (lyra.hub.onnx_files), and what it holds while it works comes from an arena
with a limit. Nothing is fetched and nothing is reported: the runtime's telemetry is turned off.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.common.quoting import one_line, place, value
from lyra.hub.catalog import item
from lyra.hub.onnx_files import check_onnx
from lyra.hub.packages import packages_remark
from lyra.hub.weights import Weights

if TYPE_CHECKING:
    import onnxruntime

PACKAGES = ("onnxruntime",)
CPU = "CPUExecutionProvider"
# In order of preference; each is there in a build of its own.
GPUS = {"CUDAExecutionProvider": "CUDA", "DmlExecutionProvider": "DirectML"}
# The most that a network may hold while it works, several times of what the published ones need.
LARGEST_MEMORY = 4_000_000_000
# More threads gain next to nothing at this size, and others want to work, too.
MOST_THREADS = 8
NO_GPU = (
    "The depth model runs on the CPU: ONNX Runtime here has no GPU. Install its build for CUDA with: "
    "pip install 'lyra-worlds[onnx-gpu]', or for DirectML with: pip install 'lyra-worlds[onnx-directml]'."
)
_NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


def missing_requirement(
    item_id: str, folder: str | Path | None = None, weights: Weights | None = None
) -> str | None:
    """Why the network of an item cannot run here and what to do about it; None if it can."""
    entry = item(item_id)
    lacking = packages_remark(PACKAGES, "", entry.label)
    if lacking:
        return lacking
    if folder is not None:
        if _in_folder(item_id, folder) is None:
            return f"The folder {folder} lacks {Path(entry.path).name} of {entry.label}; give another."
        return None
    if (weights or Weights()).has(item_id):
        return None
    return f"{entry.label} is not on this machine; get it with: lyra models download {item_id}."


def network_file(item_id: str, folder: str | Path | None = None) -> Path:
    """The file of an item in `folder`, by default in the weights folder. Raises EngineNotReadyError without one."""
    reason = missing_requirement(item_id, folder)
    if reason:
        raise EngineNotReadyError(f"{reason} Or choose the built-in depth.")
    found = _in_folder(item_id, folder) if folder is not None else None
    return found or Weights().path(item_id)


def _in_folder(item_id: str, folder: str | Path) -> Path | None:
    path = Path(item(item_id).path)
    return next((file for file in (Path(folder) / path, Path(folder) / path.name) if file.is_file()), None)


class OnnxNetwork:
    """One network and where it runs.

    `notes` say what the user should know about the latter; they may grow with a run that a GPU failed at.
    """

    def __init__(
        self, file: Path, label: str, inputs: Mapping[str, str], outputs: tuple[str, ...], device: str | None
    ):
        """Loads `file`, whose `inputs` (names and kinds, "float" or "int64") and `outputs` must be there.

        An output may have several names, with "|" between them. `device` is "cpu", "cuda" or None for the best there
        is. Raises EngineNotReadyError, saying what to do, for a file that is damaged or another network.
        """
        self.file, self.label = file, label
        self.notes: tuple[str, ...] = ()
        try:
            check_onnx(file)
        except InvalidInputError as error:
            raise EngineNotReadyError(str(error)) from error
        gpus = () if device == "cpu" else _gpus()
        if device == "cuda" and not gpus:
            self.notes = (NO_GPU,)
        self._session, self._provider = self._load(gpus)
        self._inputs = self._checked_inputs(inputs)
        self._outputs = self._checked_outputs(outputs)

    @property
    def provider(self) -> str:
        """Where it runs: "CUDA", "DirectML" or "CPU"."""
        return GPUS.get(self._provider, "CPU")

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by their first names, float32. Raises EngineNotReadyError when the network fails."""
        feeds: dict[str, np.ndarray] = {
            name: np.asarray(array, self._inputs[name]) for name, array in inputs.items()
        }
        if self._provider != CPU:
            try:
                return self._run(feeds)
            except EngineNotReadyError as error:
                self._fall_back(error)
        return self._run(feeds)

    def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import onnxruntime

        options = onnxruntime.RunOptions()
        # What a run needed is given back after it.
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        try:
            found = self._session.run(list(self._outputs.values()), feeds, options)
        except _failures() as error:
            raise self._refusal("failed", error) from error
        return dict(zip(self._outputs, (np.asarray(array, np.float32) for array in found), strict=True))

    def _load(self, gpus: tuple[str, ...]) -> tuple[onnxruntime.InferenceSession, str]:
        """The session and its provider: the first of `gpus` that takes the network, else the CPU."""
        for gpu in gpus:
            try:
                session = _session(self.file, gpu)
            except _failures() as error:
                self.notes += (_fallback_note(gpu, error),)
                continue
            if gpu in session.get_providers():
                return session, gpu
            self.notes += (_fallback_note(gpu, "its libraries cannot be loaded"),)
        try:
            return _session(self.file, CPU), CPU
        except _failures() as error:
            raise self._refusal("cannot be loaded", error) from error

    def _fall_back(self, error: EngineNotReadyError) -> None:
        """Loads the network on the CPU after a GPU failed at it."""
        self.notes += (_fallback_note(self._provider, error.__cause__ or error),)
        self._session, self._provider = self._load(())

    def _checked_inputs(self, wanted: Mapping[str, str]) -> dict[str, type]:
        """The number type of each input by its name."""
        found = {entry.name: entry.type for entry in self._session.get_inputs()}
        fits = found.keys() == wanted.keys() and all(
            found[name] in _NUMBERS and found[name].startswith(f"tensor({kind}")
            for name, kind in wanted.items()
        )
        if not fits:
            raise self._other(f"it takes {value(found)}")
        return {name: _NUMBERS[kind] for name, kind in found.items()}

    def _checked_outputs(self, wanted: tuple[str, ...]) -> dict[str, str]:
        """The name in the file of each output by its first name."""
        found = {entry.name: entry.type for entry in self._session.get_outputs()}
        names = {}
        for alternatives in (name.split("|") for name in wanted):
            taken = next(
                (name for name in alternatives if found.get(name, "").startswith("tensor(float")), None
            )
            if taken is None:
                raise self._other(f"it gives {value(found)}")
            names[alternatives[0]] = taken
        return names

    def _other(self, reason: str) -> EngineNotReadyError:
        return EngineNotReadyError(
            one_line(f"{place(self.file)} is not {self.label} ({reason}); download it again.")
        )

    def _refusal(self, what: str, error: Exception) -> EngineNotReadyError:
        reason = one_line(error, 120)
        return EngineNotReadyError(
            one_line(
                f"{self.label} {what} ({reason}); check it with: lyra models verify. Its file: {place(self.file)}"
            )
        )

    def wrong_output(self, name: str, array: np.ndarray) -> EngineNotReadyError:
        """What to raise where an output has another shape than it should, or no numbers in it."""
        return self._other(f"its output {name} of shape {array.shape} is none")


def _fallback_note(gpu: str, reason: object) -> str:
    return one_line(f"The depth model runs on the CPU: {GPUS[gpu]} failed at it ({one_line(reason, 120)}).")


def _gpus() -> tuple[str, ...]:
    import onnxruntime

    there = onnxruntime.get_available_providers()
    return tuple(gpu for gpu in GPUS if gpu in there)


def _threads() -> int:
    """As many as there are cores for this process, fewer where OMP_NUM_THREADS says so, at most MOST_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, MOST_THREADS, int(asked) if asked.isascii() and asked.isdigit() else cores))


@functools.cache
def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: its own kinds, which have no base in common, and those of its Python binding."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    own = (kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError, TypeError, MemoryError, OSError)


def _session(file: Path, provider: str) -> onnxruntime.InferenceSession:
    import onnxruntime

    _limit_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # DirectML asks for it; the arena needs no pattern.
    options.enable_mem_pattern = False
    # Threads that wait do so without keeping their cores from others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    settings = {"gpu_mem_limit": str(LARGEST_MEMORY), "arena_extend_strategy": "kSameAsRequested"}
    chosen = [CPU] if provider == CPU else [(provider, settings if provider.startswith("CUDA") else {}), CPU]
    return onnxruntime.InferenceSession(str(file), options, providers=chosen)


@functools.cache
def _limit_memory() -> None:
    """Gives all sessions of this process one arena with a limit, beyond which a run fails instead of the process."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    same_as_requested = 1
    settings = onnxruntime.OrtArenaCfg(
        {"max_mem": LARGEST_MEMORY, "arena_extend_strategy": same_as_requested}
    )
    onnxruntime.create_and_register_allocator(memory, settings)
