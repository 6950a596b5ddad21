// What tables of variants can do: be sorted, filtered, thinned out, and copied.

function value(row, column) {
  const cell = row.cells[column];
  const number = parseFloat(cell.textContent.trim().replace("\u2212", "-").replaceAll(",", ""));
  return Number.isNaN(number) ? cell.textContent.trim() : number;
}

function compare(a, b) { // numbers before words, words by the alphabet
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
}

function sort(table, header) {
  const column = header.cellIndex;
  const falls = header.getAttribute("aria-sort") !== "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", falls ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => row.dataset.variant !== undefined);
  rows.sort((a, b) => (falls ? -1 : 1) * compare(value(a, column), value(b, column)));
  body.append(...rows); // the base policy's row stays first
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].querySelectorAll("th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(table, header));
  }
}

// Variants whose name lacks the filter's text, or whose box is not ticked, are in no plot or table.
const filter = document.querySelector(".filter input");
const ranked = [...document.querySelectorAll(".ranking tr[data-variant]")];

function choose() {
  const text = filter?.value.trim().toLowerCase() ?? "";
  hidden.clear();
  for (const row of ranked) {
    const isOut = !row.dataset.variant.toLowerCase().includes(text);
    row.classList.toggle("filtered", isOut);
    if (isOut || row.querySelector("input")?.checked === false) hidden.add(row.dataset.variant);
  }
  for (const row of document.querySelectorAll("tr[data-variant]")) {
    row.classList.toggle("away", hidden.has(row.dataset.variant));
  }
  drawAll();
}

filter?.addEventListener("input", choose);
for (const row of ranked) row.querySelector("input")?.addEventListener("change", choose);

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
}
