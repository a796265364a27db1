// What the server says, as it says it. See src/voicelat/console/app.py.

export type Role = "view" | "approve" | "admin";

export interface Session {
  user: string;
  role: Role;
  csrf: string;
  expires_at: string;
}

export interface MetricNumber {
  name: string;
  p50_ms: number | null;
  p95_ms: number | null;
  target_p50_ms: number | null;
  target_p95_ms: number | null;
  ok: boolean | null;
}

export interface Overview {
  turns: number;
  p50_ms: number | null;
  p95_ms: number | null;
  numbers: MetricNumber[];
  legs: { leg: string; p50_ms: number | null; p95_ms: number | null }[];
  barge_ins: number;
  cutoffs: number;
  calls_live: number | null;
  approvals_waiting: number;
}

export interface Call {
  call_id: string;
  started_at: string | null;
  ended_at: string | null;
  live: boolean;
  language: string | null;
  turns: number;
  p50_ms: number | null;
  p95_ms: number | null;
  worst_ms: number | null;
  errors: number;
  has_recording: boolean;
}

export interface Turn {
  turn: number;
  at_ms: number | null;
  total_ms: number | null;
  numbers: Record<string, number | null>;
  legs: Record<string, number | null>;
  spans: { leg: string; from_ms: number; to_ms: number }[];
  outcome: string;
  reason: string | null;
  barge_in: boolean;
  error: string | null;
  caller_text: string | null;
  agent_text: string | null;
  stamps: Record<string, number | null>;
}

export interface Recording {
  url: string;
  seconds: number;
  peaks: { caller: number[]; agent: number[] };
  peaks_per_s: number;
}

export interface CallDetail {
  call: Call;
  turns: Turn[];
  recording: Recording | null;
}

export interface Run {
  run_id: string;
  state: string;
  kind: string | null;
  call_id: string | null;
  workflow: string | null;
  version: string | null;
  began_at: string;
  updated_at: string;
  tools: number;
  waiting: number;
  error: string | null;
}

export interface Entry {
  run_id: string;
  seq: number;
  at: string;
  kind: string;
  agent: string | null;
  tool: string | null;
  decision: string | null;
  who: string | null;
  latency_ms: number | null;
  facts: Record<string, unknown>;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
}

export interface Field {
  name: string;
  label: string;
  kind: "text" | "integer" | "number" | "switch" | "choice" | "time" | "texts" | "table" | "group";
  required: boolean;
  choices: string[];
  help: string;
}

export interface Approval {
  id: string;
  run_id: string;
  call_id: string | null;
  agent: string;
  tool: string;
  about: string;
  arguments: Record<string, unknown> | null;
  shown_sha256: string | null;
  form: Field[];
  rule: string;
  why: string;
  asked_at: string;
  expires_at: string;
  state: "waiting" | "approved" | "rejected" | "expired";
  decided_at: string | null;
  decided_by: string | null;
  reason: string | null;
}

export interface RunDetail {
  run: Run;
  log: Entry[];
  approvals: Approval[];
  before_after: string | null;
}

export interface ProviderState {
  name: "twilio" | "baileys";
  state: string;
  says: string;
  fix: string;
  account: string | null;
  qr: string | null;
  warnings: string[];
  configured: boolean;
}

export interface ChannelStatus {
  provider: "twilio" | "baileys" | null;
  providers: ProviderState[];
  under_way?: number;
  uncertain?: number;
  failed?: number;
  inbound?: number;
  refused?: number;
  forged?: number;
  waits_for?: string | null;
  off?: boolean;
  says?: string;
  fix?: string;
}

export interface Thread {
  thread_id: string;
  lead_id: string | null;
  customer_id: string | null;
  name: string | null;
  phone: string | null;
  external_id: string | null;
  last_text: string;
  last_at: string;
  last_direction: "in" | "out";
  last_status: string;
  last_in_at: string | null;
}

export interface Message {
  message_id: string;
  direction: "in" | "out";
  text: string | null;
  template: string | null;
  template_variables: string[];
  media: { media_id: string; content_type: string; bytes: number | null; file_name: string | null }[];
  at: string;
  status: string;
  error_code: string | null;
  says: string | null;
  provider: string | null;
}

export interface Workflow {
  name: string;
  current: string | null;
  versions: {
    version: string;
    action: string;
    published_at: string;
    who: string | null;
    current: boolean;
  }[];
}

export interface Setting {
  name: string;
  value: unknown;
  default: unknown;
  unit: string;
  source: string;
  meaning: string;
}

export interface Finding {
  check: string;
  level: "fault" | "ok" | "skipped";
  says: string;
  evidence: string;
  fix: string;
}

export interface Decision {
  id: number;
  at: string;
  user: string | null;
  what: string;
  target: string | null;
  detail: string | null;
}

/** A request that was refused, in words for whoever asked. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly says: string,
    readonly fix: string,
  ) {
    super(says);
  }
}

let csrf = "";
let onSignedOut: () => void = () => undefined;

export function signedIn(session: Session): void {
  csrf = session.csrf;
}

export function whenSignedOut(then: () => void): void {
  onSignedOut = then;
}

export async function ask<T>(path: string, body?: unknown): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      credentials: "same-origin",
      headers:
        body === undefined ? {} : { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, "offline", "", "");
  }
  if (answer.status === 204) return undefined as T;
  const told: unknown = await answer.json().catch(() => ({}));
  if (answer.ok) return told as T;
  const said = told as { error?: string; says?: string; fix?: string };
  if (answer.status === 401 && said.error === "not_in") onSignedOut();
  throw new Refused(
    answer.status,
    said.error ?? String(answer.status),
    said.says ?? String(answer.status),
    said.fix ?? "",
  );
}
