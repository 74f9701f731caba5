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
    include: ["test/**/*.test.{ts,tsx}"],
  },
});
