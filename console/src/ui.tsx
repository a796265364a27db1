// The small things every page is made of.

import { type ReactNode, createContext, useContext, useState } from "react";
import type { Refused, Session } from "./api";
import { type Language, WORDS, type Words } from "./words";

export interface Shell {
  words: Words;
  language: Language;
  session: Session;
  go: (path: string) => void;
}

export const ShellContext = createContext<Shell | null>(null);

export function useShell(): Shell {
  const shell = useContext(ShellContext);
  if (shell === null) throw new Error("outside of the shell");
  return shell;
}

export function mayApprove(session: Session): boolean {
  return session.role !== "view";
}

export function savedLanguage(): Language {
  const saved = localStorage.getItem("language");
  if (saved === "he" || saved === "en") return saved;
  return navigator.language.startsWith("he") ? "he" : "en";
}

export function wordsOf(language: Language): Words {
  return WORDS[language];
}

/** A link inside the page. */
export function Go(props: { to: string; className?: string; children: ReactNode }) {
  const { go } = useShell();
  return (
    <a
      href={props.to}
      className={props.className}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        go(props.to);
      }}
    >
      {props.children}
    </a>
  );
}

/** Something a stranger wrote: its direction is its own. */
export function Said(props: { children: string | null | undefined }) {
  return <bdi className="said">{props.children}</bdi>;
}

/** Names, numbers and ids: left to right in any language. */
export function Code(props: { children: ReactNode; title?: string }) {
  return (
    <code dir="ltr" title={props.title}>
      {props.children}
    </code>
  );
}

export function Ms(props: { value: number | null | undefined }) {
  const { words } = useShell();
  if (props.value === null || props.value === undefined)
    return <span className="soft" title={words.unknown}>–</span>;
  const text =
    props.value < 1000 ? `${props.value} ms` : `${(props.value / 1000).toFixed(2)} s`;
  return (
    <span dir="ltr" className="number">
      {text}
    </span>
  );
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

export function When(props: { at: string | null }) {
  const { language, words } = useShell();
  if (props.at === null) return <span className="soft">–</span>;
  const at = new Date(props.at);
  const seconds = (at.getTime() - Date.now()) / 1000;
  const unit = UNITS.find(([, size]) => Math.abs(seconds) >= size);
  const text = unit
    ? new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(
        Math.round(seconds / unit[1]),
        unit[0],
      )
    : words.justNow;
  return (
    <time dateTime={props.at} title={at.toLocaleString(language)} className="soft">
      {text}
    </time>
  );
}

export function Badge(props: { kind: "good" | "bad" | "warn" | "plain"; children: ReactNode }) {
  return <span className={`badge ${props.kind}`}>{props.children}</span>;
}

export function Empty(props: { children: ReactNode }) {
  return <p className="empty">{props.children}</p>;
}

export function Loading() {
  const { words } = useShell();
  return (
    <p className="empty" aria-busy="true">
      {words.loading}
    </p>
  );
}

export function Problem(props: { problem: Refused; again?: () => void }) {
  const { words } = useShell();
  const { problem } = props;
  return (
    <div className="problem" role="alert">
      <strong>{problem.code === "offline" ? words.offline : <Said>{problem.says}</Said>}</strong>
      {problem.fix !== "" && <span> <Said>{problem.fix}</Said></span>}
      {props.again && (
        <button type="button" onClick={props.again}>
          {words.tryAgain}
        </button>
      )}
    </div>
  );
}

/** A button that asks once more before it does what it says. */
export function Confirmed(props: {
  label: string;
  question: string;
  className?: string;
  disabled?: boolean;
  then: () => void;
}) {
  const { words } = useShell();
  const [asking, setAsking] = useState(false);
  if (!asking)
    return (
      <button
        type="button"
        className={props.className}
        disabled={props.disabled}
        onClick={() => setAsking(true)}
      >
        {props.label}
      </button>
    );
  return (
    <span className="confirm" role="group" aria-label={props.question}>
      <span>{props.question}</span>
      <button
        type="button"
        className="strong"
        autoFocus
        onClick={() => {
          setAsking(false);
          props.then();
        }}
      >
        {words.yes}
      </button>
      <button type="button" onClick={() => setAsking(false)}>
        {words.cancel}
      </button>
    </span>
  );
}

/** JSON as a person reads it: keys and values, one to a line. */
export function Facts(props: { of: Record<string, unknown> }) {
  const entries = Object.entries(props.of);
  const { words } = useShell();
  if (entries.length === 0) return <span className="soft">{words.empty}</span>;
  return (
    <dl className="facts">
      {entries.map(([key, value]) => (
        <div key={key}>
          <dt>
            <Code>{key}</Code>
          </dt>
          <dd>
            <Said>{shown(value)}</Said>
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function shown(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value.join(" · ");
  return JSON.stringify(value, null, 1);
}

/** What changed: rows of keys whose values differ, before beside after. */
export function Difference(props: {
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
}) {
  const { words } = useShell();
  const before = props.before ?? {};
  const after = props.after ?? {};
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]),
  );
  if (keys.length === 0) return null;
  return (
    <table className="difference">
      <thead>
        <tr>
          <th />
          <th>{words.before}</th>
          <th>{words.after}</th>
        </tr>
      </thead>
      <tbody>
        {keys.map((key) => (
          <tr key={key}>
            <th scope="row">
              <Code>{key}</Code>
            </th>
            <td>
              <del>
                <Said>{key in before ? shown(before[key]) : ""}</Said>
              </del>
            </td>
            <td>
              <ins>
                <Said>{key in after ? shown(after[key]) : ""}</Said>
              </ins>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
