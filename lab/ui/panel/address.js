// The address names the view, so that it can be sent: read once, written as things change.

const asked = new URLSearchParams(location.search);
const tab = element.querySelector(".live").dataset.tab;
const mine = (asked.get("tab") ?? "compare") === tab;  // what it asks for is for this panel
const number = name => mine && Number.isFinite(parseFloat(asked.get(name))) ? parseFloat(asked.get(name)) : null;
const wanted = {at: number("threshold"), look: number("look"), rate: number("promise")};

// An address that names another tab is kept until that one has been shown in place of this.
let wish = !mine;
new ResizeObserver(() => { if (!element.offsetParent) wish = false; }).observe(element);

const tellAddress = state => {
  if (wish || !state.image || !Object.keys(state.address).length || !element.offsetParent) return;
  const told = {
    tab, ...state.address, image: state.set.images[state.at]?.slug,
    threshold: moved.rate === null ? moved.at : null, promise: moved.rate === null ? null : moved.rate * 100,
    look: moved.look,
  };
  const own = ["threshold", "promise", "look", ...Object.keys(told)];
  const here = new URLSearchParams(location.search), same = (here.get("tab") ?? tab) === tab;
  const kept = [...here].filter(([name]) => !own.includes(name) && (same || name.startsWith("__")));
  const words = [...Object.entries(told).filter(([, value]) => value !== null && value !== undefined), ...kept];
  const query = words.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",")}`).join("&");
  if (`?${query}` !== location.search) history.replaceState(history.state, "", `?${query}${location.hash}`);
};
