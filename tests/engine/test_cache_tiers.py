"""What every place for phrases promises, and what is particular to memory and disk."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.virtual_loop import virtual_time

from voicelat.engine.cache_tiers import DiskTier, MemoryTier, Tier, Tiers, packed, unpacked
from voicelat.engine.phrases import phrase_key
from voicelat.engine.redis_tier import RedisTier
from voicelat.errors import UsageError

BOUND = 3_300
"""Bytes: room for three phrases of 1000, with their checksums, and not for four."""

A, B, C, D = (phrase_key("voice", "en-US", text) for text in "abcd")

ALONE = ("memory", "disk", "redis")


@pytest.fixture(params=[*ALONE, "stacked"])
async def tier(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tier]:
    def redis() -> RedisTier:
        return RedisTier(request.getfixturevalue("redis_url"), BOUND, deadline_s=5.0)

    make: dict[str, Callable[[], Tier]] = {
        "memory": lambda: MemoryTier(BOUND),
        "disk": lambda: DiskTier(tmp_path, BOUND),
        "redis": redis,
        "stacked": lambda: Tiers(MemoryTier(BOUND), DiskTier(tmp_path, BOUND), redis()),
    }
    tier = make[request.param]()
    yield tier
    await tier.aclose()


alone = pytest.mark.parametrize("tier", ALONE, indirect=True)


async def test_what_was_put_is_got_whole(tier: Tier) -> None:
    await tier.put(A, bytes(range(256)))
    await tier.put(B, b"b")
    assert await tier.get(A) == bytes(range(256))
    assert await tier.get(B) == b"b"


async def test_what_was_never_put_is_none(tier: Tier) -> None:
    assert await tier.get(A) is None


async def test_the_last_one_put_is_the_one_that_is_got(tier: Tier) -> None:
    await tier.put(A, b"old" * 300)
    await tier.put(A, b"new")
    await tier.put(B, b"b" * 1000)
    await tier.put(C, b"c" * 1000)
    assert await tier.get(A) == b"new"


async def test_the_newest_stay_and_older_ones_go(tier: Tier) -> None:
    for key in (A, B, C, D):
        await tier.put(key, key[:1].encode() * 1000)
    assert [await tier.get(key) is not None for key in (A, B, C, D)] == [False, True, True, True]
    assert sum(count for what, count in tier.counts().items() if "evicted" in what) >= 1


@alone
async def test_the_least_recently_used_goes_first(tier: Tier) -> None:
    for key in (A, B, C):
        await tier.put(key, bytes(1000))
    await tier.get(A)
    await tier.put(D, bytes(1000))
    assert [await tier.get(key) is not None for key in (A, B, C, D)] == [True, False, True, True]


async def test_what_is_larger_than_the_bound_is_counted_and_costs_no_other(tier: Tier) -> None:
    await tier.put(A, b"a")
    await tier.put(B, bytes(BOUND + 1))
    assert await tier.get(A) == b"a"
    assert await tier.get(B) is None
    assert sum(count for what, count in tier.counts().items() if "too large" in what) >= 1


async def test_closing_twice_is_safe_and_a_closed_one_has_nothing(tier: Tier) -> None:
    await tier.put(A, b"a")
    await tier.aclose()
    await tier.aclose()
    await tier.put(B, b"b")
    assert await tier.get(A) is None


@given(st.binary(min_size=1))
def test_packed_audio_comes_back(audio: bytes) -> None:
    assert unpacked(packed(audio)) == audio


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_damaged_byte_or_a_missing_end_is_noticed(audio: bytes, data: st.DataObject) -> None:
    content = bytearray(packed(audio))
    at = data.draw(st.integers(0, len(content) - 1))
    assert unpacked(bytes(content[:at])) is None
    content[at] ^= data.draw(st.integers(1, 255))
    assert unpacked(bytes(content)) is None


@given(st.binary())
def test_any_bytes_are_audio_of_ours_or_none(content: bytes) -> None:
    audio = unpacked(content)
    assert audio is None or packed(audio) == content


# -- memory -----------------------------------------------------------------------------------


@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.binary(max_size=30)), max_size=60),
)
def test_memory_is_bounded_and_forgets_the_least_recently_used(
    bound: int, steps: list[tuple[str, bytes | None]]
) -> None:
    """Against a model: a list, the least recently used first."""
    memory = MemoryTier(bound)
    model: list[tuple[str, bytes]] = []
    for key, given_audio in steps:
        audio = dict(model).get(key) if given_audio is None else given_audio
        if given_audio is None:
            assert memory.look(key) == audio
        else:
            memory.keep(key, given_audio)
        if audio is not None and len(audio) <= bound:
            model = [*(entry for entry in model if entry[0] != key), (key, audio)]
        while sum(len(kept) for _, kept in model) > bound:
            del model[0]
        assert memory.bytes == sum(len(kept) for _, kept in model) <= bound
        assert len(memory) == len(model)


# -- disk -------------------------------------------------------------------------------------


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_only_their_owner_can_read_phrases(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path / "new" / "phrases", BOUND)
    await disk.put(A, b"a")
    modes = [disk.folder.stat().st_mode, (disk.folder / f"{A}.mulaw").stat().st_mode]
    assert [stat.S_IMODE(mode) for mode in modes] == [0o700, 0o600]
    await disk.aclose()


async def test_processes_share_a_folder(tmp_path: Path) -> None:
    one, other = DiskTier(tmp_path, BOUND), DiskTier(tmp_path, BOUND)
    await one.put(A, b"a")
    assert await other.get(A) == b"a"
    assert files(tmp_path) == [f"{A}.mulaw"]
    await one.aclose()
    await other.aclose()


@pytest.mark.parametrize("content", [b"", b"RIFF", packed(b"audio")[:-1], packed(b"")])
async def test_a_damaged_file_is_counted_and_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{A}.mulaw").write_bytes(content)
    disk = DiskTier(tmp_path, BOUND)
    assert await disk.get(A) is None
    assert disk.counts() == {"disk damaged": 1}
    await disk.put(A, b"whole")
    assert await disk.get(A) == b"whole"
    await disk.aclose()


async def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(bytes(10 * BOUND))
    disk = DiskTier(tmp_path, BOUND)
    for key in (A, B, C, D):
        await disk.put(key, bytes(1000))
    assert files(tmp_path) == sorted([f"{key}.mulaw" for key in (B, C, D)] + ["notes.txt"])
    await disk.aclose()


async def test_what_a_killed_process_was_writing_is_removed_when_it_is_old(tmp_path: Path) -> None:
    fresh, old = tmp_path / "tmpfresh.mulaw-part", tmp_path / "tmpold_1.mulaw-part"
    for path in (fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    disk = DiskTier(tmp_path, BOUND)
    await disk.put(A, b"a")
    assert files(tmp_path) == sorted([f"{A}.mulaw", fresh.name])
    assert disk.counts()["disk left over"] == 1
    await disk.aclose()


async def test_a_disk_that_fails_costs_no_more_than_the_phrase_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = DiskTier(tmp_path / "phrases", BOUND)
    disk.folder.rmdir()
    await disk.put(A, b"a")
    await disk.put(B, b"b")
    assert disk.counts() == {"disk error": 2}
    assert len(caplog.messages) == 1
    assert "No such file or directory (told once)" in caplog.text
    await disk.aclose()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
async def test_a_disk_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / f"{A}.mulaw"
    os.mkfifo(pipe)  # opening it waits until somebody writes
    disk = DiskTier(tmp_path, BOUND, patience_s=0.05)
    assert await disk.get(A) is None
    assert await disk.get(B) is None
    assert disk.counts() == {"disk timeout": 2}
    await disk.aclose()
    await asyncio.to_thread(pipe.write_bytes, b"")  # lets the thread end


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot keep phrases in"):
        DiskTier(tmp_path / "file", BOUND)


# -- several ----------------------------------------------------------------------------------


@virtual_time
async def test_what_a_later_tier_has_the_earlier_ones_get() -> None:
    near, far = MemoryTier(BOUND), MemoryTier(BOUND)
    await far.put(A, b"a")
    tiers = Tiers(near, far)
    assert await tiers.get(A) == b"a"
    assert near.look(A) == b"a"


@virtual_time
async def test_every_tier_gets_what_is_put() -> None:
    near, far = MemoryTier(BOUND), MemoryTier(BOUND)
    await Tiers(near, far).put(A, b"a")
    assert (near.look(A), far.look(A)) == (b"a", b"a")
