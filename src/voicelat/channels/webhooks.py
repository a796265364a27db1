"""What Twilio tells by webhook: a form, signed over the public URL, read as providers tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from voicelat.channels.provider import Address, Fetchable, Incoming, Receipt
from voicelat.channels.twilio import STATUSES
from voicelat.errors import VoicelatError
from voicelat.twilio.signature import webhook_is_genuine

__all__ = ["INCOMING", "STATUS", "BadWebhook", "genuine", "incoming", "receipt"]

INCOMING: Final = "/webhook/twilio/whatsapp/incoming"
STATUS: Final = "/webhook/twilio/whatsapp/status"
_MOST_MEDIA: Final = 10
_PREFIX: Final = "whatsapp:"
_FUTURE: Final = frozenset({"receiving", "received"})
"""Of messages that come in: their own webhook tells of them."""


class BadWebhook(VoicelatError):
    """A genuine request that says nothing that can be understood."""


def genuine(
    url: str,
    form: Mapping[str, str],
    headers: Mapping[str, str],
    auth_token: str,
    account_sid: str,
) -> bool:
    """Whether Twilio signed it, for this account."""
    signed = webhook_is_genuine(auth_token, url, form, headers)
    return signed and form.get("AccountSid", account_sid) == account_sid


def incoming(form: Mapping[str, str], now: datetime) -> Incoming:
    """A message somebody sent. Raises BadWebhook."""
    sid, sender = form.get("MessageSid") or form.get("SmsMessageSid"), form.get("From", "")
    if not sid or not sender.startswith(_PREFIX):
        raise BadWebhook(
            "a WhatsApp message has a MessageSid, and a From that begins with whatsapp:"
        )
    media = tuple(
        Fetchable(
            source=form[f"MediaUrl{number}"],
            content_type=form.get(f"MediaContentType{number}") or "application/octet-stream",
            file_name=None,
        )
        for number in range(_count(form))
        if form.get(f"MediaUrl{number}")
    )
    text = form.get("Body") or form.get("ButtonText") or None
    button = form.get("ButtonPayload")
    if button and button != text:
        text = f"{text or ''} [{button}]".strip()
    if text is None and not media:
        text = _place(form)
    return Incoming(
        provider_id=sid,
        sender=_address(sender, form.get("WaId")),
        profile_name=(form.get("ProfileName") or None),
        text=text,
        media=media,
        at=now.astimezone(UTC),
        reply_to=form.get("OriginalRepliedMessageSid") or None,
    )


def receipt(form: Mapping[str, str], message_id: str | None, now: datetime) -> Receipt | None:
    """What became of a message of ours. None: nothing that is news. Raises BadWebhook."""
    sid = form.get("MessageSid") or form.get("SmsSid")
    word = form.get("MessageStatus") or form.get("SmsStatus") or ""
    if not sid:
        raise BadWebhook("a status has a MessageSid")
    status = STATUSES.get(word)
    if status is None:
        if word in _FUTURE or word == "partially_delivered":
            return None
        raise BadWebhook(f"no status of Twilio's: {word[:40]!r}")
    code = form.get("ErrorCode") or None
    return Receipt(
        provider_id=sid,
        message_id=message_id,
        status=status,
        at=now.astimezone(UTC),
        error_code=code if status == "failed" else None,
        says=(form.get("ErrorMessage") or None) if status == "failed" else None,
    )


def _count(form: Mapping[str, str]) -> int:
    said = form.get("NumMedia", "0")
    return min(int(said), _MOST_MEDIA) if said.isascii() and said.isdigit() and len(said) < 4 else 0


def _address(sender: str, wa_id: str | None) -> Address:
    """Who it is. A number is one only where it looks like one: WhatsApp has user names."""
    bare = sender.removeprefix(_PREFIX)
    digits = bare.removeprefix("+")
    phone = f"+{digits}" if bare.startswith("+") and _is_number(digits) else None
    return Address(phone=phone, external_id=wa_id or bare)


def _is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15 and digits[0] != "0"


def _place(form: Mapping[str, str]) -> str:
    """A message without words: a place on the map, or something WhatsApp does not tell of."""
    latitude, longitude = form.get("Latitude"), form.get("Longitude")
    if latitude and longitude:
        label = form.get("Label") or form.get("Address") or ""
        return f"[place {latitude}, {longitude} {label}]".replace(" ]", "]")
    return "[a message without text or media]"
