"""The checks of a server somewhere: its webhook, its TwiML, its media socket, its calls."""

from __future__ import annotations

from typing import Final

from voicelat.doctor.check import Check

__all__ = ["URL_CHECKS"]

URL_CHECKS: Final = (
    Check(
        "certificate",
        ("url",),
        "Whether the TLS certificate is valid, and for how long.",
        "Twilio hangs up on a certificate it cannot check",
        "renew it, with its intermediate certificates, for the name in the URL",
    ),
    Check(
        "webhook-status",
        ("url",),
        "Whether the webhook answers Twilio's request with 200, without redirects.",
        "the caller hears an application error; a redirect costs a round trip, and loses the form",
        "answer POST at the URL that Twilio has, and check signatures against the public URL",
    ),
    Check(
        "webhook-time",
        ("url",),
        "How long the webhook takes, of two requests the second.",
        "it is silence before the greeting; after 15 s Twilio gives up",
        "answer with TwiML only: look things up while the stream is being opened",
    ),
    Check(
        "webhook-type",
        ("url",),
        "The answer's Content-Type.",
        "Twilio reads text/xml, application/xml and text/html as TwiML, and reads text/plain out",
        "send Content-Type: text/xml",
    ),
    Check(
        "keep-alive",
        ("url",),
        "Whether HTTP connections stay open after an answer.",
        "each webhook then pays for TCP and TLS again: two round trips and more",
        "serve HTTP/1.1 with keep-alive, in the proxy too (nginx: proxy_http_version 1.1)",
    ),
    Check(
        "twiml",
        ("url",),
        "Whether the answer is TwiML that opens a stream.",
        "no stream, no agent: Twilio says what the document says, or an error",
        'answer with <Response><Connect><Stream url="wss://HOST/media"/></Connect></Response>',
    ),
    Check(
        "one-way-stream",
        ("url",),
        "Whether the stream can speak: <Connect><Stream>, not <Start><Stream>.",
        "<Start><Stream> is a copy of the caller's audio: nothing sent into it is ever played",
        "use <Connect><Stream>",
    ),
    Check(
        "stream-url",
        ("url",),
        "The stream's URL.",
        "Twilio streams to wss:// only (error 31922), allows no query string (31920), follows no "
        "redirect, and the path must be the route's own",
        "write wss://HOST/PATH with nothing after it, and pass values in <Parameter>",
    ),
    Check(
        "stream-parameters",
        ("url",),
        "The stream's <Parameter>s.",
        "name and value together must stay under 500 characters; what is doubled or nameless "
        "does not arrive in start.customParameters",
        "give each a name of its own, and pass a key to what is long",
    ),
    Check(
        "stream-track",
        ("url",),
        "The stream's track.",
        "<Connect><Stream> carries the inbound track only: another makes Twilio refuse it",
        "leave `track` out",
    ),
    Check(
        "spoken-fallback",
        ("url",),
        "What comes after </Connect>.",
        "when the socket dies, nothing after it ends the call without a word",
        "put a <Say> or <Redirect> behind </Connect>: it runs when the stream is over",
    ),
    Check(
        "forged-requests",
        ("url",),
        "Whether a webhook with a forged signature is answered.",
        "anybody who knows the URL can place calls on your keys",
        "check X-Twilio-Signature with the twilio package's RequestValidator and the public URL",
    ),
    Check(
        "forged-sockets",
        ("url",),
        "Whether a media socket with a forged signature and no parameters is taken to a call.",
        "anybody who knows the URL can place calls on your keys, without Twilio",
        "check the handshake's x-twilio-signature, and a one-time token in a <Parameter>",
    ),
    Check(
        "development-server",
        ("url",),
        "Whether the Server header names a development server.",
        "they serve one request at a time or reload on a change, and stall calls doing it",
        "run it under gunicorn or uvicorn, without --reload",
    ),
    Check(
        "debug-pages",
        ("url",),
        "Whether errors answer with tracebacks or a debugger.",
        "debug mode formats every error on the call's way and tells strangers your code; "
        "Werkzeug's debugger runs theirs",
        "turn debug off (FLASK_DEBUG=0, app.run(debug=False), Starlette(debug=False))",
    ),
    Check(
        "socket",
        ("url",),
        "Whether the media socket takes a handshake as Twilio makes it, and how fast.",
        "the caller waits for it in silence; refused, the call is over",
        "route GET /media as a WebSocket through every proxy, without asking for a subprotocol",
    ),
    Check(
        "compression",
        ("url",),
        "Whether the media socket takes up permessage-deflate.",
        "base64 audio does not get smaller; each message costs time and memory for it. It is on "
        "by default in websockets and uvicorn",
        "turn it off: compression=None (websockets), --ws-per-message-deflate false (uvicorn)",
    ),
    Check(
        "reads-audio",
        ("url",),
        "Whether the socket reads two seconds of audio at once, and start in fragments, and "
        "answers a ping behind them.",
        "when a socket is read slowly Twilio throws the caller's audio away (error 31930): a "
        "blocked loop damages recognition, too",
        "read in a task of its own that only queues; do nothing that blocks in it",
    ),
    Check(
        "greeting",
        ("url",),
        "How long callers wait for the greeting.",
        "callers who hear nothing say hello, and talk into the greeting that then comes",
        "make the greeting before the call (TTS_PREWARM=1) and send it right after start",
    ),
    Check(
        "voice-to-voice",
        ("url",),
        "P50 and P95 from the caller's last sound to the answer's first, against the targets.",
        "it is what callers feel as slow; the targets are TARGET_TOTAL_P50_MS and _P95_MS",
        "run `voicelat report` over the server's turns: it names the leg",
    ),
    Check(
        "calls",
        ("url",),
        "What scripted callers notice: no answers, cut-ins, ignored interruptions, gaps, floods, "
        "broken messages.",
        "a caller notices it, too",
        "see what is said",
    ),
)
"""In the order in which they are done."""
