"""The checks of the settings in force, and of the machine and the services they name."""

from __future__ import annotations

from typing import Final

from voicelat.doctor.check import Check

__all__ = ["SETTINGS_CHECKS"]

SETTINGS_CHECKS: Final = (
    Check(
        "debug-output",
        ("settings",),
        "Whether DEBUG or LOG_LEVEL print per frame.",
        "50 records a second and call are formatted on the event loop that carries the audio: a "
        "formatting flood is what makes logs hurt (measured 2026-11)",
        "set DEBUG=0 and LOG_LEVEL=INFO; turn them on for one call at a time",
    ),
    Check(
        "log-queue",
        ("settings",),
        "Whether logs are written from a thread of their own (ASYNC_LOG_QUEUE).",
        "a sink that stalls (a full pipe, a network handler, a slow disk) stalls every call for as "
        "long; through the queue a record costs 3.8 us whatever the sink does (measured 2026-11)",
        "set ASYNC_LOG_QUEUE=1",
    ),
    Check(
        "log-handler",
        ("settings",),
        "How long a log record keeps its caller, at P99 over 2000 records.",
        "the event loop waits for it, and all calls with it: a good handler needs 0.004 to 0.5 ms "
        "(measured 2026-11)",
        "put a QueueHandler before it (ASYNC_LOG_QUEUE=1), or write to a faster sink",
    ),
    Check(
        "prewarm",
        ("settings",),
        "Whether stock phrases are made before the first call (TTS_PREWARM).",
        "greeting, openers and apologies wait for the voice in every call: 100 to 800 ms to the "
        "first byte, where a phrase in hand takes none",
        "set TTS_PREWARM=1",
    ),
    Check(
        "patience",
        ("settings",),
        "How long the caller's silence is waited for (VAD_HANGOVER_MS and its like).",
        "every millisecond of patience is in every turn: people leave a gap of about 200 ms "
        "(Stivers 2009), and the defaults here were tuned on recorded calls",
        "start from the defaults, then let `voicelat sweep` choose on your own recordings",
    ),
    Check(
        "send-lead",
        ("settings",),
        "How far ahead of real time audio is sent (SEND_LEAD_MS).",
        "under 100 ms a stalled loop is heard as a gap; over 400 ms barge-in depends on `clear` "
        "and marks come late (field reports on Media Streams)",
        "set SEND_LEAD_MS between 100 and 400",
    ),
    Check(
        "late-starts",
        ("settings",),
        "Whether replies start early and are spoken while they are written (SPECULATE, "
        "REPLY_BY_CLAUSE, LLM_HEDGE).",
        "starting the model before the end of the turn is confirmed is worth 150 to 245 ms, more "
        "than all framework overhead together (measured 2026-11); without a hedge the model's "
        "tail is the P95",
        "set SPECULATE=1, REPLY_BY_CLAUSE=1, and LLM_HEDGE=1 with a hosted model",
    ),
    Check(
        "public-url",
        ("settings",),
        "PUBLIC_BASE_URL, as Twilio reaches the server.",
        "the stream's URL and the signatures are made from it: Twilio streams to wss:// only "
        "(error 31922), and checks fail when scheme or host are not those it signed",
        "set PUBLIC_BASE_URL=https://YOUR-HOST, without a query string",
    ),
    Check(
        "auth-token",
        ("settings",),
        "TWILIO_AUTH_TOKEN, where the server can be reached from outside.",
        "without it anybody can place calls on your keys, and a wrong one refuses all of Twilio's "
        "own",
        "set TWILIO_AUTH_TOKEN to the account's auth token: 32 hexadecimal digits, from the "
        "Twilio console",
    ),
    Check(
        "turns-file",
        ("settings",),
        "TURNS_FILE: whether it can be written, and how long its disk takes.",
        "turns that are not written cannot be diagnosed; a disk that takes long makes the queue "
        "before it overflow, and turns are dropped (fsync takes 0.14 to 0.53 ms, measured 2026-11)",
        "set TURNS_FILE to a file in a folder that exists, on a local disk",
    ),
    Check(
        "keys",
        ("settings",),
        "The services' keys: present, well formed, and accepted when asked.",
        "no turn would ever work, and callers would be the first to notice",
        "set OPENAI_API_KEY, or GOOGLE_APPLICATION_CREDENTIALS to a service account's key file",
    ),
    Check(
        "models",
        ("settings",),
        "Whether the models named exist, and when they end.",
        "a model that is switched off fails every turn from one day to the next (OpenAI: hosted "
        "voices end 2027-01-06, whisper-1 and gpt-4o*-transcribe 2027-02-26)",
        "name a model that stays, or a server of your own (OPENAI_BASE_URL)",
    ),
    Check(
        "voices",
        ("settings",),
        "Whether the voice exists in the language, and takes the rate and pitch asked for.",
        "a voice that is not there fails every reply; a rate or pitch its family does not take is "
        "left out, so callers do not hear what was set",
        "choose a voice of the service's list for SPEECH_LANGUAGE; leave TTS_PITCH=0 and "
        "TTS_RATE=1 for families that take none",
    ),
    Check(
        "round-trip",
        ("settings", "url"),
        "The network's round trip, by TCP connect (P50 of 5), and TLS.",
        "a turn asks three services in a row, so each round trip is paid three times and more; "
        "within a region it is a few ms, across an ocean 80 to 150",
        "run the server in the region of its services, and services in one region "
        "(GOOGLE_SPEECH_LOCATION, OPENAI_BASE_URL)",
    ),
    Check(
        "dns",
        ("settings", "url"),
        "How long the services' names take to resolve (P50 of 5).",
        "a lookup holds a thread of the default pool (min(32, cores + 4)), and the first request "
        "of a new connection waits for it",
        "run a caching resolver on the machine (systemd-resolved, dnsmasq, NodeLocal DNSCache)",
    ),
    Check(
        "wall-clock",
        ("settings", "url"),
        "This machine's clock against the Date header of the other side.",
        "tokens are refused when the clock is off, and call times do not fit Twilio's logs",
        "synchronise the clock (chrony, systemd-timesyncd)",
    ),
    Check(
        "cold-imports",
        ("settings",),
        "What the call process imports with these providers, and how long that takes.",
        "a restart answers nobody until it is done; `import agents` alone costs 2.0 to 2.4 s and "
        "105 MB (measured 2026-11)",
        "import agents, pandas and their like in a process of their own",
    ),
    Check(
        "gc-pause",
        ("settings",),
        "How long a full garbage collection stops the call process, before and after gc.freeze().",
        "all calls stand still meanwhile: 374 ms over 1.5 M objects (measured 2026-11)",
        "keep fewer objects; in a server of your own call gc.collect() and gc.freeze() once it is "
        "warm, as `voicelat serve` does",
    ),
    Check(
        "http-clients",
        ("settings",),
        "How long the providers' HTTP clients keep connections, wait and retry.",
        "the OpenAI client's own defaults drop an idle connection after 5 s (a new TLS handshake "
        "on the next turn: 0.8 to 1.3 s), wait 600 s and retry twice in silence",
        "make the client with Limits(keepalive_expiry=None), a timeout of some seconds and "
        "max_retries=0, once, and warm it before the first call",
    ),
    Check(
        "stream-age",
        ("settings", "turns"),
        "Whether recognition outlives Google's limit of 305 s a stream.",
        "at 305 s the stream ends with OUT_OF_RANGE, and the agent hears nothing for the rest of "
        "the call",
        "roll over to a new stream at about 4:30, in silence, with the last words sent again (the "
        "`google` provider does)",
    ),
    Check(
        "interim-results",
        ("settings", "turns"),
        "Whether the recogniser gives partials before its final.",
        "a stable partial is how a turn gets under the final, the longest leg: Google's takes 878 "
        "ms at the median, 1155 at P95 (pipecat-ai/stt-benchmark)",
        "ask for them: interim_results=True in the recogniser's configuration",
    ),
    Check(
        "grpc",
        ("settings",),
        "gRPC's version, and its debug switches in the environment.",
        "GRPC_TRACE and GRPC_VERBOSITY=debug print for every message, 25 times a second and call",
        "unset GRPC_TRACE and GRPC_VERBOSITY",
    ),
    Check(
        "thread-pool",
        ("settings",),
        "How long a thread of the default pool is waited for, at P99 of 200.",
        "DNS and everything sent to a thread share it (min(32, cores + 4)); a busy machine lets "
        "calls wait for it",
        "give the machine more cores, or the calls fewer of its threads",
    ),
    Check(
        "packages",
        ("settings",),
        "Installed versions of the packages voicelat needs against what it was tested with.",
        "vendors change defaults and messages between versions, quietly",
        "pip install --upgrade voicelat, with the extras in use",
    ),
    Check(
        "uvloop",
        ("settings",),
        "Whether the faster event loop is installed.",
        "a message costs 22 us with it and 25 to 43 without: fewer calls fit on a core (measured "
        "2026-11)",
        "pip install uvloop (CPython, not on Windows)",
    ),
)
"""In the order in which they are done: the cheap ones first."""
