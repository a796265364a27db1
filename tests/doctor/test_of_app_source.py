"""What is read in an application's source, and what is not held against it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicelat.doctor.of_app_source import Reading, read_source


def reading(folder: Path, text: str) -> Reading:
    file = folder / "bot.py"
    file.write_text(text, encoding="utf-8")
    return read_source([str(file)], folder)


def test_a_difference_of_the_wall_clock_is_shown_with_its_line(tmp_path: Path) -> None:
    text = "import time\nbegan = time.time()\nwork()\ntook = time.time() - began\n"
    assert reading(tmp_path, text).wall_clock == ["bot.py:4: took = time.time() - began"]


def test_a_date_is_no_latency(tmp_path: Path) -> None:
    text = "import time\nyesterday = time.time() - 86_400\nstamp = {'at': time.time()}\n"
    assert reading(tmp_path, text).wall_clock == []


def test_monotonic_differences_are_right(tmp_path: Path) -> None:
    text = "import time\nbegan = time.monotonic()\ntook = time.monotonic() - began\n"
    assert reading(tmp_path, text).wall_clock == []


def test_a_loop_that_sleeps_a_frame_between_sends_is_shown(tmp_path: Path) -> None:
    text = "for frame in frames:\n    ws.send(frame)\n    time.sleep(0.02)\n"
    assert reading(tmp_path, text).pacing == ["bot.py:3: time.sleep(0.02)"]


def test_other_sleeps_pace_nothing(tmp_path: Path) -> None:
    text = (
        "while waiting():\n    time.sleep(0.02)\n"
        "for frame in frames:\n    ws.send(frame)\n    time.sleep(due - now)\n"
    )
    assert reading(tmp_path, text).pacing == []


def test_a_print_for_each_message_is_shown_and_one_under_a_condition_is_not(tmp_path: Path) -> None:
    text = (
        "while True:\n    text = ws.receive()\n    print(text)\n"
        "    if debug:\n        print('more')\n    json.loads(text)\n"
    )
    assert reading(tmp_path, text).printing == ["bot.py:3: print(text)"]


def test_a_stream_is_shown_unless_something_speaks_of_its_end(tmp_path: Path) -> None:
    text = "for answer in client.streaming_recognize(config, requests):\n    hear(answer)\n"
    assert len(reading(tmp_path, text).streams) == 1
    assert reading(tmp_path, text + "# OutOfRange: open the next one\n").streams == []


def test_a_file_that_is_no_python_is_counted(tmp_path: Path) -> None:
    found = reading(tmp_path, "def (:\n")
    assert (found.files, len(found.unread)) == (0, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_no_source_breaks_it(tmp_path: Path, text: str) -> None:
    found = reading(tmp_path, text)
    assert found.files + len(found.unread) == 1
