import { defineConfig } from "vitest/config";

export default defineConfig({
  build: {
    target: "es2022",
    minify: false,
    sourcemap: false,
    lib: { entry: { index: "src/index.ts", react: "src/react.ts" }, formats: ["es"] },
    rolldownOptions: { external: ["socket.io-client", "react"] },
  },
  test: {
    environment: "happy-dom",
    // The gateway is another origin, and lets no page read its HTTP API.
    environmentOptions: { happyDOM: { settings: { fetch: { disableSameOriginPolicy: true } } } },
    isolate: false,
    // A slow machine may take its time: each wait ends as soon as what it waits for is there.
    testTimeout: 60_000,
    include: ["test/**/*.test.{ts,tsx}"],
  },
});
