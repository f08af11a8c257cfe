// The page's address names the view, so that it can be sent to others.

const readAddress = (search, tab) => {  // what it asks of this tab's panel; null where it does not
  const query = new URLSearchParams(search), isMine = (query.get("tab") ?? "compare") === tab;
  const number = name => {
    const value = isMine ? parseFloat(query.get(name)) : NaN;
    return Number.isFinite(value) ? value : null;
  };
  return {isMine, threshold: number("threshold"), look: number("look"), promise: number("promise"),
    confidence: number("confidence")};
};

// view: name -> value, null leaves a name out. Names of others stay, unless they belong to another tab.
const addressQuery = (search, tab, view) => {
  const query = new URLSearchParams(search), isMine = (query.get("tab") ?? tab) === tab;
  const others = [...query].filter(([name]) => !(name in view) && (isMine || name.startsWith("__")));
  const values = Object.entries(view).filter(([, value]) => value !== null && value !== undefined);
  const encode = value => encodeURIComponent(value).replaceAll("%2C", ",");
  return `?${[...values, ...others].map(([name, value]) => `${name}=${encode(value)}`).join("&")}`;
};
const viewOf = (state, choice, tab) => ({
  tab, ...state.address, image: state.set.images[state.chosen]?.slug,
  threshold: choice.rate === null ? choice.threshold : null, promise: choice.rate === null ? null : choice.rate * 100,
  look: choice.look, confidence: choice.rate !== null && choice.sure ? 95 : null,
});

// Writes the address of a panel that is in sight. One that names another tab stays until that tab was shown.
const addressWriter = (element, tab, isMine) => {
  let waits = !isMine;
  new ResizeObserver(() => { if (!element.offsetParent) waits = false; }).observe(element);
  return (state, choice) => {
    if (waits || !state.image || !Object.keys(state.address).length || !element.offsetParent) return;
    const query = addressQuery(location.search, tab, viewOf(state, choice, tab));
    if (query !== location.search) history.replaceState(history.state, "", `${query}${location.hash}`);
  };
};
