// Reads an AsyncAPI document on stdin; prints `{ operations, findings: [{ severity, code, path, message }] }`, where
// severity 0 is an error, 1 a warning, 2 and 3 are advice.
import { text } from "node:stream/consumers";

import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
const findings = diagnostics.map(({ severity, code, path, message }) => ({
  severity,
  code,
  path: path.join("."),
  message,
}));
const operations = document?.operations().all().map((operation) => operation.id()) ?? [];
console.log(JSON.stringify({ operations, findings }));
