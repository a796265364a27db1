"""What one media message costs: ours against the standard library, in the same run.

    python benchmarks/codec.py [--json]

Each figure is the best of several rounds, in microseconds per message of 160 bytes of audio.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import timeit
from collections.abc import Callable

from voicelat.twilio.codec import decode, encode_media
from voicelat.twilio.inbox import Inbox
from voicelat.twilio.messages import Media, Start
from voicelat.twilio.mirror import encode_inbound

SID = "MZ18ad3ab5a668481ce02b83e7395059f0"
PAYLOAD = random.Random(1).randbytes(160)
TEXT = encode_inbound(Media(SID, PAYLOAD, "inbound", 42, 41, 800))


def baseline_decode() -> tuple[str, int, bytes]:
    """What a handler written against Twilio's examples does."""
    message = json.loads(TEXT)
    media = message["media"]
    return message["streamSid"], int(media["timestamp"]), base64.b64decode(media["payload"])


def baseline_encode() -> str:
    """The same in the other direction."""
    payload = base64.b64encode(PAYLOAD).decode()
    return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    figures = {
        "decode": (micros(lambda: decode(TEXT)), micros(baseline_decode)),
        "encode": (micros(lambda: encode_media(SID, PAYLOAD)), micros(baseline_encode)),
        "receive": (micros_receive(), None),
    }
    if as_json:
        rows = {
            name: {"voicelat_us": ours, "stdlib_us": theirs}
            for name, (ours, theirs) in figures.items()
        }
        print(json.dumps(rows))
        return
    print(f"{'us per media message':24}{'voicelat':>10}{'stdlib':>10}{'ratio':>8}")
    for name, (ours, theirs) in figures.items():
        compared = f"{theirs:10.2f}{theirs / ours:7.1f}x" if theirs is not None else ""
        print(f"{name:24}{ours:10.2f}{compared}")


def micros(call: Callable[[], object], number: int = 20_000) -> float:
    """Best of seven rounds: the others were disturbed."""
    return round(min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6, 3)


def micros_receive() -> float:
    """Decode plus the order checks of `Inbox`, on a stream that goes on."""
    texts = [
        encode_inbound(Media(SID, PAYLOAD, "inbound", k + 1, k, (k - 1) * 20))
        for k in range(1, 20_001)
    ]
    best = min(timeit.repeat(lambda: _receive_all(texts), number=1, repeat=7))
    return round(best / len(texts) * 1e6, 3)


def _receive_all(texts: list[str]) -> None:
    inbox = Inbox()
    inbox.receive(encode_inbound(Start(SID, 1)))
    for text in texts:
        inbox.receive(text)
    assert not inbox.drops


if __name__ == "__main__":
    main()
