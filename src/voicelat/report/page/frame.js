"use strict";
// What every page does: draws its figures, again for light, dark, print and another width.
const page = (() => {
  const root = document.documentElement;
  const drawn = JSON.parse(document.getElementById("figures").textContent);
  const also = [];
  const config = {
    displaylogo: false,
    modeBarButtons: [["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"], ["toImage"]],
    toImageButtonOptions: { filename: "voicelat", scale: 2 },
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

  // `fitted` may change the traces once the size of the place is known.
  function draw(id, figure, { bar = true, fitted = (place, data) => data } = {}) {
    const place = document.getElementById(id);
    const { data, layout } = painted(figure, getComputedStyle(root));
    const ready = fitted(place, data);
    const displayModeBar = bar && place.clientWidth > 560 ? "hover" : false;
    // The size in so many words, or paper would get the screen's; a zoom outlives a redraw.
    const size = { width: place.clientWidth, height: place.clientHeight, uirevision: "kept" };
    return Plotly.react(place, ready, { ...layout, ...size }, { ...config, displayModeBar });
  }

  function drawAll() {
    for (const again of also) again();
  }

  // Text of strangers inside a picture: plotly reads a little HTML, and a sentence from right to
  // left must not turn its neighbours around.
  function plain(text) {
    const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
    return `\u2068${text.replace(/[&<>]/g, (sign) => entities[sign])}\u2069`;
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    drawAll();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) requestAnimationFrame(drawAll); // not for a phone's address bar
    width = innerWidth;
  });
  dark.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    for (const closed of document.querySelectorAll("details")) closed.open = true;
    drawAll();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    drawAll();
  });

  return {
    drawn,
    draw,
    drawAll,
    plain,
    // What draws is called now, and whenever the page looks different.
    whenever(again) {
      also.push(again);
      again();
    },
  };
})();
