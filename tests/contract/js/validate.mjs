// Reads a list of AsyncAPI documents on stdin; prints for each of them
// `{ operations, findings: [{ severity, code, path, message }] }`, where severity 0 is an error, 1 a warning, 2 and 3
// are advice.
import { text } from "node:stream/consumers";

import { Parser } from "@asyncapi/parser";

const answers = [];
for (const said of JSON.parse(await text(process.stdin))) {
  const { document, diagnostics } = await new Parser().parse(JSON.stringify(said));
  const findings = diagnostics.map(({ severity, code, path, message }) => ({
    severity,
    code,
    path: path.join("."),
    message,
  }));
  const operations = document?.operations().all().map((operation) => operation.id()) ?? [];
  answers.push({ operations, findings });
}
console.log(JSON.stringify(answers));
