"""What the tape deck puts on disk: known audio, in its place, whatever the disk does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.fakes import tone
from tests.engine.phone import Desk, Phone
from tests.engine.virtual_loop import LoopClock, virtual_time

from voicelat.audio import mulaw
from voicelat.audio.level import audible_span
from voicelat.audio.mulaw import BYTES_PER_MS, silence
from voicelat.audio.wav import read
from voicelat.caller import BargeIn, Say, Silence, WaitForReply
from voicelat.engine.config import EngineConfig
from voicelat.engine.recording import TapeDeck
from voicelat.engine.turn_loop import TurnLoop
from voicelat.errors import UsageError
from voicelat.metrics.record import CallInfo
from voicelat.turn import events as on
from voicelat.turn.config import TurnConfig
from voicelat.turn.trace import Trace, replay

INFO = CallInfo(call_id="CA1", started_utc="2026-11-23T04:05:06.789+00:00")
BASE = "20261123040506-CA1"


def channels(folder: Path) -> tuple[bytes, bytes]:
    """The caller's and the agent's audio of the one recording, as mu-law."""
    (path,) = folder.glob("*.wav")
    recorded = read(path)
    assert recorded.rate == 8000
    caller, agent = (mulaw.encode(channel) for channel in recorded.channels)
    return caller, agent


def traces(folder: Path) -> Iterator[Path]:
    return folder.glob("*.trace.jsonl")


def trace_of(path: Path) -> Trace:
    with path.open("rb") as file:
        return Trace.decode(file, path)


def spans(audio: bytes) -> list[tuple[int, int]]:
    """The audible stretches of a channel in ms; 20 ms of silence end one."""
    found: list[tuple[int, int]] = []
    for at in range(0, len(audio), 20 * BYTES_PER_MS):
        span = audible_span(audio[at : at + 20 * BYTES_PER_MS])
        if span is None:
            continue
        begin, end = ((at + edge) // BYTES_PER_MS for edge in span)
        if found and begin - found[-1][1] < 20:
            begin = found.pop()[0]
        found.append((begin, end))
    return found


def test_both_channels_are_placed_by_time(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path)
    tape = deck.tape(INFO, TurnConfig())
    question, answer = tone(40), tone(60, amplitude=2000)
    tape.caller(100, question[:160])
    tape.agent(300, answer)
    tape.caller(120, question[160:])
    tape.close()
    deck.close()
    caller, agent = channels(tmp_path)
    assert caller[100 * 8 : 140 * 8] == question
    assert agent[300 * 8 : 360 * 8] == answer
    assert spans(caller) == [(100, 140)]
    assert spans(agent) == [(300, 360)]
    assert deck.lost == {}


def test_what_was_cleared_is_silence_and_what_came_before_is_not(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path)
    tape = deck.tape(INFO, TurnConfig())
    for n in range(10):
        tape.agent(n * 20, tone(20))
    tape.cleared(85)
    tape.agent(140, tone(20))
    tape.cleared(500)
    tape.close()
    deck.close()
    _, agent = channels(tmp_path)
    assert spans(agent[: 80 * 8]) == [(0, 80)]
    assert agent[85 * 8 : 140 * 8] == silence(55)
    assert agent[140 * 8 : 160 * 8] == tone(20)
    assert agent[160 * 8 :].strip(b"\xff") == b""


def test_audio_from_before_the_start_is_put_at_the_start(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path)
    tape = deck.tape(INFO, TurnConfig())
    tape.caller(-15, tone(20))
    tape.close()
    deck.close()
    assert channels(tmp_path)[0] == tone(20)


@virtual_time
async def test_a_recorded_call_is_heard_as_it_was_and_replays(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path)
    loop = TurnLoop(Desk().stack, engine=EngineConfig(greeting=""), tape=deck.tape, clock=LoopClock)
    steps = Silence(200), Say(tone(600)), WaitForReply(), Say(tone(600))
    phone = Phone(*steps, BargeIn(tone(600), after_ms=150), WaitForReply())
    call = asyncio.create_task(phone.talk())
    await loop.run(phone)
    result = await call
    deck.close()
    caller, agent = channels(tmp_path)
    first, _, interruption = result.heard

    assert [end for _, end in spans(caller)] == [heard.said_end_ms for heard in result.heard]
    assert first.said_end_ms is not None
    assert first.v2v_ms is not None
    assert abs(spans(agent)[0][0] - first.said_end_ms - first.v2v_ms) <= 1
    # What the caller was spared by interrupting is not in the recording either.
    assert interruption.barge_stop_ms is not None
    interrupted_ms = spans(caller)[2][0] + interruption.barge_stop_ms
    assert min(abs(end - interrupted_ms) for _, end in spans(agent)) <= 4

    trace = trace_of(next(traces(tmp_path)))
    assert trace.header.call.call_id == result.call_sid
    assert isinstance(trace.steps[-1].event, on.StreamStopped)
    assert replay(trace) is None


# -- the disk ---------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is simulated by /dev/full")
def test_a_full_disk_is_counted_and_costs_only_the_call_it_hits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"{BASE}.wav").symlink_to("/dev/full")
    deck = TapeDeck(tmp_path)
    hit = deck.tape(INFO, TurnConfig())
    for n in range(3):
        hit.caller(n * 20, tone(20))
        hit.step(n, on.Tick(), [])
    hit.close()
    spared = deck.tape(CallInfo(call_id="CA2"), TurnConfig())
    spared.caller(0, tone(20))
    spared.close()
    deck.close()
    assert deck.lost == {"No space left on device": 7}
    assert caplog.text.count("No space left on device") == 1
    assert mulaw.encode(read(tmp_path / "-CA2.wav").channels[0]) == tone(20)


def test_a_folder_that_has_gone_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    deck = TapeDeck(folder)
    folder.rmdir()
    tape = deck.tape(INFO, TurnConfig())
    tape.caller(0, tone(20))
    tape.close()
    deck.close()
    assert deck.lost == {"No such file or directory": 2}


def test_a_folder_that_cannot_be_made_is_the_users_to_fix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot record into .*file/calls: Not a directory"):
        TapeDeck(tmp_path / "file" / "calls")


def test_a_time_that_cannot_be_is_counted_and_the_call_is_kept(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path)
    tape = deck.tape(INFO, TurnConfig())
    tape.caller(10**9, tone(20))
    tape.caller(20, tone(20))
    tape.close()
    deck.close()
    assert deck.lost == {"impossible time": 1}
    assert spans(channels(tmp_path)[0]) == [(20, 40)]


def test_a_step_that_cannot_be_written_ends_its_trace(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path)
    tape = deck.tape(INFO, TurnConfig())
    for text in ("one", "\ud800", "two"):
        tape.step(20, on.Partial(text), [])
    tape.close()
    deck.close()
    (path,) = traces(tmp_path)
    assert [step.event for step in trace_of(path).steps] == [on.Partial("one")]
    assert sum(n for why, n in deck.lost.items() if why.startswith("a step cannot be")) >= 2


def hung(deck: TapeDeck) -> threading.Event:
    """The disk hangs from here until the event is set."""
    hangs, awake = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        awake.wait()

    deck.do(hang)
    hangs.wait()
    return awake


def idle(deck: TapeDeck) -> None:
    """Wait until the thread has done all that was queued."""
    done = threading.Event()
    while not deck.do(done.set):
        pass
    done.wait()


def test_a_disk_that_hangs_costs_the_trace_its_end_and_no_step_of_its_middle(
    tmp_path: Path,
) -> None:
    deck = TapeDeck(tmp_path, queue_size=4)
    tape = deck.tape(INFO, TurnConfig())
    awake = hung(deck)
    for n in range(10):
        tape.step(n, on.Tick(), [])
    assert deck.lost["queue full"] >= 1
    awake.set()
    idle(deck)
    tape.step(10, on.Tick(), [])
    tape.close()
    deck.close()
    trace = trace_of(tmp_path / f"{BASE}.trace.jsonl")
    assert [step.at_ms for step in trace.steps] == [0, 1, 2, 3]


def test_a_call_that_ends_while_the_disk_hangs_is_closed_as_soon_as_it_does_not(
    tmp_path: Path,
) -> None:
    deck = TapeDeck(tmp_path, queue_size=2, flush_s=0)
    awake = hung(deck)
    tape = deck.tape(INFO, TurnConfig())
    tape.caller(0, tone(20))
    tape.close()
    assert deck.lost == {"queue full": 1}
    awake.set()
    idle(deck)
    while not channels(tmp_path)[0]:  # the last second is written when a tape is closed
        idle(deck)
    assert channels(tmp_path)[0] == tone(20)
    deck.close()


def test_a_disk_that_hangs_for_good_does_not_hold_up_the_end(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path, queue_size=1)
    awake = hung(deck)
    deck.tape(INFO, TurnConfig())
    deck.close(timeout_s=0.01)
    awake.set()


def test_a_trace_is_on_disk_while_the_call_goes_on(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path, flush_s=0)
    tape = deck.tape(INFO, TurnConfig())
    tape.step(1, on.Tick(), [])
    tape.caller(0, tone(20))  # there is always something to do: flushing must not wait for idleness
    idle(deck)
    (step,) = trace_of(tmp_path / f"{BASE}.trace.jsonl").steps
    assert step.at_ms == 1
    tape.close()
    deck.close()


# -- names ------------------------------------------------------------------------------------


def test_two_calls_of_one_name_are_two_recordings(tmp_path: Path) -> None:
    deck = TapeDeck(tmp_path)
    for _ in range(2):
        tape = deck.tape(INFO, TurnConfig())
        tape.caller(0, tone(20))
        tape.close()
    deck.close()
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{BASE}.wav",
        f"{BASE}.trace.jsonl",
        f"{BASE}-2.wav",
        f"{BASE}-2.trace.jsonl",
    }


@pytest.mark.parametrize("call_id", ["../../etc/passwd", "a/b", "..", "ש" * 300, "x" * 300, "\0"])
def test_whatever_a_call_is_called_its_files_stay_in_the_folder(
    tmp_path: Path, call_id: str
) -> None:
    folder = tmp_path / "calls"
    deck = TapeDeck(folder)
    deck.tape(CallInfo(call_id=call_id), TurnConfig()).close()
    deck.close()
    assert deck.lost == {}
    assert list(tmp_path.iterdir()) == [folder]
    assert len(list(folder.iterdir())) == 2


def test_recordings_are_their_owners_alone(tmp_path: Path) -> None:
    TapeDeck(tmp_path / "calls").close()
    assert (tmp_path / "calls").stat().st_mode & 0o077 == 0
