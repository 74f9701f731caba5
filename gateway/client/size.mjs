// Prints what each entry adds to a page, minified and compressed, without socket.io-client and React; fails where that
// is more than it may be.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { minifySync } from "vite";

const MOST_BYTES = { "index.js": 5120, "react.js": 1024 };

for (const [name, most] of Object.entries(MOST_BYTES)) {
  const source = readFileSync(new URL(`dist/${name}`, import.meta.url), "utf8");
  const { code } = minifySync(name, source, { module: true });
  const size = gzipSync(code, { level: 9 }).length;
  console.log(`${name}: ${size} of ${most} bytes`);
  if (size > most) process.exitCode = 1;
}
