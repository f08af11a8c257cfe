// Tables that sort, cells walked with the arrow keys, and the facts behind a cell's number. All by delegation: what
// stands inside `element` is replaced whenever another table is chosen.

const board = () => element.querySelector(".board");

// --- sorting: numbers, then words, then empty cells ---

const sortKey = text => {
  const number = /^[+-]?[\d.]/.test(text) ? parseFloat(text) : NaN, isEmpty = text === "" || text === "-";
  return {text, number, rank: isEmpty ? 2 : Number.isNaN(number) ? 1 : 0};
};
const compareKeys = (a, b, isDescending) => a.rank - b.rank || (isDescending ? -1 : 1) * (
  a.rank ? a.text.localeCompare(b.text) : a.number - b.number);
const sort = button => {
  const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
  const isDescending = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
  const rows = [...body.rows].map(row => ({row, key: sortKey(row.cells[head.cellIndex].textContent.trim())}));
  rows.sort((a, b) => compareKeys(a.key, b.key, isDescending));
  body.append(...rows.map(({row}) => row));
  makeReachable(body);
};

// --- cells: one of each table is reached with Tab, the others from it ---

const makeReachable = (body, cell = body.querySelector("td button")) => {
  for (const other of body.querySelectorAll("td button")) other.tabIndex = other === cell ? 0 : -1;
};
const makeAllReachable = () => element.querySelectorAll("tbody").forEach(body => makeReachable(body));

const factsOf = cell =>
  [...JSON.parse(cell.dataset.facts), ...JSON.parse(board().dataset.origins)[Number(cell.dataset.origin)]];
const showFacts = cell => {  // null closes them
  element.querySelector(".selected")?.classList.remove("selected");
  const place = element.querySelector(".origin");
  if (!cell) return place.replaceChildren();
  cell.classList.add("selected");
  makeReachable(cell.closest("tbody"), cell);
  place.replaceChildren(
    make("button", {type: "button", class: "close", tabindex: -1, "aria-label": "close, as Escape does"}, "×"),
    make("dl", {}, ...factsOf(cell).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
};

const DIRECTIONS = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
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
  else if (button?.matches(".close")) showFacts(null);
  else if (button?.matches("td button")) { button.focus(); showFacts(button); }
});
element.addEventListener("focusin", event => { if (event.target.matches("td button")) showFacts(event.target); });
element.addEventListener("keydown", event => {
  if (event.key === "Escape" && element.querySelector(".selected")) showFacts(null);
  if (!event.target.matches("td button") || !DIRECTIONS[event.key]) return;
  event.preventDefault();
  walk(event.target, DIRECTIONS[event.key]);
});

// --- the address names what is shown; one that names this tab already stays until another table is chosen ---

const tabOf = query => new URLSearchParams(query).get("tab");
const writeAddress = () => {
  const address = board()?.dataset.address;  // none before the first value is drawn
  if (address && element.offsetParent) history.replaceState(history.state, "", `?${address}${location.hash}`);
};
watch("value", () => { makeAllReachable(); writeAddress(); });
new IntersectionObserver(() => {
  if (tabOf(location.search) !== tabOf(board()?.dataset.address)) writeAddress();
}).observe(element);
makeAllReachable();
