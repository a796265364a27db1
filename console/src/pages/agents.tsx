import { useCallback, useEffect, useRef, useState } from "react";
import { type Approval, type Entry, type Field, Refused, type Run, type RunDetail, ask } from "../api";
import { useAsked } from "../data";
import { useClock } from "../live";
import {
  Badge,
  Code,
  Difference,
  Empty,
  Facts,
  Go,
  Loading,
  Ms,
  Problem,
  Said,
  When,
  mayApprove,
  shown,
  useShell,
} from "../ui";

export function Agents(props: { runId: string | null }) {
  return props.runId === null ? <AllRuns /> : <OneRun runId={props.runId} />;
}

function AllRuns() {
  const { words } = useShell();
  useClock(20_000);
  const runs = useAsked<{ runs: Run[]; next: string | null }>("/api/runs", ["run", "approval"]);
  const [older, setOlder] = useState<Run[]>([]);
  const [next, setNext] = useState<string | null | undefined>(undefined);
  const following = next === undefined ? (runs.value?.next ?? null) : next;
  const newest = runs.value?.runs ?? [];
  const seen = new Set(newest.map((run) => run.run_id));
  const all = [...newest, ...older.filter((run) => !seen.has(run.run_id))];
  return (
    <>
      <h1>{words.agents}</h1>
      <Approvals />
      <h2>{words.runs}</h2>
      {runs.problem && <Problem problem={runs.problem} again={runs.again} />}
      {!runs.value && !runs.problem && <Loading />}
      {runs.value && all.length === 0 && <Empty>{words.noRuns}</Empty>}
      {all.length > 0 && (
        <div className="scroll" role="region" aria-label={words.runs} tabIndex={0}>
          <table className="list">
            <thead>
              <tr>
                <th>{words.runs}</th>
                <th>{words.what}</th>
                <th>{words.workflow}</th>
                <th className="end">{words.tools}</th>
                <th>{words.when}</th>
              </tr>
            </thead>
            <tbody>
              {all.map((run) => (
                <tr key={run.run_id}>
                  <td>
                    <Go to={`/agents/${encodeURIComponent(run.run_id)}`}>
                      <Code>{run.run_id}</Code>
                    </Go>
                  </td>
                  <td>
                    <StateBadge run={run} />
                  </td>
                  <td>
                    {run.workflow && (
                      <Code title={run.version ?? ""}>
                        {run.workflow}@{(run.version ?? "").slice(0, 8)}
                      </Code>
                    )}
                  </td>
                  <td className="end">{run.tools}</td>
                  <td>
                    <When at={run.updated_at} />
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
            ask<{ runs: Run[]; next: string | null }>(
              `/api/runs?before=${encodeURIComponent(following)}`,
            ).then(
              (page) => {
                setOlder([...older, ...page.runs]);
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

function StateBadge(props: { run: Run }) {
  const { words } = useShell();
  const { run } = props;
  if (run.waiting > 0)
    return (
      <Badge kind="warn">
        {run.waiting} {words.waitingNow}
      </Badge>
    );
  const kind = run.state === "ended" ? "good" : run.state === "dead" ? "bad" : "plain";
  return <Badge kind={kind}>{run.state}</Badge>;
}

function Approvals() {
  const { words, session } = useShell();
  const waiting = useAsked<{ approvals: Approval[] }>("/api/approvals", ["approval"]);
  const list = useRef<HTMLDivElement>(null);
  const approvals = waiting.value?.approvals ?? [];
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)) return;
      const cards = [...(list.current?.querySelectorAll<HTMLElement>(".approval") ?? [])];
      const current = cards.findIndex((card) => card.contains(document.activeElement));
      if (event.key === "j" || event.key === "k") {
        const step = event.key === "j" ? 1 : -1;
        cards[Math.max(0, Math.min(cards.length - 1, current + step))]?.focus();
        event.preventDefault();
      }
      const wanted = { a: ".do-approve", r: ".do-reject", e: ".do-edit" }[event.key];
      if (wanted && current >= 0) {
        cards[current]?.querySelector<HTMLButtonElement>(wanted)?.click();
        event.preventDefault();
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  return (
    <section aria-label={words.approvals}>
      <h2>
        {words.approvals} {approvals.length > 0 && <Badge kind="warn">{approvals.length}</Badge>}
      </h2>
      {waiting.problem && <Problem problem={waiting.problem} again={waiting.again} />}
      {waiting.value && approvals.length === 0 && <Empty>{words.noApprovals}</Empty>}
      {approvals.length > 0 && (
        <p className="soft">{mayApprove(session) ? words.keys : words.mayNot}</p>
      )}
      <div ref={list} className="approvals">
        {approvals.map((approval) => (
          <ApprovalCard key={approval.id} approval={approval} again={waiting.again} />
        ))}
      </div>
    </section>
  );
}

export function ApprovalCard(props: { approval: Approval; again: () => void }) {
  const { words, session } = useShell();
  const { approval } = props;
  const [doing, setDoing] = useState<"look" | "edit" | "reject">("look");
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const decide = useCallback(
    (verb: "approve" | "reject", body: Record<string, unknown>) => {
      setBusy(true);
      setProblem(null);
      ask(`/api/approvals/${encodeURIComponent(approval.id)}/${verb}`, body).then(
        () => {
          setBusy(false);
          setDoing("look");
          props.again();
        },
        (error: unknown) => {
          setBusy(false);
          if (!(error instanceof Refused)) return;
          if (error.code === "changed") setProblem(words.changedSince);
          else if (error.code === "decided") setProblem(`${words.decidedElse} ${error.says}`);
          else setProblem(error.says || words.offline);
          props.again();
        },
      );
    },
    [approval.id, props, words],
  );
  const may = mayApprove(session) && approval.state === "waiting";
  return (
    <article
      className={`card approval ${approval.state}`}
      tabIndex={-1}
      aria-label={`${approval.agent} ${words.asks} ${approval.tool}`}
    >
      <header>
        <strong>{approval.agent}</strong> {words.asks} <Code>{approval.tool}</Code>
        <span className="soft">
          {" "}
          · <When at={approval.asked_at} />
        </span>
      </header>
      <p className="soft">
        <Said>{approval.about}</Said>
      </p>
      {doing === "edit" ? (
        <Editor
          approval={approval}
          busy={busy}
          cancel={() => setDoing("look")}
          then={(edited) =>
            decide("approve", { arguments: edited, shown_sha256: approval.shown_sha256 })
          }
        />
      ) : (
        approval.arguments && <Facts of={approval.arguments} />
      )}
      <p className="soft">
        <Said>{approval.why}</Said> ·{" "}
        <Go to={`/agents/${encodeURIComponent(approval.run_id)}`}>
          <Code>{approval.run_id}</Code>
        </Go>
      </p>
      {problem && (
        <p className="wrong" role="alert">
          <Said>{problem}</Said>
        </p>
      )}
      {approval.state !== "waiting" && (
        <p>
          <Badge kind={approval.state === "approved" ? "good" : "bad"}>
            {approval.state === "approved"
              ? words.approvedBy
              : approval.state === "rejected"
                ? words.rejectedBy
                : words.expired}
          </Badge>{" "}
          <Said>{approval.decided_by}</Said> <Said>{approval.reason}</Said>
        </p>
      )}
      {may && doing === "look" && (
        <div className="actions">
          <button
            type="button"
            className="strong do-approve"
            disabled={busy}
            onClick={() =>
              decide("approve", { arguments: null, shown_sha256: approval.shown_sha256 })
            }
          >
            {words.approve}
          </button>
          <button type="button" className="do-edit" disabled={busy} onClick={() => setDoing("edit")}>
            {words.edit}
          </button>
          <button
            type="button"
            className="do-reject"
            disabled={busy}
            onClick={() => setDoing("reject")}
          >
            {words.reject}
          </button>
        </div>
      )}
      {may && doing === "reject" && (
        <form
          className="actions"
          onSubmit={(event) => {
            event.preventDefault();
            decide("reject", { reason });
          }}
        >
          <label className="grow">
            {words.rejectWhy}
            <input
              value={reason}
              required
              maxLength={500}
              autoFocus
              dir="auto"
              onChange={(event) => setReason(event.currentTarget.value)}
            />
          </label>
          <button type="submit" className="danger" disabled={busy || reason.trim() === ""}>
            {words.rejectSend}
          </button>
          <button type="button" onClick={() => setDoing("look")}>
            {words.cancel}
          </button>
        </form>
      )}
    </article>
  );
}

type Values = Record<string, unknown>;

function Editor(props: {
  approval: Approval;
  busy: boolean;
  cancel: () => void;
  then: (edited: Values) => void;
}) {
  const { words } = useShell();
  const [values, setValues] = useState<Values>(() => ({ ...props.approval.arguments }));
  const [json, setJson] = useState<string | null>(null);
  const [wrong, setWrong] = useState(false);
  const plain = props.approval.form.every((field) => !["table", "group"].includes(field.kind));
  const asJson = json !== null || !plain;
  const submit = () => {
    if (!asJson) {
      props.then(values);
      return;
    }
    try {
      const read: unknown = JSON.parse(json ?? JSON.stringify(values));
      if (typeof read !== "object" || read === null || Array.isArray(read)) throw new Error();
      props.then(read as Values);
    } catch {
      setWrong(true);
    }
  };
  return (
    <form
      className="editor"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {asJson ? (
        <label>
          {words.arguments} {words.asJson}
          <textarea
            dir="ltr"
            rows={8}
            autoFocus
            spellCheck={false}
            value={json ?? JSON.stringify(values, null, 2)}
            onChange={(event) => {
              setWrong(false);
              setJson(event.currentTarget.value);
            }}
          />
        </label>
      ) : (
        props.approval.form.map((field, index) => (
          <FormField
            key={field.name}
            field={field}
            first={index === 0}
            value={values[field.name]}
            set={(value) => setValues({ ...values, [field.name]: value })}
          />
        ))
      )}
      {wrong && (
        <p className="wrong" role="alert">
          {words.badJson}
        </p>
      )}
      <div className="actions">
        <button type="submit" className="strong" disabled={props.busy}>
          {words.approveEdited}
        </button>
        {plain && (
          <button
            type="button"
            onClick={() => setJson(json === null ? JSON.stringify(values, null, 2) : null)}
          >
            {json === null ? words.asJson : words.edit}
          </button>
        )}
        <button type="button" onClick={props.cancel}>
          {words.cancel}
        </button>
      </div>
    </form>
  );
}

function FormField(props: {
  field: Field;
  first: boolean;
  value: unknown;
  set: (value: unknown) => void;
}) {
  const { words } = useShell();
  const { field, value } = props;
  const text = value === null || value === undefined ? "" : String(value);
  const emptied = (said: string) => (said === "" && !field.required ? null : said);
  return (
    <label>
      <span>
        {field.label} <Code>{field.name}</Code>
        {field.kind === "texts" && <span className="soft"> {words.onePerLine}</span>}
      </span>
      {field.kind === "switch" ? (
        <input
          type="checkbox"
          checked={value === true}
          onChange={(event) => props.set(event.currentTarget.checked)}
        />
      ) : field.kind === "choice" ? (
        <select value={text} onChange={(event) => props.set(emptied(event.currentTarget.value))}>
          {!field.required && <option value="">–</option>}
          {field.choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : field.kind === "texts" ? (
        <textarea
          rows={3}
          dir="auto"
          autoFocus={props.first}
          value={Array.isArray(value) ? value.join("\n") : text}
          onChange={(event) =>
            props.set(
              event.currentTarget.value === "" ? [] : event.currentTarget.value.split("\n"),
            )
          }
        />
      ) : field.kind === "integer" || field.kind === "number" ? (
        <input
          type="number"
          step={field.kind === "integer" ? 1 : "any"}
          value={text}
          autoFocus={props.first}
          onChange={(event) =>
            props.set(event.currentTarget.value === "" ? null : Number(event.currentTarget.value))
          }
        />
      ) : (
        <textarea
          rows={text.length > 80 ? 4 : 1}
          dir="auto"
          autoFocus={props.first}
          value={text}
          onChange={(event) => props.set(emptied(event.currentTarget.value))}
        />
      )}
      {field.help !== "" && <span className="soft">{field.help}</span>}
    </label>
  );
}

function OneRun(props: { runId: string }) {
  const { words, session } = useShell();
  useClock(20_000);
  const found = useAsked<RunDetail>(
    `/api/runs/${encodeURIComponent(props.runId)}`,
    ["run", "approval"],
    (told) =>
      told.kind === "approval" || ("run_id" in told.data && told.data.run_id === props.runId),
  );
  const detail = found.value;
  return (
    <>
      <p>
        <Go to="/agents">← {words.agents}</Go>
      </p>
      <h1>
        <Code>{props.runId}</Code>
      </h1>
      {found.problem && <Problem problem={found.problem} again={found.again} />}
      {!detail && !found.problem && <Loading />}
      {detail && (
        <>
          <p>
            <StateBadge run={detail.run} />{" "}
            {detail.run.workflow && (
              <Go to={`/workflows/${encodeURIComponent(detail.run.workflow)}`}>
                <Code title={detail.run.version ?? ""}>
                  {detail.run.workflow}@{(detail.run.version ?? "").slice(0, 12)}
                </Code>
              </Go>
            )}{" "}
            {detail.run.call_id && (
              <Go to={`/calls/${encodeURIComponent(detail.run.call_id)}`}>
                {words.call} <Code>{detail.run.call_id}</Code>
              </Go>
            )}
          </p>
          {detail.run.error && (
            <p className="wrong">
              <Said>{detail.run.error}</Said>
            </p>
          )}
          {detail.run.state === "dead" && mayApprove(session) && (
            <button
              type="button"
              onClick={() =>
                ask(`/api/runs/${encodeURIComponent(props.runId)}/retry`, {}).then(
                  found.again,
                  found.again,
                )
              }
            >
              {words.retry}
            </button>
          )}
          {detail.approvals.map((approval) => (
            <ApprovalCard key={approval.id} approval={approval} again={found.again} />
          ))}
          <h2>{words.log}</h2>
          {detail.before_after && (
            <p className="soft">
              <Said>{detail.before_after}</Said>
            </p>
          )}
          <ol className="log">
            {detail.log.map((entry) => (
              <LogLine key={`${entry.seq} ${entry.kind}`} entry={entry} />
            ))}
          </ol>
        </>
      )}
    </>
  );
}

function LogLine(props: { entry: Entry }) {
  const { words, language } = useShell();
  const { entry } = props;
  const at = new Date(entry.at);
  const wrote = entry.after !== null || entry.before !== null;
  return (
    <li className={`log-line ${entry.kind.replaceAll(" ", "-")}`}>
      <div className="log-head">
        <time dateTime={entry.at} className="soft" dir="ltr">
          {at.toLocaleTimeString(language)}
        </time>
        <strong>{entry.kind}</strong>
        {entry.kind === "node" && <Code>{shown(entry.facts.node ?? entry.facts.name)}</Code>}
        {entry.agent && <span>{entry.agent}</span>}
        {entry.tool && <Code>{entry.tool}</Code>}
        {entry.decision && (
          <Badge
            kind={
              entry.decision === "allow" || entry.decision === "approved"
                ? "good"
                : entry.decision === "ask"
                  ? "warn"
                  : "bad"
            }
          >
            {entry.decision}
          </Badge>
        )}
        {entry.kind === "called" && <Badge kind="plain">{wrote ? words.wrote : words.read}</Badge>}
        {entry.latency_ms !== null && <Ms value={entry.latency_ms} />}
        {entry.who && (
          <span className="soft">
            <Said>{entry.who}</Said>
          </span>
        )}
      </div>
      <Difference before={entry.before} after={entry.after} />
      {Object.keys(entry.facts).length > 0 && (
        <details open={entry.kind === "failed" || entry.kind === "dead"}>
          <summary>{words.facts}</summary>
          <Facts of={entry.facts} />
        </details>
      )}
    </li>
  );
}
