// The page's scripts are plain: gradio runs those of a component together as the body of one function. `load` does the
// same, and returns the values of some names in it.

const fs = require("node:fs");
const path = require("node:path");

const UI = path.join(__dirname, "..", "..", "lab", "ui");

// scripts: paths below lab/ui; names: in them; globals: what stands in for the browser and for gradio
const load = (scripts, names, globals = {}) => {
  const source = scripts.map(script => fs.readFileSync(path.join(UI, script), "utf-8")).join("\n");
  const body = `"use strict";\n${source}\nreturn {${names.join(", ")}};`;
  return new Function(...Object.keys(globals), body)(...Object.values(globals));
};

module.exports = {load};
