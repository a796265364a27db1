"""Frames arrive as they were sent, however the socket cuts them."""

from __future__ import annotations

import socket
import threading

from hypothesis import given
from hypothesis import strategies as st

from voicelat.bridge.frames import Kind, frame, frames_from

FRAMES = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=300)), max_size=8)


@given(FRAMES, st.integers(1, 50))
def test_every_frame_arrives_whole_and_in_order(
    frames: list[tuple[Kind, bytes]], piece: int
) -> None:
    ours, theirs = socket.socketpair()
    stream = b"".join(frame(kind, body) for kind, body in frames)

    def send() -> None:
        with theirs:
            for begin in range(0, len(stream), piece):
                theirs.sendall(stream[begin : begin + piece])

    sending = threading.Thread(target=send)
    sending.start()
    with ours:
        assert list(frames_from(ours)) == frames
    sending.join()


def test_a_frame_that_breaks_off_is_none() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(frame(Kind.TEXT, "whole") + frame(Kind.TEXT, "half")[:-1])
        assert list(frames_from(ours)) == [(Kind.TEXT, b"whole")]


def test_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    assert frame(Kind.TEXT, "a\ud800b").endswith(b"a?b")
