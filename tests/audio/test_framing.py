from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicelat.audio.framing import FRAME_BYTES, FRAME_MS, Framer


def test_a_frame_is_20_ms_of_8_khz() -> None:
    assert (FRAME_MS, FRAME_BYTES) == (20, 160)


@given(st.lists(st.binary(max_size=700)))
def test_frames_are_whole_and_in_order_and_the_last_is_padded_with_silence(
    chunks: list[bytes],
) -> None:
    framer = Framer()
    frames = [frame for chunk in chunks for frame in framer.push(chunk)]
    last = framer.flush()
    audio = b"".join(chunks)
    assert len(frames) == len(audio) // FRAME_BYTES
    assert (last is None) == (len(audio) % FRAME_BYTES == 0)
    if last is not None:
        frames.append(last)
    assert all(len(frame) == FRAME_BYTES for frame in frames)
    joined = b"".join(frames)
    assert joined[: len(audio)] == audio
    assert set(joined[len(audio) :]) <= {0xFF}


def test_a_flushed_framer_starts_anew() -> None:
    framer = Framer()
    framer.push(b"a" * 100)
    framer.flush()
    assert framer.flush() is None
    assert framer.push(b"b" * 160) == [b"b" * 160]
