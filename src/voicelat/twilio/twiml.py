"""The TwiML that hands a call to the media socket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from voicelat.errors import InvalidSetting, UsageError

__all__ = ["MAX_PARAMETER_CHARS", "connect_stream"]

MAX_PARAMETER_CHARS: Final = 500
"""Twilio: name plus value of a ``<Parameter>`` must stay under this many characters."""

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def connect_stream(
    url: str,
    *,
    parameters: Mapping[str, str] | None = None,
    status_callback: str | None = None,
    fallback_say: str | None = None,
    language: str | None = None,
    insecure: bool = False,
) -> str:
    """Answer a voice webhook with a bidirectional stream to ``url``.

    ``parameters`` arrive as the start message's ``custom_parameters``. ``status_callback`` is
    the only place where Twilio reports handshake errors. ``fallback_say`` is spoken, in
    ``language`` ("he-IL"), once the socket is closed: the safety net if the stream dies; without
    it, closing the socket ends the call.

    Raises `UsageError` for what Twilio would refuse on the call itself: a URL that is not
    ``wss://`` (error 31922; ``insecure`` allows ``ws://`` for tests) or has a query string
    (31920), a parameter of 500 characters or more, text that XML cannot carry.
    """
    _check_stream_url(url, insecure=insecure)
    response = ET.Element("Response")
    stream = ET.SubElement(ET.SubElement(response, "Connect"), "Stream", {"url": url})
    if status_callback is not None:
        if not status_callback.startswith(("https://", "http://")):
            raise InvalidSetting("status_callback", status_callback, "needs an http(s) URL")
        stream.set("statusCallback", status_callback)
    for name, value in (parameters or {}).items():
        if not name or len(name) + len(value) >= MAX_PARAMETER_CHARS:
            # The value may be a secret: it is not repeated here.
            raise InvalidSetting(
                "parameter", name[:40], f"needs a name, and under {MAX_PARAMETER_CHARS} characters"
            )
        ET.SubElement(stream, "Parameter", {"name": name, "value": value})
    if fallback_say:
        say = ET.SubElement(response, "Say", {"language": language} if language else {})
        say.text = fallback_say
    text = ET.tostring(response, encoding="unicode")
    if _NOT_XML.search(text):
        raise UsageError("TwiML cannot carry control characters or lone surrogates: remove them")
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'


def _check_stream_url(url: str, *, insecure: bool) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidSetting("url", url, str(error)) from None
    if parts.scheme != "wss" and not (insecure and parts.scheme == "ws"):
        raise InvalidSetting("url", url, "Twilio streams to wss:// only (error 31922)")
    if not parts.hostname:
        raise InvalidSetting("url", url, "has no host")
    if "?" in url or "#" in url:
        raise InvalidSetting(
            "url", url, "no query string on a stream (error 31920): pass parameters instead"
        )
