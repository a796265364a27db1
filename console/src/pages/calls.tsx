import { type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { type Call, type CallDetail, type Overview, type Recording, type Turn, ask } from "../api";
import { useAsked } from "../data";
import { useClock } from "../live";
import { Badge, Code, Empty, Go, Loading, Ms, Problem, Said, When, useShell } from "../ui";

const LEGS = ["endpointing", "llm", "clause", "tts", "gate", "residual"] as const;

export function Calls(props: { callId: string | null }) {
  return props.callId === null ? <AllCalls /> : <OneCall callId={props.callId} />;
}

function AllCalls() {
  const { words } = useShell();
  useClock(20_000);
  const overview = useAsked<Overview>("/api/overview", ["turn", "call", "approval"]);
  const first = useAsked<{ calls: Call[]; next: string | null }>("/api/calls", ["turn", "call"]);
  const [older, setOlder] = useState<Call[]>([]);
  const [next, setNext] = useState<string | null | undefined>(undefined);
  const following = next === undefined ? (first.value?.next ?? null) : next;
  const calls = useMemo(() => {
    const newest = first.value?.calls ?? [];
    const seen = new Set(newest.map((call) => call.call_id));
    return [...newest, ...older.filter((call) => !seen.has(call.call_id))];
  }, [first.value, older]);
  return (
    <>
      <h1>{words.calls}</h1>
      {overview.value && <Numbers overview={overview.value} />}
      {first.problem && <Problem problem={first.problem} again={first.again} />}
      {!first.value && !first.problem && <Loading />}
      {first.value && calls.length === 0 && <Empty>{words.noCalls}</Empty>}
      {calls.length > 0 && (
        <div className="scroll" role="region" aria-label={words.calls} tabIndex={0}>
          <table className="list">
            <thead>
              <tr>
                <th>{words.call}</th>
                <th>{words.started}</th>
                <th className="end">{words.turns}</th>
                <th className="end">P50</th>
                <th className="end">P95</th>
                <th className="end">{words.worst}</th>
                <th className="end">{words.errors}</th>
              </tr>
            </thead>
            <tbody>
              {calls.map((call) => (
                <tr key={call.call_id}>
                  <td>
                    <Go to={`/calls/${encodeURIComponent(call.call_id)}`}>
                      <Code>{call.call_id}</Code>
                    </Go>{" "}
                    {call.live && <Badge kind="good">{words.live}</Badge>}
                    {call.has_recording && <span title={words.recorded} className="soft"> ◉</span>}
                  </td>
                  <td>
                    <When at={call.started_at} />
                  </td>
                  <td className="end">{call.turns}</td>
                  <td className="end">
                    <Ms value={call.p50_ms} />
                  </td>
                  <td className="end">
                    <Ms value={call.p95_ms} />
                  </td>
                  <td className="end">
                    <Ms value={call.worst_ms} />
                  </td>
                  <td className="end">
                    {call.errors > 0 ? <Badge kind="bad">{call.errors}</Badge> : <span className="soft">0</span>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {following !== null && (
        <button
          type="button"
          onClick={() =>
            ask<{ calls: Call[]; next: string | null }>(
              `/api/calls?before=${encodeURIComponent(following)}`,
            ).then(
              (page) => {
                setOlder([...older, ...page.calls]);
                setNext(page.next);
              },
              () => undefined,
            )
          }
        >
          {words.more}
        </button>
      )}
    </>
  );
}

function Numbers(props: { overview: Overview }) {
  const { words } = useShell();
  const { overview } = props;
  return (
    <section aria-label={words.numbers} className="cards">
      <div className="card big">
        <h2>{words.medianWait}</h2>
        <p className="figure">
          <Ms value={overview.p50_ms} />
        </p>
        <p className="soft">
          {words.tailWait} <Ms value={overview.p95_ms} /> · {overview.turns} {words.turns}
          {overview.calls_live !== null && ` · ${overview.calls_live} ${words.liveCalls}`}
        </p>
      </div>
      {overview.numbers.map((number) => (
        <div className="card" key={number.name}>
          <h2>
            <Code>{number.name}</Code>
          </h2>
          <p className="figure small">
            <Ms value={number.p50_ms} /> <span className="soft">/</span> <Ms value={number.p95_ms} />
          </p>
          <p className="soft">
            {number.ok !== null && (
              <Badge kind={number.ok ? "good" : "bad"}>{number.ok ? words.within : words.over}</Badge>
            )}{" "}
            {number.target_p50_ms !== null && (
              <span dir="ltr">
                P50 ≤ <Ms value={number.target_p50_ms} />
              </span>
            )}{" "}
            {number.target_p95_ms !== null && (
              <span dir="ltr">
                P95 ≤ <Ms value={number.target_p95_ms} />
              </span>
            )}
          </p>
        </div>
      ))}
    </section>
  );
}

function OneCall(props: { callId: string }) {
  const { words } = useShell();
  const mine = (told: { data: object }) =>
    "call_id" in told.data && told.data.call_id === props.callId;
  const found = useAsked<CallDetail>(
    `/api/calls/${encodeURIComponent(props.callId)}`,
    ["turn", "call"],
    mine,
  );
  const [at, setAt] = useState<number | null>(null);
  const longest = Math.max(1, ...(found.value?.turns ?? []).map((turn) => turn.total_ms ?? 0));
  return (
    <>
      <p>
        <Go to="/calls">← {words.calls}</Go>
      </p>
      <h1>
        <Code>{props.callId}</Code> {found.value?.call.live && <Badge kind="good">{words.live}</Badge>}
      </h1>
      {found.problem && <Problem problem={found.problem} again={found.again} />}
      {!found.value && !found.problem && <Loading />}
      {found.value && (
        <>
          <p className="soft">
            <When at={found.value.call.started_at} /> · {found.value.call.turns} {words.turns} · P50{" "}
            <Ms value={found.value.call.p50_ms} /> · P95 <Ms value={found.value.call.p95_ms} />
          </p>
          {found.value.recording ? (
            <Player recording={found.value.recording} turns={found.value.turns} at={at} />
          ) : (
            <Empty>{words.noRecording}</Empty>
          )}
          <h2>{words.waterfall}</h2>
          <p className="legend" dir="ltr">
            {LEGS.map((leg) => (
              <span key={leg}>
                <i className={`leg ${leg}`} /> {leg}
              </span>
            ))}
          </p>
          <ol className="turns">
            {found.value.turns.map((turn) => (
              <TurnRow key={turn.turn} turn={turn} longest={longest} seek={setAt} />
            ))}
          </ol>
        </>
      )}
    </>
  );
}

function TurnRow(props: { turn: Turn; longest: number; seek: (ms: number | null) => void }) {
  const { words } = useShell();
  const { turn } = props;
  const share = (ms: number) => `${Math.max(0, Math.min(100, (100 * ms) / props.longest))}%`;
  return (
    <li className="turn">
      <div className="turn-head">
        <button type="button" className="quiet" onClick={() => props.seek(turn.at_ms)}>
          {words.turn} {turn.turn}
        </button>
        <strong>
          <Ms value={turn.total_ms} />
        </strong>
        <span className="soft">
          {turn.outcome.replaceAll("_", " ")}
          {turn.reason && ` · ${words.reason}: ${turn.reason}`}
        </span>
        {turn.barge_in && <Badge kind="warn">{words.bargeIn}</Badge>}
      </div>
      <div className="track" dir="ltr" role="img" aria-label={spoken(turn)}>
        {turn.spans.map((span, index) => (
          <span
            key={index}
            className={`leg ${span.leg}`}
            style={{ left: share(span.from_ms), width: share(span.to_ms - span.from_ms) }}
            title={`${span.leg} ${span.to_ms - span.from_ms} ms`}
          />
        ))}
      </div>
      {turn.error && (
        <p className="wrong">
          <Said>{turn.error}</Said>
        </p>
      )}
      {turn.caller_text && (
        <p>
          <span className="soft">{words.caller}</span> <Said>{turn.caller_text}</Said>
        </p>
      )}
      {turn.agent_text && (
        <p>
          <span className="soft">{words.agent}</span> <Said>{turn.agent_text}</Said>
        </p>
      )}
      <details>
        <summary>{words.stamps}</summary>
        <dl className="facts">
          {Object.entries(turn.numbers).map(([name, ms]) => (
            <div key={name}>
              <dt>
                <Code>{name}</Code>
              </dt>
              <dd>
                <Ms value={ms} />
              </dd>
            </div>
          ))}
          {Object.entries(turn.stamps).map(([name, ms]) => (
            <div key={name}>
              <dt>
                <Code>{name}</Code>
              </dt>
              <dd>
                <Ms value={ms} />
              </dd>
            </div>
          ))}
        </dl>
      </details>
    </li>
  );
}

function spoken(turn: Turn): string {
  return turn.spans.map((span) => `${span.leg} ${span.to_ms - span.from_ms} ms`).join(", ");
}

const HEIGHT = 44;

function Player(props: { recording: Recording; turns: Turn[]; at: number | null }) {
  const { words } = useShell();
  const audio = useRef<HTMLAudioElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [playing, setPlaying] = useState(false);
  const [place, setPlace] = useState(0);
  const { recording } = props;
  useEffect(() => {
    if (props.at !== null && audio.current) {
      audio.current.currentTime = props.at / 1000;
      setPlace(props.at / 1000);
    }
  }, [props.at]);
  useEffect(() => {
    const draw = () => {
      if (canvas.current) drawWaves(canvas.current, recording, props.turns);
    };
    draw();
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    window.addEventListener("resize", draw);
    return () => {
      dark.removeEventListener("change", draw);
      window.removeEventListener("resize", draw);
    };
  }, [recording, props.turns]);
  const seek = (event: PointerEvent<HTMLDivElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const seconds = ((event.clientX - box.left) / box.width) * recording.seconds;
    if (audio.current) audio.current.currentTime = seconds;
    setPlace(seconds);
  };
  return (
    <section className="player" aria-label={words.recorded} dir="ltr">
      <audio
        ref={audio}
        src={recording.url}
        preload="metadata"
        onPlay={() => setPlaying(true)}
        onPause={() => setPlaying(false)}
        onTimeUpdate={(event) => setPlace(event.currentTarget.currentTime)}
      />
      <button
        type="button"
        onClick={() => {
          if (!audio.current) return;
          if (playing) audio.current.pause();
          else void audio.current.play().catch(() => setPlaying(false));
        }}
      >
        {playing ? words.pause : words.play}
      </button>
      <div className="waves" onPointerDown={seek}>
        <canvas ref={canvas} height={2 * HEIGHT} aria-hidden="true" />
        <span className="lane">{words.caller}</span>
        <span className="lane below">{words.agent}</span>
        <span className="needle" style={{ left: `${(100 * place) / Math.max(1, recording.seconds)}%` }} />
      </div>
      <input
        type="range"
        min={0}
        max={recording.seconds}
        step={0.1}
        value={place}
        aria-label={words.recorded}
        onChange={(event) => {
          const seconds = Number(event.currentTarget.value);
          if (audio.current) audio.current.currentTime = seconds;
          setPlace(seconds);
        }}
      />
    </section>
  );
}

function drawWaves(canvas: HTMLCanvasElement, recording: Recording, turns: Turn[]): void {
  const pen = canvas.getContext("2d");
  const width = canvas.clientWidth * window.devicePixelRatio;
  if (!pen || width === 0) return;
  canvas.width = width;
  canvas.height = 2 * HEIGHT * window.devicePixelRatio;
  const style = getComputedStyle(canvas);
  const high = canvas.height / 2;
  const lanes = [recording.peaks.caller, recording.peaks.agent];
  const colours = ["--caller", "--agent"];
  for (const [lane, peaks] of lanes.entries()) {
    pen.fillStyle = style.getPropertyValue(colours[lane] ?? "--caller");
    const middle = high * (lane + 0.5);
    for (const [index, peak] of peaks.entries()) {
      const left = (width * index) / recording.peaks_per_s / recording.seconds;
      const tall = Math.max(1, peak * high * 0.9);
      pen.fillRect(left, middle - tall / 2, Math.max(1, width / peaks.length - 0.5), tall);
    }
  }
  for (const turn of turns) {
    for (const [name, colour] of [
      ["speech_end", "--warn"],
      ["first_audio_sent", "--good"],
    ] as const) {
      const ms = turn.stamps[name];
      if (ms === null || ms === undefined) continue;
      pen.fillStyle = style.getPropertyValue(colour);
      pen.fillRect((width * ms) / 1000 / recording.seconds, 0, 1.5 * window.devicePixelRatio, canvas.height);
    }
  }
}
