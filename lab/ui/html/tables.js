// Tables that sort, cells walked with the arrow keys, and where a cell's number comes from. All by delegation: what
// stands inside `element` is replaced whenever another table is chosen.

const board = () => element.querySelector(".board");

// One cell of each table is reached with Tab, the others from it.
const reach = (body, cell = body.querySelector("td button")) => {
  for (const other of body.querySelectorAll("td button")) other.tabIndex = other === cell ? 0 : -1;
};
const reachAll = () => element.querySelectorAll("tbody").forEach(body => reach(body));

const sort = button => {
  const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keys = new Map([...body.rows].map(row => {
    const text = row.cells[head.cellIndex].textContent.trim(), number = /^[+-]?[\d.]/.test(text) ? parseFloat(text) : NaN;
    return [row, {text, number, rank: text === "" || text === "-" ? 2 : Number.isNaN(number) ? 1 : 0}];
  }));
  body.append(...[...keys].sort(([, a], [, b]) => a.rank - b.rank || (down ? -1 : 1) * (
    a.rank ? a.text.localeCompare(b.text) : a.number - b.number)).map(([row]) => row));
  reach(body);
};

const tell = cell => {
  element.querySelector(".told")?.classList.remove("told");
  const place = element.querySelector(".origin");
  if (!cell) return place.replaceChildren();
  cell.classList.add("told");
  reach(cell.closest("tbody"), cell);
  const shared = JSON.parse(board().dataset.origins)[Number(cell.dataset.of)];
  const facts = [...JSON.parse(cell.dataset.own), ...shared];
  place.replaceChildren(
    make("button", {type: "button", class: "close", tabindex: -1, "aria-label": "close, as Escape does"}, "×"),
    make("dl", {}, ...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
};

const MOVES = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
const walk = (cell, [down, right]) => {
  let row = cell.closest("tr"), column = cell.closest("td").cellIndex;
  for (;;) {
    row = down > 0 ? row.nextElementSibling : down < 0 ? row.previousElementSibling : row;
    column += right;
    if (!row?.cells[column]) return;
    const next = row.cells[column].querySelector("button");
    if (next) return next.focus();
  }
};

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button?.matches("thead button")) sort(button);
  else if (button?.matches(".close")) tell(null);
  else if (button?.matches("td button")) { button.focus(); tell(button); }
});
element.addEventListener("focusin", event => { if (event.target.matches("td button")) tell(event.target); });
element.addEventListener("keydown", event => {
  if (event.key === "Escape" && element.querySelector(".told")) tell(null);
  if (!event.target.matches("td button") || !MOVES[event.key]) return;
  event.preventDefault();
  walk(event.target, MOVES[event.key]);
});

// The address names what is shown; one that names this tab already is a wish, kept until something else is chosen.
const tellAddress = () => {
  const told = board()?.dataset.address;  // none before the first value is drawn
  if (told && element.offsetParent) history.replaceState(history.state, "", `?${told}${location.hash}`);
};
const asked = () => new URLSearchParams(location.search).get("tab");
watch("value", () => { reachAll(); tellAddress(); });
new IntersectionObserver(() => {
  if (asked() !== new URLSearchParams(board()?.dataset.address).get("tab")) tellAddress();
}).observe(element);
reachAll();
