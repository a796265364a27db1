"""What the probe tells the doctor, and the doctor the probe: the messages between them.

Instants are seconds on the monotonic clock, which both processes share.
"""

from __future__ import annotations

from msgspec import Struct, field

__all__ = [
    "Client",
    "Failed",
    "Green",
    "Gunicorn",
    "HandlerTimes",
    "Plan",
    "Recogniser",
    "Seen",
    "Serving",
    "Spot",
    "Stall",
]


class Plan(Struct, frozen=True, kw_only=True):
    """What the child shall run."""

    module: str
    attribute: str | None
    """None: ``app``, else ``application``, else a factory ``create_app``."""
    folder: str
    """Goes to the front of ``sys.path``; what lies below it is the application's own code."""
    port: int
    wire: int
    """The file descriptor to talk over."""
    gunicorn: list[str] | None
    """Its arguments without bind, workers and application; None: not under gunicorn."""
    uvicorn_ws: str = "auto"
    uvicorn_deflate: bool = True


class Serving(Struct, frozen=True, kw_only=True, tag="serving"):
    """The application takes calls."""

    server: str
    """uvicorn, werkzeug, or gunicorn with its worker."""
    webhooks: list[str]
    """Paths of its routes that take a POST and sound like a voice webhook."""
    sockets: list[str]
    """Paths of its WebSocket routes, the likeliest for media first."""


class Failed(Struct, frozen=True, tag="failed"):
    """It never will: why, in one line."""

    why: str


class Spot(Struct, frozen=True):
    """Something that happened."""

    at_s: float
    what: str
    ms: float | None = None
    where: str = ""
    """``file:line function`` in the application's own code; "" when it came from elsewhere."""


class Stall(Struct, frozen=True):
    """A beat that was late by 50 ms or more."""

    at_s: float
    ms: float
    where: str
    """What the loop's stack showed meanwhile; "" when that was no one thing: then the machine
    was busy, and nobody is blamed."""


class Client(Struct, frozen=True, kw_only=True):
    """A client of some service, as it was right after its construction."""

    at_s: float
    what: str
    timeout_s: float | None = None
    """None: it waits for ever, or has no such setting: see ``has_timeout``."""
    has_timeout: bool = False
    keepalive_s: float | None = None
    """How long an idle connection is kept; None: for ever, or not known: ``has_keepalive``."""
    has_keepalive: bool = False
    retries: int | None = None
    where: str = ""


class Recogniser(Struct, frozen=True, kw_only=True):
    """A streaming configuration for Google's recogniser that was made."""

    at_s: float
    interim_results: bool
    single_utterance: bool
    encoding: str
    rate: int
    model: str
    where: str = ""


class HandlerTimes(Struct, kw_only=True):
    """One log handler."""

    what: str
    """Its class, and where it writes to."""
    at_s: list[float] = []
    ms: list[float] = []
    """What each record cost the code that logged it."""
    marked: int = 0
    """Of those, how many were the probe's own."""


class Green(Struct, kw_only=True):
    """What was monkey-patched, and when."""

    by: str | None = None
    """eventlet or gevent; None: nobody."""
    version: str | None = None
    loaded_before: list[str] = []
    """Modules the application had imported before the patch."""
    greendns: str | None = None
    """``EVENTLET_NO_GREENDNS`` when eventlet was imported; None: not set."""
    grpc: bool = False
    """gRPC is loaded."""
    grpc_ready: bool = False
    """``grpc.experimental.gevent.init_gevent`` was called."""


class Gunicorn(Struct, frozen=True, kw_only=True):
    """Gunicorn's configuration in force."""

    version: str
    worker: str
    workers: int
    threads: int
    timeout_s: int
    preload: bool
    grpc_before_fork: bool
    reload: bool
    access_log: bool


class Seen(Struct, kw_only=True):
    """Everything that was seen."""

    import_ms: float = 0
    """Of the application, with all it imports."""
    modules: list[str] = []
    """Top-level packages in the process."""
    own_files: list[str] = []
    imports: list[Spot] = []
    """When the import of each module began."""
    connects: list[Spot] = []
    handshakes: list[Spot] = []
    """TLS, as a client: with whom, and how long."""
    lookups: list[Spot] = []
    """Names resolved; addresses are not among them."""
    clients: list[Client] = []
    unlimited: list[Spot] = []
    """Requests of ``requests`` without a timeout."""
    recognisers: list[Recogniser] = []
    blocking: list[Spot] = []
    """Calls that block, made on the loop."""
    handlers: list[HandlerTimes] = []
    records: list[float] = []
    """When each log record was handled by somebody."""
    collections: list[Spot] = []
    """Of garbage: generation, and ms of computing."""
    objects: int = 0
    beat_of: str = ""
    """What beats: asyncio, eventlet, gevent, threads."""
    beats: list[tuple[float, float]] = []
    """At which instant, how many ms late."""
    stalls: list[Stall] = []
    pool_size: int | None = None
    """Threads of the loop's default executor; None where there is none."""
    pool_waits: list[Spot] = []
    debug: list[str] = []
    """Debugging switches that are on."""
    access_logs: list[str] = []
    """Loggers of access lines that write at once."""
    green: Green = field(default_factory=Green)
    gunicorn: Gunicorn | None = None
