import { defineConfig } from "vitest/config";

export default defineConfig({
  build: {
    target: "es2022",
    minify: false,
    sourcemap: false,
    lib: { entry: { index: "src/index.ts", react: "src/react.ts" }, formats: ["es"] },
    rolldownOptions: { external: ["socket.io-client", "react"] },
  },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
