// Draws each plot, again when a switch, the colour scheme or the medium changes.
const root = document.documentElement;
const scheme = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function coloured(layout) {
  const themed = { ...layout, font: { ...layout.font, color: colour("--ink") } };
  themed.modebar = { ...layout.modebar, color: colour("--quiet"), activecolor: colour("--ink") };
  themed.hoverlabel = { ...layout.hoverlabel, bgcolor: colour("--soft"), bordercolor: colour("--rule") };
  themed.hoverlabel.font = { color: colour("--ink") };
  for (const key of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    themed[key] = { ...layout[key], gridcolor: colour("--rule"), zerolinecolor: colour("--quiet") };
  }
  return themed;
}

function draw(figure) {
  const canvas = figure.querySelector(".canvas");
  if (!canvas.offsetParent) return; // inside closed details: drawn when they open
  figure.drawings ??= JSON.parse(figure.querySelector("script").textContent);
  const chosen = [...figure.querySelectorAll("input:checked")].map((input) => input.value);
  const { data, layout } = figure.drawings[chosen.join("|")];
  const options = { responsive: true, displaylogo: false, showSendToCloud: false };
  options.toImageButtonOptions = { filename: figure.dataset.plot, scale: 3 };
  Plotly.react(canvas, data, coloured(layout), options);
}

// Tables of which one is shown, by the switch above them; without scripts, and in print, all are.
for (const choice of document.querySelectorAll(".choice")) {
  const choose = () => {
    const chosen = choice.querySelector("input:checked")?.value;
    for (const part of choice.querySelectorAll("[data-choice]")) {
      part.classList.toggle("unchosen", chosen !== undefined && part.dataset.choice !== chosen);
    }
  };
  choice.addEventListener("change", choose);
  choose();
}

const figures = [...document.querySelectorAll(".plot")];
const drawAll = () => figures.forEach(draw);
for (const figure of figures) figure.addEventListener("change", () => draw(figure));
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => details.querySelectorAll(".plot").forEach(draw));
}
scheme.addEventListener("change", drawAll);
addEventListener("beforeprint", () => { root.classList.add("light"); drawAll(); });
addEventListener("afterprint", () => { root.classList.remove("light"); drawAll(); });
(function drawInTurn([figure, ...others]) { // the page can be read and scrolled in between
  if (!figure) return;
  draw(figure);
  setTimeout(drawInTurn, 0, others);
})(figures);
for (const area of document.querySelectorAll(".scroll")) {
  if (area.scrollWidth > area.clientWidth) area.tabIndex = 0; // so that the keyboard can scroll it
}
