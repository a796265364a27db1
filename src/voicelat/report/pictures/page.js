"use strict";
(() => {
  const { figures, look: base, legs, stamps, calls, turns, settings } = page.drawn;
  const PER_PAGE = 30;
  const byId = (id) => document.getElementById(id);
  const at = (turn, name) => turn.at[stamps.indexOf(name)];
  const ms = (value) => (value === null ? "\u2013" : `${value.toLocaleString("en")} ms`);
  const named = (turn) => `${page.plain(calls[turn.c].id)} #${turn.n}`;
  const narrow = () => document.documentElement.clientWidth < 640;

  // A hover is a column of some 70 letters; words are never cut.
  function wrapped(text) {
    const lines = [""];
    for (const word of text.split(" ")) {
      if (lines.at(-1).length + word.length > 70) lines.push("");
      lines[lines.length - 1] += `${lines.at(-1) ? " " : ""}${word}`;
    }
    return lines.map(page.plain).join("<br>");
  }

  function told(turn) {
    const lines = [`<b>${named(turn)}: ${ms(turn.total)}</b>${turn.what && `, ${turn.what}`}`];
    legs.forEach((leg, index) => {
      if (turn.legs[index]) lines.push(`${leg} ${ms(turn.legs[index])}`);
    });
    const facts = [turn.eou && `ended by ${turn.eou}`, turn.cache && `cache ${turn.cache}`];
    if (turn.stall) facts.push(`the loop stood still for ${ms(turn.stall)}`);
    lines.push(facts.filter(Boolean).join(", "));
    if (turn.text) lines.push(`<i>caller:</i> ${wrapped(turn.text)}`);
    if (turn.reply) lines.push(`<i>agent:</i> ${wrapped(turn.reply)}`);
    if (turn.failure) lines.push(`<i>failed:</i> ${wrapped(turn.failure)}`);
    if (settings[turn.s]) lines.push(`<i>settings:</i> ${wrapped(settings[turn.s])}`);
    return lines.filter(Boolean).join("<br>");
  }

  // -- every turn ---------------------------------------------------------------------------
  let sortedBy = "total";
  let fastestFirst = false;
  let from = 0;
  let order = [];

  function valueOf(turn, index) {
    if (sortedBy === "order") return -index;
    return sortedBy === "total" ? turn.total : turn.legs[legs.indexOf(sortedBy)];
  }

  // Unknown is last, whichever way round: it is neither fast nor slow.
  function sort() {
    const keyed = turns.map((turn, index) => [turn, valueOf(turn, index), index]);
    const sign = fastestFirst ? -1 : 1;
    keyed.sort(([, a, i], [, b, j]) =>
      a === null || b === null ? (a === null) - (b === null) || i - j : sign * (b - a) || i - j);
    order = keyed.map(([turn]) => turn);
  }

  function waterfall() {
    const seen = order.slice(from, from + PER_PAGE);
    const y = seen.map((_, index) => index);
    const hover = seen.map(told);
    const bar = (name, colour, x) => ({
      type: "bar", orientation: "h", name, x, y, hovertext: hover, hoverinfo: "text",
      textposition: "none",
      marker: { color: `var(--${colour})` },
    });
    const whole = (turn) => turn.legs.some((leg) => leg !== null);
    const data = legs.map((leg, index) => bar(leg, leg, seen.map((turn) => turn.legs[index])));
    const rest = seen.map((turn) => (whole(turn) ? null : turn.total));
    if (rest.some((total) => total !== null)) data.push(bar("not split", "unsplit", rest));
    const end = (turn) => Math.max(0, turn.total ?? 0);
    data.push({
      type: "scatter", mode: "text", x: seen.map(end), y, cliponaxis: false, showlegend: false,
      text: seen.map((turn) => ` ${ms(turn.total)}${turn.what && `  <b>${turn.what}</b>`}`),
      textposition: "middle right", hoverinfo: "skip",
    });
    const place = byId("waterfall");
    place.style.height = `${90 + 24 * Math.max(seen.length, 3)}px`;
    const longest = Math.max(100, ...seen.map(end));
    page.draw("waterfall", { data, layout: {
      ...base,
      barmode: "stack", bargap: 0.25, legend: { ...base.legend, traceorder: "normal" },
      margin: { l: narrow() ? 92 : 150, r: 20, t: narrow() ? 110 : 40, b: 44 },
      xaxis: { ...base.xaxis, tickvals: null, rangemode: "tozero", range: [0, longest * (narrow() ? 1.7 : 1.28)],
               title: { ...base.xaxis.title, text: "ms from the end of the question" } },
      yaxis: { ...base.yaxis, range: [Math.max(seen.length, 3) - 0.4, -0.6], title: { text: "" },
               tickvals: y, showgrid: false, zeroline: false,
               ticktext: seen.map((turn) => shortened(calls[turn.c].id, turn.n)) },
    } });
    const last = Math.min(from + PER_PAGE, order.length);
    byId("window").textContent = `${(from + 1).toLocaleString("en")}\u2013${last.toLocaleString("en")} of ${order.length.toLocaleString("en")}`;
    byId("back").disabled = from === 0;
    byId("on").disabled = last >= order.length;
  }

  function shortened(id, number) {
    return `${page.plain(id.length > 14 ? `${id.slice(0, 5)}\u2026${id.slice(-7)}` : id)} #${number}`;
  }

  function again(start = 0) {
    from = start;
    sort();
    waterfall();
  }

  // -- one call -----------------------------------------------------------------------------
  const LANES = ["agent", "gate", "voice", "model", "recogniser", "caller"]; // from below
  const MARKS = {
    first_partial: ["recogniser", "circle-open", "var(--endpointing)"],
    last_partial: ["recogniser", "circle", "var(--endpointing)"],
    turn_end: ["recogniser", "diamond", "var(--ink)"],
    stt_final: ["recogniser", "square", "var(--accent)"],
    reply_start: ["model", "circle-open", "var(--llm)"],
    llm_first_token: ["model", "circle", "var(--llm)"],
    tts_request: ["voice", "triangle-right-open", "var(--tts)"],
    tts_ready: ["voice", "triangle-right", "var(--tts)"],
    gate_open: ["gate", "star", "var(--gate)"],
    first_audio_sent: ["agent", "triangle-up", "var(--ink)"],
    first_audio_heard: ["agent", "cross", "var(--ink)"],
    barge_in: ["agent", "x", "var(--bad)"],
  };
  const SPOKEN = { caller: ["speech_start", "speech_end"], agent: ["first_audio_sent", "reply_end"] };

  function lane(own, who) {
    const [start, end] = SPOKEN[who];
    const known = own.filter((turn) => at(turn, start) !== null && at(turn, end) !== null);
    return {
      type: "bar", orientation: "h", name: who, width: 0.8,
      base: known.map((turn) => at(turn, start) / 1000),
      x: known.map((turn) => (at(turn, end) - at(turn, start)) / 1000),
      y: known.map(() => LANES.indexOf(who)),
      marker: { color: `var(--${who}-lane)`, opacity: 0.55 },
      hovertext: known.map((turn) =>
        `<b>${who}, turn ${turn.n}</b><br>${wrapped(who === "caller" ? turn.text : turn.reply)}`),
      hoverinfo: "text", textposition: "none",
    };
  }

  function loudness(wave, who) {
    const x = [];
    const y = [];
    const middle = LANES.indexOf(who);
    wave[who].forEach((peak, index) => {
      const from = (index * wave.step) / 1000;
      x.push(from, from, from + wave.step / 1000, from + wave.step / 1000, null);
      y.push(middle - peak * 0.4, middle + peak * 0.4, middle + peak * 0.4, middle - peak * 0.4, null);
    });
    return {
      type: "scatter", mode: "lines", x, y, fill: "toself", line: { width: 0 },
      fillcolor: `var(--${who}-lane)`, hoverinfo: "skip", showlegend: false, opacity: 0.9,
    };
  }

  function timeline() {
    const call = Number(byId("which").value);
    const own = turns.filter((turn) => turn.c === call);
    const { wave } = calls[call];
    const data = wave ? [loudness(wave, "caller"), loudness(wave, "agent")] : [];
    data.push(lane(own, "caller"), lane(own, "agent"));
    for (const [name, [who, symbol, color]] of Object.entries(MARKS)) {
      const known = own.filter((turn) => at(turn, name) !== null);
      if (!known.length) continue;
      data.push({
        type: "scatter", mode: "markers", name: name.replaceAll("_", " "),
        x: known.map((turn) => at(turn, name) / 1000),
        y: known.map(() => LANES.indexOf(who)),
        marker: { symbol, color, size: 9, line: { color, width: 1.5 } },
        hovertext: known.map((turn) => `turn ${turn.n}: ${name} at ${ms(at(turn, name))}`),
        hoverinfo: "text",
      });
    }
    page.draw("timeline", { data, layout: {
      ...base, barmode: "overlay", uirevision: call,
      margin: { l: 78, r: 18, t: narrow() ? 10 : 66, b: 46 },
      xaxis: { ...base.xaxis, rangemode: "normal", title: { ...base.xaxis.title, text: "seconds since the call began" } },
      yaxis: { ...base.yaxis, range: [-0.6, 5.6], tickvals: LANES.map((_, lane) => lane), ticktext: LANES,
               title: { text: "" }, fixedrange: true, zeroline: false },
      showlegend: !narrow(),
    } });
  }

  function show(call, number) {
    byId("which").value = call;
    timeline();
    const turn = turns.find((one) => one.c === call && one.n === number);
    const instants = turn ? turn.at.filter((instant) => instant !== null) : [];
    if (instants.length) {
      const [low, high] = [Math.min(...instants) / 1000 - 1, Math.max(...instants) / 1000 + 1];
      Plotly.relayout(byId("timeline"), { "xaxis.range": [low, high] });
    }
  }

  page.whenever(() => {
    for (const [id, figure] of Object.entries(figures)) page.draw(id, figure);
  });
  if (!turns.length) return;

  calls.forEach((call, index) => {
    const count = turns.filter((turn) => turn.c === index).length;
    byId("which").add(new Option(`${call.id}${call.utc && `, ${call.utc}`} (${count})`, index));
  });
  byId("which").addEventListener("change", timeline);
  byId("sort").addEventListener("change", (event) => {
    sortedBy = event.target.value;
    again();
  });
  byId("reverse").addEventListener("click", (event) => {
    fastestFirst = !fastestFirst;
    event.target.setAttribute("aria-pressed", String(fastestFirst));
    again();
  });
  byId("back").addEventListener("click", () => again(Math.max(0, from - PER_PAGE)));
  byId("on").addEventListener("click", () => again(from + PER_PAGE));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-call]");
    if (link) show(Number(link.dataset.call), Number(link.dataset.turn));
  });
  sort();
  page.whenever(waterfall);
  page.whenever(timeline);
  byId("waterfall").on("plotly_click", ({ points: [point] }) => {
    const turn = order[from + point.y];
    show(turn.c, turn.n);
    byId("call").scrollIntoView({ behavior: "smooth" });
  });
})();
