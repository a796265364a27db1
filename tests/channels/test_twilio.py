"""Messages by Twilio, from the back office to a telephone and back, by the real SDK."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from tests.channels.conftest import PHONE, Desk, Line, line_of, until

from voicelat.channels.templates import Templates
from voicelat.channels.webhooks import STATUS
from voicelat.doubles.whatsapp import TwilioDouble


async def test_an_answer_goes_out_and_its_receipts_come_back(line: Line) -> None:
    await line.twilio.write(line.incoming, Body="do you have time?")
    await line.desk.until(direction="in")
    await line.desk.send("yes, at ten")
    (sent,) = await line.twilio.sent(1)
    assert sent.form["To"] == f"whatsapp:{PHONE}"
    assert sent.form["From"] == "whatsapp:+15550100"
    assert sent.form["Body"] == "yes, at ten"
    await line.desk.until(direction="out", status="sent")
    for status in ("read", "delivered", "sent"):
        assert (await line.twilio.call_back(sent, status)).status_code == 204
    assert await line.desk.until(status="read")


async def test_what_somebody_writes_reaches_the_agents_with_who_they_are(line: Line) -> None:
    form = {"Body": "שלום", "ProfileName": "דנה", "MessageSid": "SM" + "1" * 32}
    answer = await line.twilio.write(line.incoming, **form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    message = await line.desk.until(direction="in")
    assert (message["text"], message["profile_name"]) == ("שלום", "דנה")
    (event,) = await line.agents.heard(1)
    assert event["id"] == "wa:twilio:SM" + "1" * 32
    assert event["kind"] == "whatsapp_message"
    assert event["data"]["phone"] == PHONE
    assert event["data"]["message_id"] == message["message_id"]


async def test_somebody_without_a_number_can_write_and_be_answered(line: Line) -> None:
    await line.twilio.write(line.incoming, From="whatsapp:dana.levi", WaId="", Body="hi")
    message = await line.desk.until(direction="in")
    assert message["text"] == "hi"
    threads = await line.desk.call("whatsapp.list_threads", before=None, limit=1)
    assert threads["threads"][0]["phone"] is None
    assert threads["threads"][0]["external_id"] == "dana.levi"


async def test_the_same_webhook_again_is_harmless(line: Line) -> None:
    for _ in range(3):
        answer = await line.twilio.write(line.incoming, Body="once", MessageSid="SM" + "2" * 32)
        assert answer.status_code == 200
    await line.desk.until(text="once")
    await line.twilio.write(line.incoming, Body="last")
    await line.desk.until(text="last")
    assert [m["text"] for m in await line.desk.messages()].count("once") == 1
    assert len(await line.agents.heard(2)) == 2


async def test_a_forged_webhook_is_refused_and_counted(line: Line) -> None:
    form = {"MessageSid": "SM1", "From": f"whatsapp:{PHONE}", "Body": "let me in"}
    url = line.incoming
    forged = await line.http.post(url, data=form, headers={"X-Twilio-Signature": "Zm9yZ2Vk"})
    unsigned = await line.http.post(url, data=form)
    assert (forged.status_code, unsigned.status_code) == (403, 403)
    # Signed for another address, and for another account.
    signed = await line.twilio.post_signed(line.url + STATUS, form)
    assert signed.status_code in (204, 422)
    other = await line.twilio.post_signed(url, {**form, "AccountSid": "AC" + "9" * 32})
    assert other.status_code == 403
    assert (await line.asked("GET", "/v1/status")).json()["forged"] == 3
    assert await line.desk.messages() == []


async def test_free_text_after_a_day_goes_as_the_approved_template(line: Line) -> None:
    await line.desk.send("your car\nis ready", language="he-IL")
    (sent,) = await line.twilio.sent(1)
    assert sent.form["ContentSid"] == "HX2"
    assert json.loads(sent.form["ContentVariables"]) == {"1": "your car is ready"}
    assert "Body" not in sent.form
    await line.desk.until(status="sent")


async def test_a_template_goes_with_its_variables(line: Line) -> None:
    await line.desk.send(text=None, template="call_follow_up", template_variables=["Dana"])
    (sent,) = await line.twilio.sent(1)
    assert sent.body == "Hello Dana, thank you for your call."


async def test_a_template_that_is_none_fails_with_what_to_do(line: Line) -> None:
    await line.desk.send(text=None, template="unknown")
    failed = await line.desk.until(status="failed")
    assert failed["error_code"] == "no_template"
    assert "there are: notice, call_follow_up" in failed["says"]
    assert line.twilio.messages == []


async def test_63016_at_once_is_said_again_by_the_template(line: Line) -> None:
    await line.twilio.write(line.incoming, Body="hi")
    await line.desk.until(direction="in")
    line.twilio.fail(400, 63016, "outside the window")
    await line.desk.send("see you at ten")
    (sent,) = await line.twilio.sent(1)
    assert sent.body == "A message from us: see you at ten"
    await line.desk.until(direction="out", status="sent")


async def test_63016_later_is_said_again_by_the_template_once(line: Line) -> None:
    await line.twilio.write(line.incoming, Body="hi")
    await line.desk.until(direction="in")
    await line.desk.send("see you at ten")
    (first,) = await line.twilio.sent(1)
    await line.desk.until(direction="out", status="sent")
    await line.twilio.call_back(first, "undelivered", ErrorCode="63016")
    _, second = await line.twilio.sent(2)
    assert second.body == "A message from us: see you at ten"
    await until(lambda: line.journal.send_of("twilio", second.sid) is not None)
    await line.twilio.call_back(second, "undelivered", ErrorCode="63016")
    failed = await line.desk.until(status="failed")
    assert failed["error_code"] == "63016"
    assert "WHATSAPP_TEMPLATES" in failed["says"]
    assert len(line.twilio.messages) == 2


async def test_a_refusal_is_final_and_a_busy_service_is_asked_again(line: Line) -> None:
    line.twilio.fail(400, 21211, "not a valid phone number")
    await line.desk.send("one")
    failed = await line.desk.until(status="failed")
    assert (failed["error_code"], failed["says"]) == (
        "21211",
        "Unable to create record: not a valid phone number",
    )
    line.twilio.fail(429, 20429, "too many requests", times=2)
    await line.desk.send("two")
    await line.desk.until(status="sent")
    assert len(line.twilio.messages) == 1


async def test_an_answer_that_was_lost_is_found_in_the_list_and_nothing_is_sent_twice(
    line: Line,
) -> None:
    line.twilio.lose_answer()
    await line.desk.send("once only")
    message = await line.desk.until(status="sent")
    assert len(line.twilio.messages) == 1
    standing = line.journal.send(message["message_id"])
    assert standing is not None
    assert standing.provider_id == line.twilio.messages[0].sid


async def test_a_request_that_failed_and_is_in_no_list_is_sent_again(line: Line) -> None:
    line.twilio.fail(500, 20500, "internal error")
    await line.desk.send("once only")
    await line.desk.until(status="sent")
    assert len(line.twilio.messages) == 1


async def test_media_are_fetched_without_showing_our_credentials_to_where_they_lie(
    line: Line,
) -> None:
    line.twilio.media["cat"] = ("image/png", b"\x89PNG cat")
    url = line.twilio.media_url("cat")
    form = {"NumMedia": "1", "MediaUrl0": url, "MediaContentType0": "image/png"}
    await line.twilio.write(line.incoming, **form)
    message = await line.desk.until(direction="in")
    (medium,) = message["media"]
    assert (medium["content_type"], medium["bytes"]) == ("image/png", 8)
    first, second = line.twilio.requests
    assert first[1] is not None
    assert second == ("/kept/cat", None)
    got = await line.asked("GET", f"/v1/media/{medium['media_id']}")
    assert got.content == b"\x89PNG cat"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert (await line.http.get(f"{line.url}/v1/media/{medium['media_id']}")).status_code == 401


async def test_a_page_that_calls_itself_an_image_is_kept_as_bytes(line: Line) -> None:
    line.twilio.media["evil"] = ("text/html", b"<script>alert(1)</script>")
    url = line.twilio.media_url("evil")
    form = {"NumMedia": "1", "MediaUrl0": url, "MediaContentType0": "text/html"}
    await line.twilio.write(line.incoming, **form)
    (medium,) = (await line.desk.until(direction="in"))["media"]
    got = await line.asked("GET", f"/v1/media/{medium['media_id']}")
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in got.headers["content-security-policy"]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:22/",
        "https://evil.example/cat.png",
        "https://api.twilio.com.evil.example/cat.png",
        "file:///etc/passwd",
        "https://user:pass@api.twilio.com/x",
        "http://[::1",
    ],
)
async def test_a_medium_that_lies_elsewhere_is_not_asked_for(line: Line, url: str) -> None:
    form = {"NumMedia": "1", "MediaUrl0": url, "MediaContentType0": "image/png", "Body": "look"}
    await line.twilio.write(line.incoming, **form)
    message = await line.desk.until(direction="in")
    assert message["media"] == []
    assert message["text"].startswith("look\n[image that could not be fetched: ")
    assert line.twilio.requests == []


async def test_a_file_is_sent_by_a_link_that_opens_only_it_and_only_for_a_while(line: Line) -> None:
    added = await line.http.post(
        f"{line.url}/v1/media?file_name=offer.pdf",
        content=b"%PDF",
        headers={"Authorization": "Bearer channels", "Content-Type": "application/pdf"},
    )
    medium = added.json()
    await line.twilio.write(line.incoming, Body="hi")
    await line.desk.until(direction="in")
    await line.desk.call(
        "whatsapp.send_media",
        to_lead_id=None,
        to_phone=PHONE,
        media_id=medium["media_id"],
        content_type="application/pdf",
        file_name="offer.pdf",
        caption="our offer",
    )
    (sent,) = await line.twilio.sent(1)
    link = sent.form["MediaUrl"]
    assert (await line.http.get(link)).content == b"%PDF"
    head, _, mac = link.rpartition(".")
    other = mac[:-1] + ("0" if mac[-1] != "0" else "1")
    assert (await line.http.get(f"{head}.{other}")).status_code == 404


async def test_more_than_a_minute_takes_wait_and_none_is_lost(
    tmp_path: Path, desk: Desk, twilio: TwilioDouble, templates: Templates, http: httpx.AsyncClient
) -> None:
    async with line_of(tmp_path, desk, twilio, templates, http, per_minute=2) as line:
        for number in range(4):
            await desk.send(str(number))
        await twilio.sent(2)
        await until(lambda: line.carrier.waits_for is not None)
        status = (await line.asked("GET", "/v1/status")).json()
    assert status["waits_for"] == "2 messages were sent in the last minute"
    assert len(twilio.messages) == 2
    waiting = [one["status"] for one in await desk.messages()]
    assert sorted(waiting) == ["queued", "queued", "sent", "sent"]


async def test_nobody_carries_until_somebody_does(line: Line) -> None:
    told = await line.asked("POST", "/v1/provider", json={"provider": None})
    assert told.json()["provider"] is None
    await line.desk.send("later")
    refused = await line.asked("POST", "/v1/provider", json={"provider": "baileys"})
    assert refused.status_code == 409
    assert "not set up" in refused.json()["says"]
    assert line.twilio.messages == []
    await line.asked("POST", "/v1/provider", json={"provider": "twilio"})
    await line.desk.until(status="sent")


async def test_status_says_how_the_account_stands(line: Line) -> None:
    status = (await line.asked("GET", "/v1/status")).json()
    (one,) = status["providers"]
    assert (one["name"], one["state"], one["account"]) == ("twilio", "ready", "+15550100")


async def test_who_looks_on_hears_of_everything_in_order(line: Line) -> None:
    await line.twilio.write(line.incoming, Body="hi")
    await line.desk.until(direction="in")
    await line.desk.send("hello")
    await line.desk.until(status="sent")
    told = (await line.asked("GET", "/v1/events?after=0")).json()
    assert [one["kind"] for one in told["events"]] == ["message", "receipt"]
    again = (await line.asked("GET", f"/v1/events?after={told['next']}&wait_s=0")).json()
    assert again == {"events": [], "next": told["next"]}


@pytest.mark.parametrize("path", ["/v1/status", "/v1/events", "/v1/media/x"])
async def test_nothing_is_said_without_the_token(line: Line, path: str) -> None:
    assert (await line.http.get(line.url + path)).status_code == 401
