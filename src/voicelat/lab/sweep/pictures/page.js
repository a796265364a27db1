"use strict";
(() => {
  const root = document.documentElement;
  const { figures, slices, knobs } = JSON.parse(document.getElementById("figures").textContent);
  const config = {
    displaylogo: false,
    modeBarButtons: [["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"], ["toImage"]],
    toImageButtonOptions: { filename: "voicelat-sweep", scale: 2 },
  };

  // Colours are CSS variables of the page: resolved at every drawing, for light, dark and print.
  function painted(value, css) {
    if (typeof value === "string") {
      return value.replace(/var\((--[\w-]+)\)/g, (_, name) => css.getPropertyValue(name).trim());
    }
    if (Array.isArray(value)) return value.map((item) => painted(item, css));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, painted(own, css)]));
  }

  // Numbers as large as the cells allow; where they would not fit, colour and hover remain.
  function fitHeat(place, data) {
    const [map] = data;
    place.style.height = `${Math.min(60 + 30 * map.y.length, 620)}px`;
    const wide = (place.clientWidth - 64) / map.x.length;
    const high = (place.clientHeight - 50) / map.y.length;
    const size = Math.min(13, wide / 3.4, high / 1.3);
    return size < 7 ? { ...map, texttemplate: "" } : { ...map, textfont: { size } };
  }

  function drawAll() {
    const css = getComputedStyle(root);
    for (const [id, figure] of Object.entries(figures)) {
      const place = document.getElementById(id);
      const heat = place.classList.contains("heat");
      const { data, layout } = painted(figure, css);
      const drawn = heat ? [fitHeat(place, data)] : data;
      const bar = !heat && place.clientWidth > 560 ? "hover" : false;
      // The size in so many words, or paper would get the screen's; a zoom outlives a redraw.
      const size = { width: place.clientWidth, height: place.clientHeight, uirevision: "kept" };
      Plotly.react(place, drawn, { ...layout, ...size }, { ...config, displayModeBar: bar });
    }
  }

  // A heat map per policy and per value of what is held fixed. Not every policy was swept at
  // every value: the nearest slice is the one that agrees with most of the choices.
  function choose(changed) {
    const wanted = knobs.map((knob) => document.getElementById(`choice-${knob}`).value);
    const first = knobs.indexOf(changed);
    const agreement = (slice) => slice.at.filter((value, index) => value === wanted[index]).length;
    const fitting = slices.filter((slice) => first < 0 || slice.at[first] === wanted[first]);
    const best = fitting.reduce((a, b) => (agreement(b) > agreement(a) ? b : a));
    knobs.forEach((knob, index) => {
      document.getElementById(`choice-${knob}`).value = best.at[index];
    });
    for (const [id, own] of Object.entries(best.figures)) Object.assign(figures[id].data[0], own);
    drawAll();
  }
  for (const knob of knobs) {
    document.getElementById(`choice-${knob}`).addEventListener("change", () => choose(knob));
  }

  const copy = document.getElementById("copy");
  if (copy) {
    const env = document.getElementById("env");
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(env.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(env); // no clipboard here: the reader's own Ctrl-C
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }

  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) requestAnimationFrame(drawAll); // not for a phone's address bar
    width = innerWidth;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    for (const closed of document.querySelectorAll("details")) closed.open = true;
    drawAll();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    drawAll();
  });
  drawAll();
})();
