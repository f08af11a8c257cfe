// Reads {scripts, calls: [[name, ...arguments]]} as JSON and prints what the calls return: for tests in Python.

const fs = require("node:fs");
const {load} = require("./load.js");

const {scripts, calls} = JSON.parse(fs.readFileSync(0, "utf-8"));
const functions = load(scripts, [...new Set(calls.map(([name]) => name))]);
Promise.all(calls.map(([name, ...values]) => functions[name](...values)))
  .then(results => console.log(JSON.stringify(results)));
