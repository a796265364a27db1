"""The words of the checks of an importable application; what they measure is in `of_app`.

Numbers without a source were measured for voicelat in November 2026.
"""

from __future__ import annotations

from typing import Final

from voicelat.doctor.check import Check

__all__ = ["APP_CHECKS"]


def _check(name: str, looks_at: str, why: str, fix: str) -> Check:
    return Check(name, ("app",), looks_at, why, fix)


APP_CHECKS: Final[tuple[Check, ...]] = (
    _check(
        "app-answers",
        "Whether scripted callers are answered.",
        "a turn without an answer is the longest one there is, and what happens in turns cannot "
        "be judged without them",
        "read what the application printed, and name its webhook or media path if a wrong one "
        "was called",
    ),
    _check(
        "import-time",
        "How long the application takes to import, and which modules that goes to.",
        "a worker that is started again takes no calls so long; Twilio gives a webhook 15 s",
        "import the slowest modules where they are used, or in another process",
    ),
    _check(
        "heavy-imports",
        "Agents, data frames and load generators in the process that carries calls.",
        "openai-agents alone costs 2.0-2.4 s and 105 MB, and every object in the process makes "
        "garbage collections longer; Locust patches the whole standard library",
        "move that work to a process of its own",
    ),
    _check(
        "imports-in-calls",
        "Modules that are imported while somebody is on the line.",
        "the first caller of each worker waits for them, and so does everybody else on its loop",
        "import them when the worker starts: name them at the top of the module, and warm "
        "clients up before the first call",
    ),
    _check(
        "patch-order",
        "What was imported before monkey_patch().",
        "modules that took locks, sockets or names before the patch keep the blocking ones: one "
        "call then stops all of them",
        "make monkey_patch() the very first statement, before every other import",
    ),
    _check(
        "ungreened-locks",
        "Locks that eventlet could not replace.",
        "two greenlets that meet at a lock of the operating system's stop the whole process",
        "call eventlet.monkey_patch() before anything that makes an RLock is imported",
    ),
    _check(
        "greendns",
        "EVENTLET_NO_GREENDNS at the moment eventlet is imported.",
        "without it eventlet resolves names with a resolver of its own, slower and without the "
        "system's cache and search domains",
        "set EVENTLET_NO_GREENDNS=1 in the environment of the server, or in os.environ before "
        "`import eventlet`",
    ),
    _check(
        "green-grpc",
        "gRPC (Google's speech clients) in a monkey-patched process.",
        "streaming_recognize hangs the whole hub under eventlet, and under gevent without "
        "init_gevent()",
        "let voicelat.bridge.Bridge run the engine in a process of its own; under gevent, "
        "grpc.experimental.gevent.init_gevent() before the first channel also works",
    ),
    _check(
        "gunicorn-worker",
        "Gunicorn's version, worker, threads and preloading.",
        "a sync worker carries one call at a time and kills it at its timeout; calls beyond the "
        "threads of a gthread worker wait for a caller to hang up; gRPC does not survive a fork",
        "-k gthread --threads N with N above the calls at a time, or -k gevent; no preload_app "
        "with gRPC; gunicorn 25.3.0 is the last with -k eventlet",
    ),
    _check(
        "debug-mode",
        "Debug, reload and development switches.",
        "reloaders restart the process under a call, debuggers keep every frame of every error, "
        "and asyncio's debug mode logs and times each step",
        "switch them off in the server that takes calls",
    ),
    _check(
        "access-log",
        "Access logs that are written at once.",
        "each request waits for the line to be written; a stalled sink stops every call",
        "--no-access-log in uvicorn, no --access-logfile in gunicorn, or a QueueHandler",
    ),
    _check(
        "slow-log-handler",
        "What a log record costs the code that logs it, per handler.",
        "a file costs 7.5 us a record, a QueueHandler 3.8 us; stalled sinks and handlers that "
        "talk to the network cost milliseconds, in the middle of a turn",
        "logging.handlers.QueueHandler on the logger, the slow handler behind a QueueListener",
    ),
    _check(
        "log-flood",
        "How many log lines a second of call makes.",
        "a line a frame is 50 a second and call: formatting them takes time from every call",
        "log turns, not frames; guard frames with a level that is off",
    ),
    _check(
        "loop-lag",
        "How late the loop, the hub or the interpreter is for its next piece of work.",
        "while it stands still nobody's audio moves; from 50 ms on callers hear it",
        "move what the stack shows to a thread or a process (asyncio.to_thread, an async client)",
    ),
    _check(
        "blocking-call",
        "Calls that block, made on the loop that carries the calls.",
        "every call on the loop waits as long as this one",
        "await asyncio.sleep, an async client (AsyncOpenAI, httpx.AsyncClient), or "
        "asyncio.to_thread",
    ),
    _check(
        "gc-in-calls",
        "Garbage collections during calls.",
        "a collection of generation 2 over 1.5 million objects stopped the loop for 374 ms",
        "gc.collect(); gc.freeze() after warming up, and fewer objects in the process",
    ),
    _check(
        "pool-wait",
        "How long work waits for a thread of the loop's default pool.",
        "it has min(32, CPUs + 4) threads, and name resolution and every to_thread share them",
        "a pool of your own for slow work, or loop.set_default_executor with more threads",
    ),
    _check(
        "tls-per-turn",
        "Connections that are opened anew in each turn, and their TLS handshakes.",
        "every turn pays for TCP and TLS: 0.8-1.3 s have been measured towards hosted models",
        "one client for the life of the process, idle connections kept (keepalive_expiry=None), "
        "warmed during the greeting",
    ),
    _check(
        "dns-per-turn",
        "Names that are resolved anew in each turn.",
        "a look-up in the turn is a round trip, and waits in the default thread pool",
        "keep connections open, and resolve while warming up",
    ),
    _check(
        "client-per-turn",
        "Clients that are constructed in each turn.",
        "a new client loads certificates and opens new connections; keeping one is free",
        "construct it once, at import or at startup",
    ),
    _check(
        "client-timeout",
        "How long clients of models and speech wait.",
        "the default of OpenAI's client is 600 s, of requests for ever: a caller hangs up long "
        "before",
        "timeout=httpx2.Timeout(5.0, connect=2.0) or less, and a first-token deadline of 1-1.5 s",
    ),
    _check(
        "client-keepalive",
        "How long clients keep an idle connection.",
        "OpenAI's and httpx's clients drop it after 5 s, and the next turn pays for a new TLS "
        "handshake: 0.8-1.3 s",
        "http_client=httpx2.Client(limits=httpx2.Limits(keepalive_expiry=None))",
    ),
    _check(
        "stt-interim",
        "Whether Google's recogniser is asked for partials, and for one utterance only.",
        "without partials every turn waits for the final: 878 ms at the median, 1155 ms at P95 "
        "(stt-benchmark); with single_utterance the next words have no stream",
        "interim_results=True, single_utterance=False",
    ),
    _check(
        "stt-encoding",
        "The audio format Google's recogniser is given.",
        "Twilio sends mu-law at 8 kHz: anything else is a conversion that adds delay and no sound",
        "encoding=MULAW, sample_rate_hertz=8000",
    ),
    _check(
        "stream-renewal",
        "Whether recogniser streams are renewed before Google ends them.",
        "a stream ends after about 305 s with OUT_OF_RANGE: the caller is not heard any more",
        "open a new one at about 4:30, in silence, or when OutOfRange comes; voicelat's Google "
        "provider does",
    ),
    _check(
        "wait-after-final",
        "The wait behind a final that was there already.",
        "the hangover was over and the text final, and still the reply was not begun",
        "end the turn at the later of final and hangover; lower STT_PARTIAL_DEBOUNCE_MS",
    ),
    _check(
        "wall-clock-latency",
        "Latencies taken from the wall clock.",
        "it is set while calls go on: latencies come out negative, or too long",
        "time.monotonic() or time.perf_counter()",
    ),
    _check(
        "frame-pacing",
        "Audio that is paced by sleeping 20 ms a frame.",
        "each sleep is late by a little and nothing makes up for it: the audio falls behind "
        "until the caller hears gaps",
        "sleep until an absolute deadline, or send 200 ms ahead: Twilio buffers",
    ),
    _check(
        "socket-compression",
        "Whether the media socket compresses when it is offered to.",
        "compressing base64 of mu-law costs time and saves nothing. Twilio does not offer it",
        "uvicorn --ws-per-message-deflate false; compression=None in websockets",
    ),
)
