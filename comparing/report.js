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

const narrow = matchMedia("(max-width: 640px)");
const hidden = new Set(); // variants that are in no plot and no table

function chosen(figure) {
  figure.drawings ??= JSON.parse(figure.querySelector("script").textContent);
  const values = [...figure.querySelectorAll("input:checked")].map((input) => input.value);
  const { data, layout } = figure.drawings[values.join("|")];
  const shown = data.filter((trace) => !hidden.has(trace.legendgroup));
  return { data: shown, layout: fitted(without(layout, data), shown) };
}

// The rows of a dot plot without those of hidden variants.
function without(layout, data) {
  const names = layout.yaxis?.categoryarray;
  if (!names || !hidden.size) return layout;
  const gone = new Set(data.filter((trace) => hidden.has(trace.legendgroup)).map((trace) => trace.name));
  const left = names.filter((name) => !gone.has(name));
  const yaxis = { ...layout.yaxis, categoryarray: left, range: [-0.6, left.length - 0.4] };
  return { ...layout, yaxis, height: layout.height - 42 * gone.size };
}

// The layout for the width of the screen: on a narrow one panels stand below each other.
function fitted(layout, data) {
  if (!narrow.matches) return layout;
  const legend = layout.showlegend === false ? 0 : data.filter((trace) => trace.showlegend !== false).length;
  const fit = { ...layout, margin: { ...layout.margin, l: 44, r: 10 }, height: layout.height + 19 * legend };
  fit.annotations = layout.annotations?.map((note) =>
    note.xref === "paper" && note.x === 1
      ? { ...note, xanchor: "right", yanchor: "bottom", text: note.text.replace("<br>", " ") } : note);
  if (layout.grid) {
    const panels = Object.keys(layout).filter((key) => /^xaxis\d*$/.test(key)).length;
    fit.grid = { ...layout.grid, rows: panels, columns: 1, xgap: 0, ygap: 0.42 };
    fit.height = 100 + 220 * panels + 19 * legend;
    fit.legend = { ...layout.legend, y: 1 + 26 / (220 * panels - 4) };
  }
  for (const key of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    fit[key] = { ...layout[key], title: { ...layout[key].title, font: { size: 12 } } };
  }
  return fit;
}

function draw(figure) {
  const canvas = figure.querySelector(".canvas");
  if (!canvas.offsetParent) return; // inside closed details: drawn when they open
  const { data, layout } = chosen(figure);
  const options = { responsive: true, displaylogo: false, showSendToCloud: false };
  options.displayModeBar = narrow.matches ? false : "hover"; // it would cover the legend
  options.toImageButtonOptions = { filename: figure.dataset.plot, scale: 3 };
  Plotly.react(canvas, data, coloured(layout), options);
}

// Saves the figure as it is chosen, in the colours of paper.
function save(figure) {
  root.classList.add("light");
  const { data, layout } = chosen(figure);
  const paper = { ...coloured(layout), paper_bgcolor: "#ffffff" };
  root.classList.remove("light");
  const size = { width: figure.querySelector(".canvas").clientWidth, height: layout.height };
  Plotly.downloadImage({ data, layout: paper }, { format: "svg", filename: figure.dataset.plot, ...size });
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
for (const figure of figures) {
  figure.addEventListener("change", () => draw(figure));
  figure.querySelector(".save")?.addEventListener("click", () => save(figure));
}
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => details.querySelectorAll(".plot").forEach(draw));
}
scheme.addEventListener("change", drawAll);
narrow.addEventListener("change", drawAll);
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
