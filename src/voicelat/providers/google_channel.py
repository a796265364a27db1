"""What Google's ears and voice share: one gRPC channel each, credentials, and their errors.

Channel and token are ready before the first turn and stay so: pings keep the connection open
through the quiet hours, tokens are renewed beside the calls. The vendor's own client classes are
left out: a call sends 25 messages a second, and theirs cost the event loop four times as much.
Messages go in and come out as bytes, because gRPC's asyncio turns an answer it cannot read into
``None`` without a word.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

from voicelat.errors import Advice, InvalidSetting, MissingExtra, ProviderError

__all__ = ["Exchange", "GoogleChannel", "on_loopback", "require_google"]

_LOG = logging.getLogger("voicelat.providers")

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_PING_MS: Final = 60_000
"""Between pings of an idle connection; middleboxes forget one after some minutes."""
_NEVER_MS: Final = 2**31 - 1
_RECONNECT_MS: Final = 100
"""gRPC's own first wait after a lost connection is 1 s."""
_RENEW_AFTER_S: Final = 3.0
"""A connection younger than that is not given up: its server is slow, and not its line dead."""
_LAST_WORDS_S: Final = 310.0
"""How long requests may go on over a connection that was given up: Google's own limit is 305 s."""
_MOST_LEFT: Final = 4
"""Connections given up that may have requests on them. The oldest is closed before there are
more."""
_SILENT_S: Final = 1.0
"""A request that nothing came of for so long, and was then given up by who asked."""
_REASON_CHARS: Final = 200

_LOGIN: Final = (
    "set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file "
    "or run: gcloud auth application-default login"
)

Metadata = Sequence[tuple[str, str]]


def require_google(package: str, needed_for: str) -> None:
    """Raise MissingExtra unless ``package`` of google.cloud is installed. Imports none of it."""
    for name in ("google", "google.cloud", f"google.cloud.{package}", "grpc"):
        if find_spec(name) is None:
            raise MissingExtra("google", needed_for)


def on_loopback(endpoint: str) -> bool:
    """Whether ``host:port`` is on this machine."""
    host = endpoint.rpartition(":")[0].strip("[]") or endpoint
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GoogleChannel:
    """A connection to ``endpoint`` (``host`` or ``host:port``; loopback: plain text, no key).

    ``credentials_file``: None takes Google's default credentials. ``provider`` is the name that
    errors carry. Raises InvalidSetting for an endpoint that is none.
    """

    def __init__(self, provider: str, endpoint: str, credentials_file: str | None = None) -> None:
        name, _, port = endpoint.rpartition(":")
        if "/" in endpoint or (name and not port.isdigit()) or not endpoint:
            raise InvalidSetting(
                "endpoint", endpoint, "must be host or host:port, without https://"
            )
        self.endpoint = endpoint if name else f"{endpoint}:443"
        self.project: str | None = None
        """The credentials' project, once open."""
        self._provider = provider
        self._file = credentials_file
        self._channel: Any = None
        self._identified: Any = None
        self._made_s = 0.0
        self._left: dict[Any, asyncio.Task[None]] = {}
        """Connections that were given up, and the tasks that close them."""
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Load credentials and get a token, in a thread; connect. Later calls cost nothing.

        Raises ProviderError: fix_key without credentials, retry when Google cannot be reached.
        """
        if self._channel is not None:
            return
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name=f"open {self._provider}")
        try:
            # Shielded: a caller who hangs up meanwhile must not stop it for the others.
            await asyncio.shield(self._opening)
        finally:
            if self._opening is not None and self._opening.done():
                self._opening = None

    async def _open(self) -> None:
        plain = on_loopback(self.endpoint)
        self._identified = await asyncio.to_thread(_no_identity if plain else self._identity)
        self._connect()

    def _connect(self) -> None:
        import grpc.aio

        options = [
            ("grpc.keepalive_time_ms", _PING_MS),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.client_idle_timeout_ms", _NEVER_MS),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS),
            ("grpc.min_reconnect_backoff_ms", _RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.use_local_subchannel_pool", 1),  # its connections close with the channel
        ]
        identity = self._identified
        if identity is None:
            self._channel = grpc.aio.insecure_channel(self.endpoint, options=options)
        else:
            self._channel = grpc.aio.secure_channel(self.endpoint, identity, options=options)
        self._made_s = asyncio.get_running_loop().time()

    def renew(self) -> None:
        """Another connection for what is asked from now on: this one was silent when it should
        not have been, and may be dead. TCP would tell so after minutes, pings after one, and
        until then every request of every call would wait in vain. What runs on it may end.
        """
        age_s = asyncio.get_running_loop().time() - self._made_s
        if self._channel is None or age_s < _RENEW_AFTER_S:
            return
        _LOG.info("%s: connecting again, the connection does not answer", self._provider)
        old = self._channel
        self._connect()
        if len(self._left) == _MOST_LEFT:
            self._left[next(iter(self._left))].cancel()
        closing = asyncio.create_task(self._leave(old), name=f"leave {self._provider}")
        self._left[old] = closing

    async def _leave(self, channel: Any) -> None:
        try:
            await channel.close(_LAST_WORDS_S)
        finally:
            self._left.pop(channel, None)
            await channel.close()

    def _identity(self) -> Any:
        """Channel credentials with a token that is good already. Blocks."""
        import google.auth
        import grpc.aio
        from google.auth import exceptions
        from google.auth.transport.grpc import AuthMetadataPlugin
        from google.auth.transport.requests import Request

        request = Request()
        try:
            if self._file is None:
                credentials, self.project = google.auth.default(scopes=[_SCOPE])
            else:
                credentials, self.project = google.auth.load_credentials_from_file(
                    self._file, scopes=[_SCOPE]
                )
            if hasattr(credentials, "with_non_blocking_refresh"):
                credentials.with_non_blocking_refresh()
            credentials.refresh(request)
        except exceptions.TransportError as error:
            raise self.failed(f"cannot reach Google for a token: {error}", "retry") from error
        except exceptions.GoogleAuthError as error:
            raise self.failed(f"no working credentials; {_LOGIN}: {error}", "fix_key") from error
        except (OSError, ValueError) as error:
            why = f"credentials cannot be read; {_LOGIN}: {error}"
            raise self.failed(why, "fix_key") from error
        plugin = AuthMetadataPlugin(credentials, request)
        return grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(), grpc.metadata_call_credentials(plugin)
        )

    def exchange(self, method: str, timeout_s: float, metadata: Metadata = ()) -> Exchange:
        """Start a streaming request. `open` must have been called."""
        call = self._channel.stream_stream(method)(timeout=timeout_s, metadata=list(metadata))
        return Exchange(self, call)

    async def ask(self, method: str, message: bytes, timeout_s: float) -> bytes:
        """One answer to one message. Raises ProviderError."""
        import grpc.aio

        try:
            with self.waiting():
                answer: bytes = await self._channel.unary_unary(method)(message, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code().name == "DEADLINE_EXCEEDED":
                self.renew()
            raise self.told(error) from error
        return answer

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a wait for an answer that must come soon: who gives it up has a reason."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        try:
            yield
        except asyncio.CancelledError:
            if loop.time() - begun_s >= _SILENT_S:
                self.renew()
            raise

    async def aclose(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        left = dict(self._left)
        for task in left.values():
            task.cancel()
        await asyncio.gather(*left.values(), return_exceptions=True)
        for channel in left:  # a task that had not begun has closed nothing
            await channel.close()
        self._left.clear()

    def told(self, error: Any) -> ProviderError:
        """What an ``AioRpcError`` means to us."""
        code, details = error.code().name, error.details() or ""
        if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return self.failed(f"the key was refused; {_LOGIN}: {details}", "fix_key")
        if code in ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"):
            return self.failed(f"{self.endpoint} will not do this: {details}", "give_up")
        if code == "DEADLINE_EXCEEDED":
            return self.failed(f"no answer from {self.endpoint} in time", "retry")
        if code == "UNAVAILABLE" and "RefreshError" in details:
            return self.failed(f"no new token; {_LOGIN}: {details}", "fix_key")
        if code == "UNAVAILABLE":
            return self.failed(f"cannot reach {self.endpoint}: {details}", "retry")
        return self.failed(f"{code.lower()}: {details}", "retry")

    def failed(self, why: str, advice: Advice) -> ProviderError:
        """A ProviderError of one line."""
        return ProviderError(self._provider, " ".join(why.split())[:_REASON_CHARS], advice)


def _no_identity() -> None:
    """Loads what `GoogleChannel._open` imports. Blocks for a quarter of a second."""
    import grpc.aio  # noqa: F401 - that it is loaded is the point


class Exchange:
    """One streaming request: bytes go in and come out, errors are ours."""

    def __init__(self, channel: GoogleChannel, call: Any) -> None:
        self._channel = channel
        self._call = call

    async def send(self, message: bytes) -> None:
        """Send a message. When the request is over already, `receive` tells why."""
        import grpc.aio

        try:
            await self._call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    async def end(self) -> None:
        """Half-close: nothing more will be sent."""
        import grpc.aio

        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    async def receive(self) -> bytes | None:
        """The next message, None at the end. Raises ProviderError."""
        import grpc.aio

        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._channel.told(error) from error
        if message is grpc.aio.EOF:
            return None
        answer: bytes = message
        return answer

    def cancel(self) -> None:
        """Reset the request. Without effect when it is over."""
        self._call.cancel()
        # A write that fails before the status was read leaves grpc.aio (1.85) thinking that the
        # call is over, while the core holds it, and its connection, until its deadline.
        core = getattr(self._call, "_cython_call", None)
        if core is not None:
            core.cancel("over")
