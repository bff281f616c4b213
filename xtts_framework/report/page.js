"use strict";
// Point at a chart: a cursor and the values nearest to it.
for (const svg of document.querySelectorAll("svg[data-lines]")) {
  const lines = JSON.parse(svg.dataset.lines);
  const cursor = svg.querySelector(".cursor");
  const tip = svg.parentElement.querySelector(".tip");
  const width = svg.viewBox.baseVal.width;
  const hide = () => { cursor.style.visibility = "hidden"; tip.hidden = true; };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * width;
    const nearest = lines.map(({ name, values }) => ({ name, value: values.reduce(
      (best, one) => Math.abs(one[0] - x) < Math.abs(best[0] - x) ? one : best) }));
    const place = nearest.reduce((best, one) =>
      Math.abs(one.value[0] - x) < Math.abs(best.value[0] - x) ? one : best).value[0];
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    cursor.style.visibility = "visible";
    tip.textContent = nearest.map(({ name, value }) => `${name} ${value[2]} at step ${value[1]}`).join("\n");
    tip.style.left = place > width / 2 ? "" : `${place / width * 100 + 2}%`;
    tip.style.right = place > width / 2 ? `${100 - place / width * 100 + 2}%` : "";
    tip.hidden = false;
  });
}
