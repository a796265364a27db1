"""Moonshine tiny-en, run directly in onnxruntime: 8 kHz mu-law in, English text out.

An encoder over the whole segment, then a greedy decoder with a key/value cache. Only the
weights of the moonshine-voice package are used, none of its code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr

from voicelat.audio import mulaw as codec
from voicelat.errors import ProviderError
from voicelat.providers.local.inference import Array, Session, Stopped, Stopper, open_session
from voicelat.providers.local.weights import MOONSHINE, WeightFile

__all__ = ["Heard", "Moonshine", "loop_length", "read_tokenizer"]

_RATE: Final = 16000
_SHORTEST: Final = _RATE // 10
"""The convolutions need 56 ms to give one frame; shorter audio is padded with silence."""

_START: Final = 1
_END: Final = 2
_LAYERS: Final = 6
_HEADS: Final = 8
_HEAD_SIZE: Final = 36

# The model's authors stop at 6.5 tokens per second (moonshine, onnx_model.py); the constant
# leaves room for the punctuation of a one-word answer.
_TOKENS_PER_SECOND: Final = 6.5
_TOKENS_SPARE: Final = 3

_LOOP_PERIOD: Final = 8
_LOOP_TOKENS: Final = 12
"""A tail of at least this many tokens that repeats itself is a decoder stuck in a loop, not
speech: six spoken zeros are 12 tokens, and telephone numbers have no more."""

_PAST: Final = {
    kind: [
        f"past_key_values.{layer}.{kind}.{part}"
        for layer in range(_LAYERS)
        for part in ("key", "value")
    ]
    for kind in ("decoder", "encoder")
}
_PRESENT: Final = {
    kind: [name.replace("past_key_values", "present") for name in names]
    for kind, names in _PAST.items()
}
_NO_PAST: Final = np.zeros((1, _HEADS, 0, _HEAD_SIZE), np.float32)


@dataclass(frozen=True, slots=True)
class Heard:
    """A transcription. ``tokens`` may be the draft of the next one of the same, longer audio."""

    text: str
    tokens: tuple[int, ...]


class Moonshine:
    """The model. Loading blocks for about 0.6 s; `transcribe` may run in many threads."""

    __slots__ = ("_decoder", "_encoder", "_pieces")

    def __init__(self, files: Mapping[str, WeightFile] = MOONSHINE) -> None:
        self._encoder: Session = open_session(files["encoder"])
        self._decoder: Session = open_session(files["decoder"])
        self._pieces = read_tokenizer(files["tokenizer"].verify().read_bytes())

    def transcribe(
        self,
        mulaw: bytes,
        draft: tuple[int, ...] = (),
        stopper: Stopper | None = None,
        give_way: Callable[[], bool] | None = None,
    ) -> Heard | None:
        """The text of ``mulaw``; None when it was stopped, or gave way, before the end.

        ``draft`` are tokens expected to come, from an earlier part of the same audio: those
        that prove right cost one run together instead of one run each (30 tokens: 98 ms
        without, 17 ms with all but two). A wrong draft costs nothing but that run.
        ``give_way`` is asked before every token. Raises `ProviderError`.
        """
        stopper = stopper or Stopper()
        pcm = codec.decode(mulaw).astype(np.float32) / np.float32(32768)
        audio = soxr.resample(pcm, codec.RATE, _RATE)
        if len(audio) < _SHORTEST:
            audio = np.pad(audio, (0, _SHORTEST - len(audio)))
        try:
            tokens = self._decode(_Encoded.of(audio, self._encoder, stopper), draft, give_way)
        except Stopped:
            return None
        return Heard(self._text(tokens), tuple(tokens))

    def _decode(
        self, encoded: _Encoded, draft: tuple[int, ...], give_way: Callable[[], bool] | None
    ) -> list[int]:
        tokens, token, past = encoded.first_run(self._decoder, draft[: encoded.limit])
        while token != _END and len(tokens) < encoded.limit:
            if give_way is not None and give_way():
                raise Stopped
            tokens.append(token)
            if loop := loop_length(tokens):
                return tokens[:-loop]
            token = encoded.next_run(self._decoder, token, past)
        return tokens

    def _text(self, tokens: list[int]) -> str:
        raw = b"".join(self._pieces[token] for token in tokens)
        # A token may be one byte of a character; a cap can cut that character in two.
        return raw.decode("utf-8", errors="ignore").replace("\u2581", " ").strip()


@dataclass(frozen=True, slots=True)
class _Encoded:
    """One segment's encoder output, ready for the decoder's two branches."""

    states: Array
    mask: Array
    limit: int
    stopper: Stopper

    @classmethod
    def of(cls, audio: Array, encoder: Session, stopper: Stopper) -> _Encoded:
        # The decoder wants the mask at the length of the *audio* and shrinks it itself. At the
        # length of the states it works up to 384 of them, 9.2 s, and fails beyond
        # (github.com/k2-fsa/sherpa-onnx/issues/3975).
        mask = np.ones((1, len(audio)), np.int64)
        feed = {"input_values": audio[np.newaxis], "attention_mask": mask}
        (states,) = stopper.run(encoder, None, feed)
        limit = int(len(audio) / _RATE * _TOKENS_PER_SECOND) + _TOKENS_SPARE
        return cls(states, mask, limit, stopper)

    def first_run(
        self, decoder: Session, draft: tuple[int, ...]
    ) -> tuple[list[int], int, dict[str, Array]]:
        """Fill the cache and check the draft: (its right beginning, the next token, cache)."""
        feed = {name: _NO_PAST for kind in _PAST for name in _PAST[kind]}
        names = ["logits", *_PRESENT["decoder"], *_PRESENT["encoder"]]
        feed |= self._inputs((_START, *draft), use_cache=False)
        logits, *present = self.stopper.run(decoder, names, feed)
        best = logits[0].argmax(axis=-1).tolist()
        right = next((i for i, token in enumerate(draft) if best[i] != token), len(draft))
        own = len(_PAST["decoder"])
        past = {
            name: value[:, :, : right + 1]
            for name, value in zip(_PAST["decoder"], present[:own], strict=True)
        }
        past |= zip(_PAST["encoder"], present[own:], strict=True)
        return list(draft[:right]), best[right], past

    def next_run(self, decoder: Session, token: int, past: dict[str, Array]) -> int:
        """One token further; ``past`` is replaced in place, its encoder half never changes."""
        feed = {**past, **self._inputs((token,), use_cache=True)}
        names = ["logits", *_PRESENT["decoder"]]
        logits, *present = self.stopper.run(decoder, names, feed)
        past.update(zip(_PAST["decoder"], present, strict=True))
        return int(logits[0, -1].argmax())

    def _inputs(self, tokens: tuple[int, ...], *, use_cache: bool) -> Mapping[str, Array]:
        return {
            "input_ids": np.array([tokens], np.int64),
            "encoder_hidden_states": self.states,
            "encoder_attention_mask": self.mask,
            "use_cache_branch": np.array([use_cache]),
        }


def loop_length(tokens: list[int]) -> int:
    """How many tokens at the end only repeat what stands before them; 0 for no loop.

    A loop is a period of up to 8 tokens, at least three times over and at least 12 tokens long.
    """
    for period in range(1, _LOOP_PERIOD + 1):
        size = max(_LOOP_TOKENS, 3 * period)
        tail = tokens[-size:]
        if len(tail) == size and tail[period:] == tail[:-period]:
            return size - period
    return 0


def read_tokenizer(raw: bytes) -> list[bytes]:
    """The pieces of a ``tokenizer.bin``, by token id: each is its length, then its bytes.

    A length from 128 up takes two bytes: the low 7 bits with the top bit set, then the rest
    (moonshine, core/bin-tokenizer). Raises `ProviderError` when the file ends inside a piece.
    """
    pieces: list[bytes] = []
    at = 0
    while at < len(raw):
        size = raw[at]
        at += 1
        if size >= 128 and at < len(raw):
            size += 128 * raw[at] - 128
            at += 1
        if at + size > len(raw):
            raise ProviderError("local", "the tokenizer file ends inside a piece", "give_up")
        pieces.append(raw[at : at + size])
        at += size
    return pieces
