// `npx eslint` lints the page's scripts and their tests. The rules are named here one by one, so that nothing but eslint
// has to be installed; the suite itself needs no eslint (tests/test_javascript.py).

const fs = require("node:fs");
const path = require("node:path");

const named = names => Object.fromEntries(names.split(/\s+/).map(name => [name, "readonly"]));
const BROWSER = named(`atob Blob clearTimeout DecompressionStream document history IntersectionObserver location
  requestAnimationFrame ResizeObserver Response setTimeout URLSearchParams window`);
const GRADIO = named("element props server trigger watch");
const NODE = named("__dirname Buffer console module process require");

const UI = path.join(__dirname, "lab", "ui");
const scripts = fs.readdirSync(UI, {recursive: true}).filter(name => name.endsWith(".js"));
// gradio runs the scripts of a component as one function: what one of them defines, the others may use.
const defined = scripts.flatMap(name =>
  [...fs.readFileSync(path.join(UI, name), "utf-8").matchAll(/^(?:const|let) (?:(\w+) =|[{[]([^\]}]*)[\]}] =)/gm)]
    .flatMap(match => (match[1] ?? match[2]).match(/\w+/g)));

const RULES = {
  "eqeqeq": "error", "no-const-assign": "error", "no-dupe-args": "error", "no-dupe-else-if": "error",
  "no-dupe-keys": "error", "no-fallthrough": "error", "no-redeclare": ["error", {builtinGlobals: false}],
  "no-self-assign": "error", "no-undef": "error", "no-unreachable": "error", "no-unsafe-finally": "error",
  "no-unused-vars": ["error", {vars: "local"}], "no-var": "error", "object-shorthand": "error", "prefer-const": "error",
  "use-isnan": "error", "valid-typeof": "error",
};

module.exports = [
  {
    files: ["lab/ui/**/*.js"], rules: RULES,
    languageOptions: {ecmaVersion: 2023, sourceType: "script", globals: {...BROWSER, ...GRADIO, ...named(defined.join(" "))}},
  },
  {
    files: ["tests/js/*.js", "eslint.config.js"], rules: {...RULES, "no-unused-vars": "error"},
    languageOptions: {ecmaVersion: 2023, sourceType: "commonjs", globals: NODE},
  },
];
