import { useEffect, useRef, useState } from "react";
import { encode } from "uqr";
import {
  type ChannelStatus,
  type Message,
  type ProviderState,
  Refused,
  type Thread,
  ask,
} from "../api";
import { useAsked } from "../data";
import { useClock } from "../live";
import { Badge, Code, Confirmed, Empty, Go, Loading, Problem, Said, When, useShell } from "../ui";

export function WhatsApp(props: { threadId: string | null }) {
  const { words } = useShell();
  useClock(20_000);
  const status = useAsked<ChannelStatus>("/api/whatsapp/status", ["channel"]);
  const threads = useAsked<{ threads: Thread[]; next: string | null }>(
    "/api/whatsapp/threads",
    ["message"],
  );
  return (
    <>
      <h1>{words.whatsapp}</h1>
      {status.value && <Providers status={status.value} again={status.again} />}
      {status.problem && <Problem problem={status.problem} again={status.again} />}
      <div className={`split ${props.threadId ? "one" : ""}`}>
        <section aria-label={words.threads} className="side">
          <h2>{words.threads}</h2>
          {threads.problem && <Problem problem={threads.problem} again={threads.again} />}
          {!threads.value && !threads.problem && <Loading />}
          {threads.value?.threads.length === 0 && <Empty>{words.noThreads}</Empty>}
          <ul className="threads">
            {threads.value?.threads.map((thread) => (
              <li key={thread.thread_id}>
                <Go
                  to={`/whatsapp/${encodeURIComponent(thread.thread_id)}`}
                  className={thread.thread_id === props.threadId ? "current" : ""}
                >
                  <span className="thread-head">
                    <strong>
                      <Said>{thread.name ?? thread.phone ?? thread.external_id}</Said>
                    </strong>
                    <When at={thread.last_at} />
                  </span>
                  <span className="preview">
                    {thread.last_direction === "out" && <Tick status={thread.last_status} />}{" "}
                    <Said>{thread.last_text}</Said>
                  </span>
                </Go>
              </li>
            ))}
          </ul>
        </section>
        <section aria-label={words.whatsapp} className="main">
          {props.threadId === null ? (
            <Empty>{words.pick}</Empty>
          ) : (
            <Conversation
              threadId={props.threadId}
              thread={threads.value?.threads.find((one) => one.thread_id === props.threadId)}
            />
          )}
        </section>
      </div>
    </>
  );
}

function Providers(props: { status: ChannelStatus; again: () => void }) {
  const { words, session } = useShell();
  const { status } = props;
  const [problem, setProblem] = useState<Refused | null>(null);
  const use = (path: string, provider: string | null) => {
    setProblem(null);
    ask(path, { provider }).then(props.again, (error: unknown) => {
      if (error instanceof Refused) setProblem(error);
    });
  };
  if (status.off)
    return (
      <Problem
        problem={new Refused(503, "away", status.says ?? words.channelsOff, status.fix ?? "")}
        again={props.again}
      />
    );
  return (
    <section aria-label={words.provider} className="cards">
      {problem && <Problem problem={problem} />}
      {status.providers.map((one) => (
        <article className="card provider" key={one.name} data-provider={one.name}>
          <h2>
            {one.name === "twilio" ? "Twilio" : "Baileys"}{" "}
            {one.name === status.provider && <Badge kind="good">{words.provider}</Badge>}
          </h2>
          <p>
            <Badge kind={kindOf(one)}>{one.configured ? one.state : words.notSetUp}</Badge>{" "}
            {one.account && <Code>{one.account}</Code>}
          </p>
          <p className="soft">
            <Said>{one.says}</Said> <Said>{one.fix}</Said>
          </p>
          {one.warnings.map((warning) => (
            <p key={warning}>
              <Badge kind="warn">!</Badge> <Said>{warning}</Said>
            </p>
          ))}
          {one.qr && <Qr text={one.qr} />}
          {session.role === "admin" && one.configured && (
            <div className="actions">
              {one.name !== status.provider && (
                <Confirmed
                  label={`${words.useIt} ${one.name}`}
                  question={`${words.confirmUse} ${one.name}?`}
                  then={() => use("/api/whatsapp/provider", one.name)}
                />
              )}
              {one.name === "baileys" && one.state === "ready" && (
                <Confirmed
                  label={words.logoutAccount}
                  question={words.confirmLogout}
                  className="quiet"
                  then={() => use("/api/whatsapp/logout", one.name)}
                />
              )}
            </div>
          )}
        </article>
      ))}
      <article className="card">
        <h2>{words.provider}</h2>
        <p className="figure small">{status.provider ?? words.nobody}</p>
        <p className="soft">
          {words.underWay} {status.under_way ?? 0} · {words.uncertain} {status.uncertain ?? 0} ·{" "}
          {words.failed} {status.failed ?? 0}
        </p>
        {status.waits_for && (
          <p>
            <Badge kind="warn">!</Badge> <Said>{status.waits_for}</Said>
          </p>
        )}
      </article>
    </section>
  );
}

function kindOf(one: ProviderState): "good" | "bad" | "warn" | "plain" {
  if (!one.configured) return "plain";
  if (one.state === "ready") return "good";
  return one.state === "connecting" || one.state === "needs_qr" ? "warn" : "bad";
}

/** The code as squares of one path: no picture is fetched. */
function Qr(props: { text: string }) {
  const { words } = useShell();
  const code = encode(props.text, { border: 2 });
  const path = code.data
    .flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")))
    .join("");
  return (
    <figure className="qr">
      <svg viewBox={`0 0 ${code.size} ${code.size}`} role="img" aria-label="QR" data-qr={props.text}>
        <rect width={code.size} height={code.size} fill="#fff" />
        <path d={path} fill="#000" />
      </svg>
      <figcaption className="soft">{words.scan}</figcaption>
    </figure>
  );
}

function Conversation(props: { threadId: string; thread: Thread | undefined }) {
  const { words } = useShell();
  const path = `/api/whatsapp/threads/${encodeURIComponent(props.threadId)}/messages`;
  const messages = useAsked<{ messages: Message[]; next: string | null }>(
    path,
    ["message"],
    (told) => "thread_id" in told.data && told.data.thread_id === props.threadId,
  );
  const [older, setOlder] = useState<Message[]>([]);
  const [next, setNext] = useState<string | null | undefined>(undefined);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    setOlder([]);
    setNext(undefined);
  }, [props.threadId]);
  const newest = messages.value?.messages ?? [];
  const lastId = newest.at(-1)?.message_id;
  useEffect(() => {
    if (lastId) end.current?.scrollIntoView({ block: "nearest" });
  }, [lastId]);
  const seen = new Set(newest.map((message) => message.message_id));
  const all = [...older.filter((message) => !seen.has(message.message_id)), ...newest];
  const following = next === undefined ? (messages.value?.next ?? null) : next;
  return (
    <>
      <h2>
        <Said>
          {props.thread?.name ?? props.thread?.phone ?? props.thread?.external_id ?? props.threadId}
        </Said>{" "}
        {props.thread?.phone && <Code>{props.thread.phone}</Code>}
      </h2>
      {messages.problem && <Problem problem={messages.problem} again={messages.again} />}
      {!messages.value && !messages.problem && <Loading />}
      {following !== null && (
        <button
          type="button"
          onClick={() =>
            ask<{ messages: Message[]; next: string | null }>(
              `${path}?before=${encodeURIComponent(following)}`,
            ).then(
              (page) => {
                setOlder([...page.messages, ...older]);
                setNext(page.next);
              },
              () => undefined,
            )
          }
        >
          {words.more}
        </button>
      )}
      <ol className="messages">
        {all.map((message) => (
          <Bubble key={message.message_id} message={message} />
        ))}
      </ol>
      <div ref={end} />
    </>
  );
}

function Bubble(props: { message: Message }) {
  const { words, language } = useShell();
  const { message } = props;
  return (
    <li className={`bubble ${message.direction}`} data-status={message.status}>
      {message.template && (
        <p>
          <Badge kind="plain">
            {words.template} {message.template}
          </Badge>{" "}
          <Said>{message.template_variables.join(" · ")}</Said>
        </p>
      )}
      {message.media.map((medium) => (
        <Medium key={medium.media_id} medium={medium} />
      ))}
      {message.text && (
        <p className="text" dir="auto">
          {message.text}
        </p>
      )}
      <p className="soft small">
        <time dateTime={message.at} dir="ltr">
          {new Date(message.at).toLocaleString(language, { dateStyle: "short", timeStyle: "short" })}
        </time>{" "}
        {message.direction === "out" && <Tick status={message.status} />}{" "}
        {message.provider && <span>{message.provider}</span>}
      </p>
      {message.says && (
        <p className="wrong">
          <Said>{message.says}</Said>
        </p>
      )}
    </li>
  );
}

function Medium(props: { medium: Message["media"][number] }) {
  const { medium } = props;
  const url = `/api/whatsapp/media/${encodeURIComponent(medium.media_id)}`;
  const name = medium.file_name ?? medium.content_type;
  if (medium.content_type.startsWith("image/")) return <img src={url} alt={name} loading="lazy" />;
  if (medium.content_type.startsWith("audio/")) return <audio src={url} controls preload="none" />;
  return (
    <a href={url} download>
      <Said>{name}</Said>
    </a>
  );
}

const TICKS: Record<string, string> = {
  queued: "◷",
  sending: "◷",
  sent: "✓",
  delivered: "✓✓",
  read: "✓✓",
  failed: "✕",
  uncertain: "?",
};

function Tick(props: { status: string }) {
  return (
    <span className={`tick ${props.status}`} title={props.status} role="img" aria-label={props.status}>
      {TICKS[props.status] ?? ""}
    </span>
  );
}
