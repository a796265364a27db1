import { type FormEvent, StrictMode, useCallback, useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { type Approval, Refused, type Session, ask, signedIn, whenSignedOut } from "./api";
import { type Told, listen, stopListening, useConnected, useTold } from "./live";
import { Agents } from "./pages/agents";
import { Calls } from "./pages/calls";
import { Audit, SettingsPage, Workflows } from "./pages/rest";
import { WhatsApp } from "./pages/whatsapp";
import "./style.css";
import { Go, ShellContext, savedLanguage, wordsOf } from "./ui";
import type { Language, Words } from "./words";

const PAGES = ["calls", "agents", "whatsapp", "workflows", "settings", "audit"] as const;
type Theme = "auto" | "light" | "dark";

function savedTheme(): Theme {
  const saved = localStorage.getItem("theme");
  return saved === "light" || saved === "dark" ? saved : "auto";
}

function App() {
  const [language, setLanguage] = useState<Language>(savedLanguage);
  const [theme, setTheme] = useState<Theme>(savedTheme);
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  const words = wordsOf(language);
  useEffect(() => {
    document.documentElement.lang = language;
    document.documentElement.dir = language === "he" ? "rtl" : "ltr";
    localStorage.setItem("language", language);
  }, [language]);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
  }, [theme]);
  const enter = useCallback((begun: Session) => {
    signedIn(begun);
    listen();
    setSession(begun);
  }, []);
  useEffect(() => {
    whenSignedOut(() => {
      stopListening();
      setSession(null);
    });
    // A link signs in by itself; whoever is in already stays who they are otherwise.
    if (location.pathname === "/login" && location.hash.length > 1) {
      setSession(null);
      return;
    }
    ask<Session>("/api/session").then(enter, () => setSession(null));
  }, [enter]);
  const controls = (
    <Controls
      words={words}
      language={language}
      setLanguage={setLanguage}
      theme={theme}
      setTheme={setTheme}
    />
  );
  if (session === undefined)
    return (
      <p className="empty" aria-busy="true">
        {words.loading}
      </p>
    );
  if (session === null) return <Login words={words} enter={enter} controls={controls} />;
  return (
    <Inside
      words={words}
      language={language}
      session={session}
      controls={controls}
      leave={() => {
        ask("/api/logout", {}).finally(() => {
          stopListening();
          setSession(null);
        });
      }}
    />
  );
}

function Controls(props: {
  words: Words;
  language: Language;
  setLanguage: (language: Language) => void;
  theme: Theme;
  setTheme: (theme: Theme) => void;
}) {
  const { words } = props;
  return (
    <div className="controls">
      <label>
        <span className="hidden">{words.language}</span>
        <select
          value={props.language}
          onChange={(event) => props.setLanguage(event.currentTarget.value as Language)}
        >
          <option value="en" lang="en">
            English
          </option>
          <option value="he" lang="he">
            עברית
          </option>
        </select>
      </label>
      <label>
        <span className="hidden">{words.theme}</span>
        <select
          value={props.theme}
          onChange={(event) => props.setTheme(event.currentTarget.value as Theme)}
        >
          <option value="auto">{words.auto}</option>
          <option value="light">{words.light}</option>
          <option value="dark">{words.dark}</option>
        </select>
      </label>
    </div>
  );
}

function Login(props: {
  words: Words;
  enter: (session: Session) => void;
  controls: React.ReactNode;
}) {
  const { words } = props;
  const token = location.pathname === "/login" ? location.hash.slice(1) : "";
  const [busy, setBusy] = useState(token !== "");
  const [problem, setProblem] = useState("");
  const { enter } = props;
  useEffect(() => {
    if (token === "") return;
    // The token must not stay in the history.
    history.replaceState(null, "", "/login");
    ask<Session>("/api/login/link", { token }).then(
      (session) => {
        history.replaceState(null, "", "/calls");
        enter(session);
      },
      (error: unknown) => {
        setBusy(false);
        setProblem(error instanceof Refused && error.status === 401 ? words.linkFailed : String(error));
      },
    );
    // Once: a link opens once.
  }, []);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem("");
    ask<Session>("/api/login", { user: form.get("user"), password: form.get("password") }).then(
      (session) => {
        if (location.pathname === "/login") history.replaceState(null, "", "/calls");
        enter(session);
      },
      (error: unknown) => {
        setBusy(false);
        setProblem(error instanceof Refused ? error.says || words.offline : String(error));
      },
    );
  };
  return (
    <main className="login">
      <form className="card" onSubmit={submit}>
        <h1>voicelat</h1>
        <label>
          {words.user}
          <input name="user" autoComplete="username" required autoFocus dir="auto" />
        </label>
        <label>
          {words.password}
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        <button type="submit" className="strong" disabled={busy}>
          {busy ? words.signingIn : words.signIn}
        </button>
        {problem !== "" && (
          <p className="wrong" role="alert">
            {problem}
          </p>
        )}
        {props.controls}
      </form>
    </main>
  );
}

function Inside(props: {
  words: Words;
  language: Language;
  session: Session;
  controls: React.ReactNode;
  leave: () => void;
}) {
  const { words, language, session } = props;
  const [path, setPath] = useState(location.pathname);
  const [said, setSaid] = useState("");
  const connected = useConnected();
  const go = useCallback((to: string) => {
    history.pushState(null, "", to);
    setPath(to);
    window.scrollTo(0, 0);
    document.getElementById("content")?.focus();
  }, []);
  useEffect(() => {
    const back = () => setPath(location.pathname);
    window.addEventListener("popstate", back);
    return () => window.removeEventListener("popstate", back);
  }, []);
  useTold(
    useCallback(
      (told: Told) => {
        if (told.kind !== "approval") return;
        const approval = told.data.approval as Approval;
        if (approval.state === "waiting")
          setSaid(`${words.newApproval} ${approval.agent}, ${approval.tool}`);
      },
      [words],
    ),
  );
  const [, page = "calls", part] = path.split("/");
  const detail = part ? decodeURIComponent(part) : null;
  const shell = useMemo(() => ({ words, language, session, go }), [words, language, session, go]);
  return (
    <ShellContext value={shell}>
      <a className="skip" href="#content">
        {words.skip}
      </a>
      <header className="top">
        <strong className="brand">voicelat</strong>
        <nav aria-label="voicelat">
          {PAGES.map((name) => (
            <Go key={name} to={`/${name}`} className={name === page ? "current" : ""}>
              {words[name]}
            </Go>
          ))}
        </nav>
        <div className="who">
          {props.controls}
          <span className="soft">
            <bdi>{session.user}</bdi> · {session.role}
          </span>
          <button type="button" className="quiet" onClick={props.leave}>
            {words.signOut}
          </button>
        </div>
      </header>
      {!connected && (
        <p className="banner" role="status">
          {words.reconnecting}
        </p>
      )}
      <p className="hidden" role="status" aria-live="polite">
        {said}
      </p>
      <main id="content" tabIndex={-1}>
        {page === "agents" ? (
          <Agents runId={detail} />
        ) : page === "whatsapp" ? (
          <WhatsApp threadId={detail} />
        ) : page === "workflows" ? (
          <Workflows name={detail} />
        ) : page === "settings" ? (
          <SettingsPage />
        ) : page === "audit" ? (
          <Audit />
        ) : (
          <Calls callId={detail} />
        )}
      </main>
    </ShellContext>
  );
}

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
