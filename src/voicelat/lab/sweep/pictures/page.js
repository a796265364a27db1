"use strict";
(() => {
  const { figures, slices, knobs } = page.drawn;

  // Numbers as large as the cells allow; where they would not fit, colour and hover remain.
  function fitHeat(place, data) {
    const [map] = data;
    place.style.height = `${Math.min(60 + 30 * map.y.length, 620)}px`;
    const wide = (place.clientWidth - 64) / map.x.length;
    const high = (place.clientHeight - 50) / map.y.length;
    const size = Math.min(13, wide / 3.4, high / 1.3);
    return [size < 7 ? { ...map, texttemplate: "" } : { ...map, textfont: { size } }];
  }

  function drawAll() {
    for (const [id, figure] of Object.entries(figures)) {
      const heat = document.getElementById(id).classList.contains("heat");
      page.draw(id, figure, heat ? { bar: false, fitted: fitHeat } : {});
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

  page.whenever(drawAll);
})();
