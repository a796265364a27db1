"""Twilio Media Streams without a socket: messages, their text, TwiML, request signatures.

`codec` is our end of the socket, `mirror` is Twilio's. `Inbox` decides what of a stream may be
believed. Nothing here reads a clock or moves a byte.
"""

__all__: list[str] = []
