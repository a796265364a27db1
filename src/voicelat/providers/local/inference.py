"""onnxruntime at arm's length: sessions, stopping a run from outside, its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from voicelat.errors import MissingExtra, ProviderError
from voicelat.providers.local.weights import WeightFile

__all__ = ["Array", "Session", "Stopped", "Stopper", "inference_errors", "open_session"]

Array: TypeAlias = NDArray[Any]


class Session(Protocol):
    """What is used of ``onnxruntime.InferenceSession``. Runs in many threads at once."""

    def run(
        self, names: Sequence[str] | None, feed: Mapping[str, Array], options: object = None
    ) -> list[Array]: ...


class Stopped(Exception):
    """The run was stopped from outside; there is no result."""


class Stopper:
    """Stops one job's inference, from any thread, at the next kernel."""

    __slots__ = ("_options", "stopped")

    def __init__(self) -> None:
        self._options = _ort().RunOptions()
        self.stopped = False

    def stop(self) -> None:
        """Ask the job to end. Safe to call at any time, also twice."""
        self.stopped = True
        self._options.terminate = True

    def run(
        self, session: Session, names: Sequence[str] | None, feed: Mapping[str, Array]
    ) -> list[Array]:
        """One run of the session. Raises `Stopped`, or `ProviderError` when it fails."""
        if self.stopped:
            raise Stopped
        try:
            with inference_errors():
                return session.run(names, feed, self._options)
        except ProviderError:
            if self.stopped:
                raise Stopped from None
            raise


def open_session(file: WeightFile) -> Session:
    """Verify the weights and load them. Blocks (0.1 to 0.6 s): keep it off the event loop.

    One thread per run: calls share the cores, and one call's speed-up is another's jitter.
    """
    path = file.verify()
    ort = _ort()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Idle pool threads must not burn a core between runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # One plan is kept per input shape, and no two utterances have one: without it, 3 voices and 2
    # ears in 680 utterances end at 460 MB and stay there, with it at 556 MB and growing
    # (2026-11, onnxruntime 1.32), and neither is faster.
    options.enable_mem_pattern = False
    options.log_severity_level = 4  # every failed run is raised as well: say it once
    with inference_errors():
        session: Session = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    return session


@contextmanager
def inference_errors() -> Iterator[None]:
    """Map whatever onnxruntime raises to `ProviderError`."""
    try:
        yield
    except _ort_errors() as error:
        why = str(error).splitlines()[0][:200]
        raise ProviderError("local", f"inference failed: {why}", "retry") from error


@cache
def _ort() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("local", "local speech (onnxruntime)") from None
    return onnxruntime


@cache
def _ort_errors() -> tuple[type[Exception], ...]:
    # They are 15 siblings directly below Exception (onnxruntime 1.32), without a common parent.
    state = _ort().capi.onnxruntime_pybind11_state
    found = (value for value in vars(state).values() if isinstance(value, type))
    return tuple(kind for kind in found if issubclass(kind, Exception))
