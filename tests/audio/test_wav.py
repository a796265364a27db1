from __future__ import annotations

import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicelat.audio import mulaw, wav
from voicelat.audio.mulaw import Pcm
from voicelat.errors import InvalidFile

PCM, FLOAT, ALAW, MULAW = 1, 3, 6, 7
TONE: Pcm = (10_000 * np.sin(np.arange(8000) / 8)).astype(np.int16)
CODES = mulaw.encode(TONE)
UNKNOWN_SIZES = [0, 0xFFFFFFFF, 0x7FFFFFFF]


def fmt(encoding: int, channels: int, rate: int, bits: int) -> bytes:
    block = channels * bits // 8
    return struct.pack("<HHIIHH", encoding, channels, rate, rate * block, block, bits)


def extensible(encoding: int, channels: int, rate: int, bits: int) -> bytes:
    guid_tail = bytes.fromhex("000000001000800000aa00389b71")
    extra = struct.pack("<HHIH", 22, bits, 0, encoding) + guid_tail
    return fmt(0xFFFE, channels, rate, bits) + extra


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks), size)


def a_wav(form: bytes, data: bytes) -> bytes:
    return riff(chunk(b"fmt ", form), chunk(b"data", data))


def read_back(contents: bytes, tmp_path: Path) -> wav.Recording:
    path = tmp_path / "some.wav"
    path.write_bytes(contents)
    return wav.read(path)


def as_24_bit(pcm: Pcm) -> bytes:
    wide = (pcm.astype("<i4") << 8).view(np.uint8).reshape(-1, 4)
    return wide[:, :3].tobytes()


@pytest.mark.parametrize(
    ("form", "data", "error"),
    [
        (fmt(PCM, 1, 8000, 8), ((TONE >> 8) + 128).astype(np.uint8).tobytes(), 256),
        (fmt(PCM, 1, 8000, 16), TONE.tobytes(), 0),
        (fmt(PCM, 1, 8000, 24), as_24_bit(TONE), 0),
        (fmt(PCM, 1, 8000, 32), (TONE.astype(np.int32) << 16).tobytes(), 0),
        (fmt(FLOAT, 1, 8000, 32), (TONE / 32767).astype(np.float32).tobytes(), 1),
        (fmt(FLOAT, 1, 8000, 64), (TONE / 32767).tobytes(), 1),
        (extensible(PCM, 1, 8000, 16), TONE.tobytes(), 0),
    ],
    ids=["pcm8", "pcm16", "pcm24", "pcm32", "float32", "float64", "extensible"],
)
def test_linear_encodings_are_read_as_they_are(
    form: bytes, data: bytes, error: int, tmp_path: Path
) -> None:
    recording = read_back(a_wav(form, data), tmp_path)
    assert recording.rate == 8000
    assert recording.duration_ms == 1000
    (channel,) = recording.channels
    assert channel.dtype == np.int16
    assert np.abs(channel.astype(int) - TONE).max() <= error


@pytest.mark.parametrize("form", [fmt(MULAW, 1, 8000, 8), extensible(MULAW, 1, 8000, 8)])
def test_mulaw_is_read_exactly(form: bytes, tmp_path: Path) -> None:
    recording = read_back(a_wav(form, bytes(range(256))), tmp_path)
    assert recording.channels[0].tolist() == mulaw.LINEAR.tolist()


def test_alaw_is_read(tmp_path: Path) -> None:
    recording = read_back(a_wav(fmt(ALAW, 1, 8000, 8), b"\xd5\x55\xaa\x2a"), tmp_path)
    assert recording.channels[0].tolist() == [8, -8, 32256, -32256]


def test_floats_beyond_full_scale_and_not_numbers_are_tamed(tmp_path: Path) -> None:
    wild = np.array([2.0, -2.0, np.inf, -np.inf, np.nan], np.float32).tobytes()
    recording = read_back(a_wav(fmt(FLOAT, 1, 8000, 32), wild), tmp_path)
    assert recording.channels[0].tolist() == [32767, -32767, 32767, -32767, 0]


@pytest.mark.parametrize("rate", [11025, 16000, 22050, 44100, 48000])
def test_other_rates_come_out_at_8_khz_and_channels_stay_apart(rate: int, tmp_path: Path) -> None:
    t = np.arange(rate) / rate
    left = (10_000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
    both = np.stack([left, np.zeros_like(left)], axis=1)
    recording = read_back(a_wav(fmt(PCM, 2, rate, 16), both.tobytes()), tmp_path)
    assert recording.rate == rate
    assert [len(channel) for channel in recording.channels] == [8000, 8000]
    assert np.std(recording.channels[0]) == pytest.approx(np.std(left), rel=0.02)
    assert not recording.channels[1].any()


@pytest.mark.parametrize("data_size", UNKNOWN_SIZES)
@pytest.mark.parametrize("riff_size", UNKNOWN_SIZES)
def test_a_stream_that_was_never_closed_is_read_to_its_end(
    data_size: int, riff_size: int, tmp_path: Path
) -> None:
    form = chunk(b"fmt ", fmt(MULAW, 1, 8000, 8))
    contents = riff(form, chunk(b"data", CODES, data_size), size=riff_size)
    assert read_back(contents, tmp_path).channels[0].tolist() == mulaw.decode(CODES).tolist()


def test_unknown_chunks_are_skipped(tmp_path: Path) -> None:
    contents = riff(
        chunk(b"JUNK", b"odd") + b"\0",
        chunk(b"fmt ", fmt(MULAW, 1, 8000, 8)),
        chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 4) + b"abc\0"),
        chunk(b"data", CODES),
        chunk(b"id3 ", b"tail"),
    )
    assert read_back(contents, tmp_path).channels[0].tolist() == mulaw.decode(CODES).tolist()


def test_a_file_cut_off_in_its_audio_gives_what_is_there(tmp_path: Path) -> None:
    contents = a_wav(fmt(PCM, 1, 8000, 16), TONE.tobytes())[:-1001]
    assert len(read_back(contents, tmp_path).channels[0]) == 8000 - 501


def test_a_file_without_audio_is_an_empty_recording(tmp_path: Path) -> None:
    recording = read_back(a_wav(fmt(MULAW, 2, 8000, 8), b""), tmp_path)
    assert recording.duration_ms == 0
    assert [channel.size for channel in recording.channels] == [0, 0]


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"RIFF",
        b"just some text\n" * 100,
        a_wav(fmt(PCM, 1, 8000, 16), TONE.tobytes())[:30],
        riff(chunk(b"data", CODES)),
        a_wav(fmt(PCM, 0, 8000, 16), TONE.tobytes()),
        a_wav(fmt(PCM, 1, 0, 16), TONE.tobytes()),
        a_wav(fmt(PCM, 1, 2_000_000_000, 16), TONE.tobytes()),
        a_wav(fmt(0x1234, 1, 8000, 16), TONE.tobytes()),
        b".snd" + struct.pack(">IIIII", 24, 8, 1, 8000, 1) + CODES[:8],
    ],
    ids=[
        "empty",
        "four bytes",
        "text",
        "truncated header",
        "no format",
        "no channels",
        "rate 0",
        "absurd rate",
        "unknown encoding",
        "another format",
    ],
)
def test_what_is_no_wav_is_refused_in_one_line(contents: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile) as caught:
        read_back(contents, tmp_path)
    assert "some.wav" in str(caught.value)
    assert "ffmpeg" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_invalid_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="No such file"):
        wav.read(tmp_path / "none.wav")
    with pytest.raises(InvalidFile, match="cannot be read"):
        wav.read(tmp_path)


SEEDS = [
    a_wav(fmt(MULAW, 1, 8000, 8), CODES[:400]),
    a_wav(fmt(PCM, 2, 44100, 24), as_24_bit(TONE[:800])),
    a_wav(extensible(FLOAT, 1, 16000, 32), TONE[:800].astype(np.float32).tobytes()),
    riff(chunk(b"LIST", b"abcd"), chunk(b"fmt ", fmt(ALAW, 1, 8000, 8)), chunk(b"data", CODES)),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    contents = bytearray(draw(st.sampled_from(SEEDS)))
    for at in draw(st.lists(st.integers(0, 79), max_size=6)):
        contents[at] = draw(st.integers(0, 255))
    return bytes(contents[: draw(st.integers(0, len(contents)))])


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(riff), mutated()))
def test_any_bytes_are_a_recording_or_an_invalid_file(contents: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            recording = read_back(contents, Path(folder))
        except InvalidFile:
            return
    assert recording.channels
    assert len({len(channel) for channel in recording.channels}) == 1
    assert all(channel.dtype == np.int16 for channel in recording.channels)


def test_every_real_recording_is_as_long_as_its_manifest_says(speech_data: Path) -> None:
    for entry in json.loads((speech_data / "manifest.json").read_text())["files"]:
        recording = wav.read(speech_data / entry["file"])
        assert len(recording.channels) == entry["channels"]
        assert recording.duration_ms == pytest.approx(entry["seconds"] * 1000, abs=10)


def sides(path: Path) -> tuple[bytes, bytes]:
    """Both channels of a recording as mu-law."""
    left, right = wav.read(path).channels
    return mulaw.encode(left), mulaw.encode(right)


def test_channels_are_placed_by_time_and_gaps_are_silence(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with wav.TwoChannelWriter(path) as writer:
        writer.write("agent", 30, b"\x10" * 80)
        writer.write("caller", 10, b"\x20" * 160)
    left, right = sides(path)
    assert left == mulaw.silence(10) + b"\x20" * 160 + mulaw.silence(10)
    assert right == mulaw.silence(30) + b"\x10" * 80


def test_a_call_without_audio_is_an_empty_file(tmp_path: Path) -> None:
    wav.TwoChannelWriter(tmp_path / "call.wav").close()
    assert sides(tmp_path / "call.wav") == (b"", b"")


def test_later_audio_replaces_earlier_even_when_that_is_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with wav.TwoChannelWriter(path) as writer:
        writer.write("agent", 0, b"\x10" * 80_000)
        writer.write("caller", 8_000, b"\x30" * 16_000)
        writer.write("agent", 8_000, b"\x20" * 16_000)
    left, right = sides(path)
    assert left == mulaw.silence(8_000) + b"\x30" * 16_000
    assert right == b"\x10" * 64_000 + b"\x20" * 16_000


WRITES = st.lists(
    st.tuples(
        st.sampled_from(["caller", "agent"]),
        st.integers(0, 9_000),
        st.integers(0, 3_000),
        st.integers(0, 126),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(WRITES)
def test_the_file_is_what_a_plain_array_would_hold(
    writes: list[tuple[wav.Channel, int, int, int]],
) -> None:
    plain = {"caller": bytearray(), "agent": bytearray()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "call.wav")
        with wav.TwoChannelWriter(path) as writer:
            for channel, at_ms, duration_ms, code in writes:
                audio = bytes((code,)) * (duration_ms * 8)
                writer.write(channel, at_ms, audio)
                side = plain[channel]
                if audio:
                    side += b"\xff" * (at_ms * 8 - len(side))
                side[at_ms * 8 : at_ms * 8 + len(audio)] = audio
        length = max(map(len, plain.values()))
        expected = tuple(bytes(side).ljust(length, b"\xff") for side in plain.values())
        assert sides(path) == expected


def test_a_killed_process_leaves_all_but_the_last_2_seconds(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    writer = wav.TwoChannelWriter(path)
    frame = b"\x20" * 160
    for n in range(500):
        writer.write("caller", n * 20, frame)
        on_disk = wav.read(path)
        assert (n + 1) * 20 - on_disk.duration_ms <= 2000
    left, _ = sides(path)
    assert set(left) == {0x20}
    writer.close()


def test_the_header_is_exact_at_every_flush(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    writer = wav.TwoChannelWriter(path)
    writer.write("caller", 0, b"\x20" * 80_000)
    contents = path.read_bytes()
    assert struct.unpack_from("<I", contents, 4)[0] == len(contents) - 8
    assert struct.unpack_from("<I", contents, 54)[0] == len(contents) - 58
    writer.close()


@pytest.mark.parametrize("at_ms", [-1, wav.MAX_GAP_MS + 1, 10**15])
def test_a_nonsense_time_is_refused_and_changes_nothing(at_ms: int, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with wav.TwoChannelWriter(path) as writer:
        with pytest.raises(ValueError, match=str(at_ms)):
            writer.write("caller", at_ms, b"\x20" * 160)
        writer.write("caller", 0, b"\x20" * 160)
    assert sides(path)[0] == b"\x20" * 160


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    writer = wav.TwoChannelWriter(tmp_path / "call.wav")
    writer.close()
    writer.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_os_error() -> None:
    with pytest.raises(OSError, match="No space left"):
        wav.TwoChannelWriter("/dev/full")
