// What is shown, asked for again when something of its kind is told of.

import { useCallback, useEffect, useRef, useState } from "react";
import { Refused, ask } from "./api";
import { type Kind, type Told, useTold } from "./live";

export interface Loaded<T> {
  value: T | null;
  problem: Refused | null;
  again: () => void;
}

const GATHER_MS = 150;

/** `path` null: nothing is asked for. `kinds`: what makes it worth asking again. */
export function useAsked<T>(
  path: string | null,
  kinds: Kind[],
  concerns: (told: Told) => boolean = () => true,
): Loaded<T> {
  const [value, setValue] = useState<T | null>(null);
  const [problem, setProblem] = useState<Refused | null>(null);
  const current = useRef(path);
  const timer = useRef<number | undefined>(undefined);
  const latest = useRef({ kinds, concerns });
  latest.current = { kinds, concerns };
  const load = useCallback(() => {
    const asked = current.current;
    if (asked === null) return;
    ask<T>(asked).then(
      (told) => {
        if (current.current !== asked) return;
        setValue(told);
        setProblem(null);
      },
      (error: unknown) => {
        if (current.current === asked && error instanceof Refused) setProblem(error);
      },
    );
  }, []);
  useEffect(() => {
    current.current = path;
    setValue(null);
    setProblem(null);
    load();
  }, [path, load]);
  useTold(
    useCallback(
      (told: Told) => {
        const { kinds: wanted, concerns: mine } = latest.current;
        if (told.kind !== "reset" && !(wanted.includes(told.kind) && mine(told))) return;
        // A burst of news is one question.
        if (timer.current !== undefined) return;
        timer.current = window.setTimeout(() => {
          timer.current = undefined;
          load();
        }, GATHER_MS);
      },
      [load],
    ),
  );
  return { value, problem, again: load };
}
