from __future__ import annotations

import numpy as np
import pytest

from voicelat.errors import ProviderError
from voicelat.providers.local.inference import Session, Stopped, Stopper, open_session
from voicelat.providers.local.weights import SILERO

pytestmark = pytest.mark.usefixtures("local_speech")


@pytest.fixture
def session() -> Session:
    return open_session(SILERO)


def _feed(samples: int) -> dict[str, np.ndarray]:
    return {
        "input": np.zeros((1, samples), np.float32),
        "state": np.zeros((2, 1, 128), np.float32),
        "sr": np.array(8000, np.int64),
    }


def test_a_run_gives_the_models_outputs(session: Session) -> None:
    speech, state = Stopper().run(session, None, _feed(288))
    assert speech.shape == (1, 1)
    assert state.shape == (2, 1, 128)


def test_a_stopped_job_runs_nothing_more(session: Session) -> None:
    stopper = Stopper()
    stopper.stop()
    stopper.stop()
    with pytest.raises(Stopped):
        stopper.run(session, None, _feed(288))


def test_what_onnxruntime_raises_becomes_one_line_of_ours(session: Session) -> None:
    with pytest.raises(ProviderError, match="inference failed") as caught:
        Stopper().run(session, None, {**_feed(288), "state": np.zeros((1, 1, 1), np.float32)})
    assert "\n" not in str(caught.value)


def test_no_plan_is_kept_for_each_length_of_audio() -> None:
    session = open_session(SILERO)
    assert not session.get_session_options().enable_mem_pattern  # type: ignore[attr-defined]
