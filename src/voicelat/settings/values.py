"""The settings themselves: for each its type, bounds, unit, default and one line of meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = ["Values"]


def _is(meaning: str, unit: str = "", low: float | None = None, high: float | None = None) -> Meta:
    return Meta(ge=low, le=high, extra={"meaning": meaning, "unit": unit})


def _shape(words: str, pattern: str | None = None, *, secret: bool = False) -> Meta:
    return Meta(pattern=pattern, extra={"shape": words, "secret": secret})


Text = Annotated[str, _shape("text")]
Path = Annotated[str, _shape("a path")]
Secret = Annotated[str, _shape("text", secret=True)]
Address = Annotated[str, _shape("a host name or address", r"^[^\s/]+$")]
Days = Annotated[int, Meta(ge=1)]
Endpoint = Annotated[str, _shape("host or host:port", r"^[^\s/]+$")]
Url = Annotated[str, _shape("a URL with http:// or https://", r"^https?://[^\s/]\S*$")]
RedisUrl = Annotated[
    str,
    _shape("a URL with redis://, rediss:// or unix://", r"^(rediss?|unix)://\S+$", secret=True),
]
"""A secret: its password stands in it."""
DatabaseUrl = Annotated[
    str,
    _shape(
        "a URL with sqlite:/// or postgresql://",
        r"^(sqlite|postgres(ql(\+\w+)?)?)://\S+$",
        secret=True,
    ),
]
"""A secret for the same reason."""
Language = Annotated[
    str, _shape("a BCP-47 tag such as en-US or he-IL", r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")
]
Provider = Annotated[
    str,
    _shape(
        "a provider such as local or simulated:PROFILE, or package.module:Class",
        r"^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z0-9_.-]+)?$",
    ),
]


class Values(Struct, frozen=True, kw_only=True):
    """The value of every setting."""

    # The measuring set: what `.env.example` holds.
    debug: Annotated[bool, _is("Per-frame output, on the logger voicelat.frames.")] = False
    eventlet_no_greendns: Annotated[
        bool, _is("Read by eventlet itself before its import: leave DNS to the system.")
    ] = True
    stt_partial_debounce_ms: Annotated[
        int, _is("A partial counts once it has not changed for this long.", "ms", 0, 2000)
    ] = 60
    stt_timeout_ms: Annotated[
        int, _is("After the hangover, the longest wait for the caller's text.", "ms", 0, 10_000)
    ] = 240
    vad_hangover_ms: Annotated[
        int, _is("Silence after the last voiced audio before a turn may end.", "ms", 0, 5000)
    ] = 160
    stt_min_confidence: Annotated[
        float, _is("Below this confidence the caller is asked to repeat; 0: never.", "", 0, 1)
    ] = 0.0
    min_utt_sec: Annotated[
        float, _is("Less voice is no utterance, unless words were recognised.", "s", 0, 5)
    ] = 0.25
    tts_rate: Annotated[float, _is("Speaking rate: 1 is the voice's own.", "times", 0.25, 4)] = 1.05
    tts_pitch: Annotated[
        float, _is("Pitch, where the voice can change it.", "semitones", -20, 20)
    ] = -2.0
    tts_prewarm: Annotated[bool, _is("Make stock phrases before the first call needs them.")] = True
    ai_max_words_first_reply: Annotated[
        int, _is("The longest reply asked of the language model.", "words", 1, 1000)
    ] = 24
    async_log_queue: Annotated[bool, _is("Write logs from a thread: no call waits for one.")] = True

    # When the agent works and speaks.
    speak_gate_ms: Annotated[
        int, _is("Silence before a reply may sound; 0: the hangover alone.", "ms", 0, 5000)
    ] = 500
    speculate: Annotated[bool, _is("Start the reply before the turn is over.")] = True
    speculation_max: Annotated[int, _is("Speculative replies per turn.", "replies", 0, 20)] = 3
    barge_in_onset_ms: Annotated[
        int, _is("Voice over the agent's speech that interrupts it.", "ms", 20, 5000)
    ] = 240
    reply_timeout_ms: Annotated[
        int, _is("The longest silence before the agent apologises.", "ms", 100, 120_000)
    ] = 8000
    send_lead_ms: Annotated[
        int, _is("How far ahead of real time audio is sent.", "ms", 20, 1000)
    ] = 200
    greeting: Annotated[Text | None, _is("What the agent says first. None: the caller begins.")] = (
        "Hello, how can I help you?"
    )

    eou_policy: Annotated[
        Literal["fixed", "adaptive", "semantic"],
        _is("Patience with pauses: as set, as the caller pauses, or by what was said."),
    ] = "fixed"
    eou_context: Annotated[
        Literal["open", "digits", "yes_no"], _is("What callers are asked for.")
    ] = "open"
    eou_tune: Annotated[
        bool, _is("Follow callers and providers: tune debounce, hangover and gate.")
    ] = False

    # Who listens, thinks and speaks.
    speech_language: Annotated[Language, _is("The language of the calls.")] = "en-US"
    vad: Annotated[Literal["silero", "energy"], _is("The voice detector.")] = "silero"
    stt_provider: Annotated[Provider, _is("Speech to text.")] = "local"
    llm_provider: Annotated[Provider, _is("The language model.")] = "local"
    tts_provider: Annotated[Provider, _is("Text to speech.")] = "local"
    turn_model: Annotated[Provider, _is("An end-of-turn model: none, smart-turn or your own.")] = (
        "none"
    )
    fallback_provider: Annotated[
        Provider, _is("Hears a turn without text again, beside the call: none, openai or your own.")
    ] = "none"
    llm_hedge: Annotated[
        bool, _is("Ask a hosted model a second time when its first word is late.")
    ] = True
    reply_opener: Annotated[
        Text | None, _is("Said from the cache while the reply is not ready. None: nothing.")
    ] = None
    reply_by_clause: Annotated[
        bool, _is("Speak a reply clause by clause while it is written; 0: when it is whole.")
    ] = True
    llm_first_token_ms: Annotated[
        int, _is("The longest wait for a model's first token.", "ms", 100, 120_000)
    ] = 5000
    llm_stall_ms: Annotated[int, _is("The longest wait for its next one.", "ms", 100, 120_000)] = (
        4000
    )
    tts_first_byte_ms: Annotated[
        int, _is("The longest wait for the first audio of a clause.", "ms", 100, 120_000)
    ] = 3000
    tts_stall_ms: Annotated[int, _is("The longest wait for its next.", "ms", 100, 120_000)] = 2000
    openai_api_key: Annotated[Secret | None, _is("Key for OpenAI or a compatible server.")] = None
    openai_base_url: Annotated[Url | None, _is("Where it is. None: at OpenAI.")] = None
    openai_model: Annotated[Text | None, _is("Its language model.")] = None
    openai_api: Annotated[
        Literal["chat", "responses"], _is("Its API: chat completions, or Responses.")
    ] = "chat"
    openai_file_stt_model: Annotated[
        Text | None, _is("Its model that hears whole utterances, for the fallback.")
    ] = None
    openai_stt_model: Annotated[Text | None, _is("Its model that hears.")] = None
    openai_tts_model: Annotated[Text | None, _is("Its model that speaks.")] = None
    openai_tts_voice: Annotated[Text | None, _is("Its voice.")] = None
    google_application_credentials: Annotated[
        Path | None, _is("Key file of a Google service account. None: Google's defaults.")
    ] = None
    google_cloud_project: Annotated[
        Text | None, _is("Project of Google's speech v2. None: that of the credentials.")
    ] = None
    google_speech_location: Annotated[
        Address, _is("Region of Google's speech v2, such as us-central1 for Chirp models.")
    ] = "global"
    google_speech_model: Annotated[
        Text | None, _is("Google's model that hears. None: latest_long.")
    ] = None
    google_speech_endpoint: Annotated[
        Endpoint | None, _is("Where it is. None: at Google. On loopback: no key, no encryption.")
    ] = None
    google_tts_voice: Annotated[
        Text | None, _is("Google's voice, with or without language. None: Chirp3-HD-Aoede.")
    ] = None
    google_tts_streaming: Annotated[
        Literal["auto", "on", "off"], _is("Streaming speech: where the voice has it, or as said.")
    ] = "auto"
    google_tts_endpoint: Annotated[
        Endpoint | None, _is("Where it is. None: at Google. On loopback: no key, no encryption.")
    ] = None

    # Phrases made before calls need them.
    tts_phrases: Annotated[
        Text | None, _is("Phrases to make at start-up besides the stock ones, | between them.")
    ] = None
    tts_prewarm_limit_s: Annotated[
        float, _is("How long the start waits for phrases; the rest follows.", "s", 0, 600)
    ] = 10.0
    tts_warm_every_s: Annotated[
        int, _is("A voice unused for so long is kept warm with a word; 0: never.", "s", 0, 86_400)
    ] = 480
    tts_cache_mb: Annotated[
        int, _is("Bound of each place phrases are kept: memory, folder, Redis.", "MB", 1, 100_000)
    ] = 64
    tts_cache_dir: Annotated[
        Path | None, _is("Phrases are kept here for all workers. None: nowhere.")
    ] = None
    redis_url: Annotated[
        RedisUrl | None, _is("Phrases are kept there for workers on many machines.")
    ] = None

    # The server.
    host: Annotated[Address, _is("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _is("Port to listen on; 0: any free one.", "", 0, 65_535)] = 8080
    public_base_url: Annotated[Url | None, _is("The server as Twilio reaches it.")] = None
    twilio_auth_token: Annotated[
        Secret | None, _is("Checks Twilio's signatures. None: listen on loopback only.")
    ] = None
    workers: Annotated[
        int, _is("Processes that share the port and the calls.", "processes", 1, 256)
    ] = 1
    max_calls: Annotated[
        int, _is("Calls at once for each process; more are refused.", "calls", 1, 100_000)
    ] = 100
    max_message_bytes: Annotated[
        int, _is("The largest socket message taken.", "bytes", 1024, 16_777_216)
    ] = 65_536
    start_timeout_ms: Annotated[
        int, _is("How long an open socket may stay without a start.", "ms", 100, 120_000)
    ] = 10_000
    max_sockets: Annotated[
        int, _is("Media sockets open at once, with a call or without.", "sockets", 1, 100_000)
    ] = 1000
    handshake_timeout_s: Annotated[
        float, _is("How long a connection may take for a whole request.", "s", 1, 600)
    ] = 20.0
    unread_timeout_ms: Annotated[
        int, _is("A peer that reads nothing for so long is cut off.", "ms", 100, 120_000)
    ] = 5000
    grace_s: Annotated[
        float, _is("How long calls may go on after the first SIGTERM.", "s", 0, 86_400)
    ] = 30.0
    warm_timeout_s: Annotated[
        float, _is("How long the providers may take to get ready.", "s", 1, 3600)
    ] = 120.0
    turns_file: Annotated[Path | None, _is("One JSON line per turn goes here. None: nowhere.")] = (
        "turns.jsonl"
    )
    turns_sql_url: Annotated[
        DatabaseUrl | None, _is("Turns go to this database, too, beside the calls. None: to none.")
    ] = None
    otel_turns: Annotated[
        bool, _is("Turns are sent as OpenTelemetry spans, to where OTEL_EXPORTER_OTLP_* says.")
    ] = False
    cache_dir: Annotated[Path, _is("What recordings were heard to say is kept here.")] = (
        "~/.cache/voicelat"
    )
    record_dir: Annotated[Path | None, _is("Recordings and traces go here. None: nowhere.")] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], _is("The least severe record logged.")
    ] = "INFO"
    log_flush_ms: Annotated[int, _is("How often queued logs are written.", "ms", 10, 5000)] = 250

    # The agents beside the calls, in a process of their own.
    agents_enabled: Annotated[bool, _is("Tell the agents' process of turns and ended calls.")] = (
        False
    )
    agents_url: Annotated[Url, _is("Where the agents' process listens.")] = "http://127.0.0.1:8090"
    agents_token: Annotated[
        Secret | None, _is("Shared by calls and agents. None: loopback only.")
    ] = None
    agents_db_url: Annotated[DatabaseUrl, _is("Where runs, their logs and approvals are kept.")] = (
        "sqlite:///agents.db"
    )
    agents_worker: Annotated[
        Text | None, _is("Name of this worker among those of one database. None: the host's.")
    ] = None
    agents_env: Annotated[Text, _is("The environment whose policy applies.")] = "prod"
    agent_model: Annotated[
        Text, _is("The agents' model: scripted (no key), openai:NAME or recorded:FILE.")
    ] = "scripted"
    agent_tools: Annotated[Text | None, _is("Modules with tools of your own, commas between.")] = (
        None
    )
    agents_redact: Annotated[
        Text | None, _is("More fields that the agents' log must not keep, commas between.")
    ] = None
    policy_file: Annotated[
        Path | None, _is("What agents may do. None: the policy that comes with voicelat.")
    ] = None
    workflows_file: Annotated[Path, _is("Where published workflows are kept.")] = (
        "workflows.sqlite3"
    )
    backoffice_url: Annotated[Url, _is("The API the agents' tools call.")] = "http://127.0.0.1:8091"
    backoffice_token: Annotated[
        Secret | None,
        _is(
            "The agents' token there, or one each: Voice=TOKEN,WhatsApp=TOKEN,Backoffice=TOKEN,"
            "feeder=TOKEN. They cannot approve."
        ),
    ] = None
    approver_token: Annotated[
        Secret | None, _is("A person's token there, to approve. Never give it to the agents.")
    ] = None

    # WhatsApp, in a process of its own.
    channels_url: Annotated[Url, _is("Where the channels' process listens.")] = (
        "http://127.0.0.1:8092"
    )
    channels_token: Annotated[
        Secret | None, _is("Shared by channels and console. None: loopback only.")
    ] = None
    channels_db_url: Annotated[DatabaseUrl, _is("Where the channels keep what is under way.")] = (
        "sqlite:///channels.sqlite3"
    )
    media_dir: Annotated[Path, _is("Media of WhatsApp messages are kept here.")] = "media"
    whatsapp_provider: Annotated[
        Literal["twilio", "baileys"] | None,
        _is("Who carries WhatsApp messages until the console says otherwise. None: nobody."),
    ] = None
    whatsapp_from: Annotated[
        Text | None, _is("The sender at Twilio: +E164, or MG... for a messaging service.")
    ] = None
    whatsapp_templates: Annotated[
        Path | None, _is("Approved templates: name, language, ContentSid, wording. None: none.")
    ] = None
    whatsapp_per_minute: Annotated[
        int, _is("Messages sent in a minute at most; more wait.", "", 1, 6000)
    ] = 60
    twilio_account_sid: Annotated[Text | None, _is("Whose messages they are at Twilio.")] = None
    twilio_api_url: Annotated[Url, _is("Twilio's REST API.")] = "https://api.twilio.com"
    whatsapp_bridge_url: Annotated[Url, _is("Where the Baileys bridge listens.")] = (
        "http://127.0.0.1:8093"
    )
    whatsapp_bridge_token: Annotated[
        Secret | None, _is("Shared by bridge and channels; the bridge takes none without.")
    ] = None

    # The console.
    console_url: Annotated[Url, _is("Where the console listens.")] = "http://127.0.0.1:8094"
    console_db_url: Annotated[DatabaseUrl, _is("Users, sessions and what the page was told.")] = (
        "sqlite:///console.sqlite3"
    )
    console_public_url: Annotated[
        Url | None, _is("The console as browsers reach it. None: CONSOLE_URL.")
    ] = None
    console_token: Annotated[
        Secret | None, _is("The console's token at the back office: it reads, and erases.")
    ] = None
    serve_url: Annotated[Url, _is("Where the console finds the server of calls.")] = (
        "http://127.0.0.1:8080"
    )
    retention_days: Annotated[
        Days | None,
        _is("Older recordings, texts and messages go by erase --retention. None: none.", "days"),
    ] = None

    # What a report holds the numbers against.
    target_first_partial_ms: Annotated[
        int, _is("Limit for the P50 of STT_FIRST_PARTIAL_MS.", "ms", 1, 600_000)
    ] = 500
    target_final_ms: Annotated[int, _is("Limit for the P50 of STT_FINAL_MS.", "ms", 1, 600_000)] = (
        700
    )
    target_tts_ready_ms: Annotated[
        int, _is("Limit for the P50 of TTS_READY_MS.", "ms", 1, 600_000)
    ] = 250
    target_total_p50_ms: Annotated[
        int, _is("Limit for the P50 of TOTAL_LATENCY_MS.", "ms", 1, 600_000)
    ] = 2000
    target_total_p95_ms: Annotated[
        int, _is("Limit for the P95 of TOTAL_LATENCY_MS.", "ms", 1, 600_000)
    ] = 3000
