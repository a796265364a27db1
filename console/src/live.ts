// What the server tells by itself: one stream for the whole page, taken up again where it broke off.

import { useEffect, useReducer, useSyncExternalStore } from "react";

export type Told =
  | { kind: "call"; data: { call_id: string } }
  | { kind: "turn"; data: { call_id: string; turn: number } }
  | { kind: "run"; data: { run_id: string; entry: unknown } }
  | { kind: "approval"; data: { approval: unknown } }
  | { kind: "message"; data: { thread_id: string; message_id: string; status: string } }
  | { kind: "channel"; data: { status: unknown } }
  | { kind: "workflow"; data: { name: string } }
  | { kind: "reset"; data: Record<string, never> };

export type Kind = Told["kind"];

const KINDS: Kind[] = [
  "call",
  "turn",
  "run",
  "approval",
  "message",
  "channel",
  "workflow",
  "reset",
];

type Listener = (told: Told) => void;

const listeners = new Set<Listener>();
const watchers = new Set<() => void>();
let source: EventSource | null = null;
let connected = true;
let last = "";
let timer: number | undefined;

function setConnected(now: boolean): void {
  if (connected === now) return;
  connected = now;
  for (const watcher of watchers) watcher();
}

/** Begins to listen; the browser comes back by itself, and so do we where it gives up. */
export function listen(): void {
  source?.close();
  source = new EventSource(last ? `/api/events?after=${last}` : "/api/events");
  source.onopen = () => setConnected(true);
  source.onerror = () => {
    setConnected(false);
    if (source?.readyState === EventSource.CLOSED) {
      window.clearTimeout(timer);
      timer = window.setTimeout(listen, 1500);
    }
  };
  source.addEventListener("hello", (event) => {
    last = event.lastEventId;
  });
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      last = event.lastEventId;
      const told = { kind, data: JSON.parse(event.data) } as Told;
      for (const listener of [...listeners]) listener(told);
    });
  }
}

export function stopListening(): void {
  window.clearTimeout(timer);
  source?.close();
  source = null;
}

export function useConnected(): boolean {
  return useSyncExternalStore(
    (then) => {
      watchers.add(then);
      return () => watchers.delete(then);
    },
    () => connected,
  );
}

export function useTold(then: Listener): void {
  useEffect(() => {
    listeners.add(then);
    return () => {
      listeners.delete(then);
    };
  }, [then]);
}

/** Renders again every so often: relative times move on. */
export function useClock(everyMs: number): number {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const id = window.setInterval(again, everyMs);
    return () => window.clearInterval(id);
  }, [everyMs]);
  return Date.now();
}
