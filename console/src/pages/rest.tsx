import { useEffect, useMemo, useState } from "react";
import {
  type Decision,
  type Finding,
  Refused,
  type Setting,
  type Workflow,
  ask,
} from "../api";
import { useAsked } from "../data";
import {
  Badge,
  Code,
  Confirmed,
  Empty,
  Go,
  Loading,
  Problem,
  Said,
  When,
  mayApprove,
  shown,
  useShell,
} from "../ui";

export function Workflows(props: { name: string | null }) {
  const { words } = useShell();
  const found = useAsked<{ workflows: Workflow[] }>("/api/workflows", ["workflow"]);
  const workflows = found.value?.workflows ?? [];
  const chosen = workflows.find((one) => one.name === props.name) ?? workflows[0];
  return (
    <>
      <h1>{words.workflows}</h1>
      {found.problem && <Problem problem={found.problem} again={found.again} />}
      {!found.value && !found.problem && <Loading />}
      {found.value && workflows.length === 0 && <Empty>{words.noWorkflows}</Empty>}
      <nav className="tabs" aria-label={words.workflows}>
        {workflows.map((one) => (
          <Go
            key={one.name}
            to={`/workflows/${encodeURIComponent(one.name)}`}
            className={one.name === chosen?.name ? "current" : ""}
          >
            {one.name}
          </Go>
        ))}
      </nav>
      {chosen && <OneWorkflow key={chosen.name} workflow={chosen} again={found.again} />}
    </>
  );
}

interface Content {
  yaml: string;
  svg: string | null;
  mermaid: string | null;
}

function OneWorkflow(props: { workflow: Workflow; again: () => void }) {
  const { words, session } = useShell();
  const { workflow } = props;
  const [version, setVersion] = useState(workflow.current ?? "");
  const [draft, setDraft] = useState<string | null>(null);
  const [said, setSaid] = useState<{ good: boolean; text: string } | null>(null);
  useEffect(() => setVersion(workflow.current ?? ""), [workflow.current]);
  const base = `/api/workflows/${encodeURIComponent(workflow.name)}`;
  const content = useAsked<Content>(version === "" ? null : `${base}/${version}`, []);
  const current = useAsked<Content>(
    workflow.current && version !== workflow.current ? `${base}/${workflow.current}` : null,
    [],
  );
  const publish = (path: string, body: Record<string, string>) => {
    setSaid(null);
    ask(path, body).then(
      () => {
        setDraft(null);
        setSaid({ good: true, text: words.published });
        props.again();
      },
      (error: unknown) => {
        if (error instanceof Refused) setSaid({ good: false, text: error.says });
      },
    );
  };
  const versions = [...new Map(workflow.versions.map((one) => [one.version, one])).values()];
  return (
    <div className="split workflows">
      <section className="side" aria-label={words.version}>
        <ul className="threads">
          {versions.map((one) => (
            <li key={one.version}>
              <button
                type="button"
                className={`row ${one.version === version ? "current" : ""}`}
                onClick={() => {
                  setDraft(null);
                  setVersion(one.version);
                }}
              >
                <span className="thread-head">
                  <Code>{one.version.slice(0, 12)}</Code>
                  {one.version === workflow.current && <Badge kind="good">{words.current}</Badge>}
                </span>
                <span className="soft">
                  <When at={one.published_at} /> <Said>{one.who}</Said>
                </span>
              </button>
            </li>
          ))}
        </ul>
      </section>
      <section className="main" aria-label={workflow.name}>
        {said && (
          <p className={said.good ? "good" : "wrong"} role="status">
            <Said>{said.text}</Said>
          </p>
        )}
        {content.problem && <Problem problem={content.problem} again={content.again} />}
        {!content.value && !content.problem && <Loading />}
        {content.value && (
          <>
            {session.role === "admin" && version !== workflow.current && (
              <p>
                <Confirmed
                  label={words.rollback}
                  question={words.confirmRollback}
                  then={() => publish(`${base}/rollback`, { version })}
                />
              </p>
            )}
            {content.value.svg ? (
              <Picture svg={content.value.svg} name={workflow.name} />
            ) : (
              <Empty>{words.moduleHere}</Empty>
            )}
            {current.value && (
              <>
                <h2>{words.compare}</h2>
                <Lines before={current.value.yaml} after={content.value.yaml} />
              </>
            )}
            <h2>{words.yaml}</h2>
            {draft === null ? (
              <pre dir="ltr" tabIndex={0}>
                {content.value.yaml}
              </pre>
            ) : (
              <form
                onSubmit={(event) => {
                  event.preventDefault();
                  publish(`${base}/publish`, { yaml: draft });
                }}
              >
                <label>
                  {words.publishNew}
                  <textarea
                    dir="ltr"
                    rows={24}
                    spellCheck={false}
                    value={draft}
                    onChange={(event) => setDraft(event.currentTarget.value)}
                  />
                </label>
                <div className="actions">
                  <button type="submit" className="strong">
                    {words.publish}
                  </button>
                  <button type="button" onClick={() => setDraft(null)}>
                    {words.cancel}
                  </button>
                </div>
              </form>
            )}
            {session.role === "admin" && draft === null && content.value.svg && (
              <button type="button" onClick={() => setDraft(content.value?.yaml ?? "")}>
                {words.publishNew}
              </button>
            )}
          </>
        )}
      </section>
    </div>
  );
}

/** As a picture, in which nothing runs and nothing is fetched. */
function Picture(props: { svg: string; name: string }) {
  const url = useMemo(
    () => URL.createObjectURL(new Blob([props.svg], { type: "image/svg+xml" })),
    [props.svg],
  );
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  return <img className="graph" src={url} alt={props.name} />;
}

/** The lines of both that are not in the other. */
function Lines(props: { before: string; after: string }) {
  const before = props.before.split("\n");
  const after = props.after.split("\n");
  const removed = before.filter((line) => !after.includes(line));
  const added = after.filter((line) => !before.includes(line));
  return (
    <pre dir="ltr" className="lines" tabIndex={0}>
      {removed.map((line, index) => (
        <del key={`- ${index}`}>- {line}</del>
      ))}
      {added.map((line, index) => (
        <ins key={`+ ${index}`}>+ {line}</ins>
      ))}
    </pre>
  );
}

export function SettingsPage() {
  const { words, session } = useShell();
  const settings = useAsked<{ settings: Setting[] }>("/api/settings", []);
  const findings = useAsked<{ findings: Finding[]; checked_at: string | null }>("/api/findings", []);
  const [filter, setFilter] = useState("");
  const [changed, setChanged] = useState(false);
  const [looking, setLooking] = useState(false);
  const rows = (settings.value?.settings ?? []).filter(
    (one) =>
      (!changed || one.source !== "default") &&
      `${one.name} ${one.meaning}`.toLowerCase().includes(filter.toLowerCase()),
  );
  return (
    <>
      <h1>{words.settings}</h1>
      <section aria-label={words.findings}>
        <h2>{words.findings}</h2>
        {mayApprove(session) && (
          <button
            type="button"
            disabled={looking}
            onClick={() => {
              setLooking(true);
              ask("/api/findings/run", {}).finally(() => {
                setLooking(false);
                findings.again();
              });
            }}
          >
            {looking ? words.looking : words.look}
          </button>
        )}{" "}
        <When at={findings.value?.checked_at ?? null} />
        {findings.value && findings.value.checked_at === null && <Empty>{words.notLooked}</Empty>}
        <ul className="findings">
          {findings.value?.findings.map((one, index) => (
            <li key={index}>
              <Badge
                kind={one.level === "fault" ? "bad" : one.level === "ok" ? "good" : "plain"}
              >
                {words[one.level]}
              </Badge>{" "}
              <Code>{one.check}</Code> <Said>{one.says}</Said>{" "}
              {one.fix && (
                <strong>
                  <Said>{one.fix}</Said>
                </strong>
              )}
            </li>
          ))}
        </ul>
      </section>
      {settings.problem && <Problem problem={settings.problem} again={settings.again} />}
      <p className="filters">
        <label>
          {words.search}{" "}
          <input
            type="search"
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value)}
          />
        </label>
        <label>
          <input
            type="checkbox"
            checked={changed}
            onChange={(event) => setChanged(event.currentTarget.checked)}
          />{" "}
          {words.onlyChanged}
        </label>
      </p>
      <div className="scroll" role="region" aria-label={words.settings} tabIndex={0}>
        <table className="list">
          <thead>
            <tr>
              <th>{words.setting}</th>
              <th>{words.value}</th>
              <th>{words.source}</th>
              <th>{words.meaning}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((one) => (
              <tr key={one.name}>
                <td>
                  <Code>{one.name}</Code>
                </td>
                <td>
                  <Code>
                    {shown(one.value)} {one.unit}
                  </Code>
                </td>
                <td>{one.source === "default" ? <span className="soft">{one.source}</span> : one.source}</td>
                <td className="soft" lang="en" dir="ltr">
                  {one.meaning}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

export function Audit() {
  const { words, language } = useShell();
  const found = useAsked<{ decisions: Decision[] }>("/api/audit", ["approval", "workflow", "channel"]);
  return (
    <>
      <h1>{words.audit}</h1>
      {found.problem && <Problem problem={found.problem} again={found.again} />}
      {!found.value && !found.problem && <Loading />}
      {found.value?.decisions.length === 0 && <Empty>{words.noDecisions}</Empty>}
      {found.value && found.value.decisions.length > 0 && (
        <div className="scroll" role="region" aria-label={words.audit} tabIndex={0}>
          <table className="list">
            <thead>
              <tr>
                <th>{words.when}</th>
                <th>{words.who}</th>
                <th>{words.what}</th>
                <th>{words.detail}</th>
              </tr>
            </thead>
            <tbody>
              {found.value.decisions.map((one) => (
                <tr key={one.id}>
                  <td>
                    <time dateTime={one.at} dir="ltr">
                      {new Date(one.at).toLocaleString(language)}
                    </time>
                  </td>
                  <td>
                    <Said>{one.user}</Said>
                  </td>
                  <td>
                    {one.what} {one.target && <Code>{one.target}</Code>}
                  </td>
                  <td>
                    <Said>{one.detail}</Said>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
