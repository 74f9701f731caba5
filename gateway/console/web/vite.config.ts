import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vitest/config";

const client = (file: string) => new URL(`../../client/src/${file}`, import.meta.url).pathname;
const gateway = process.env["GATEWAY"] ?? "http://127.0.0.1:8080";
const worthPacking = /\.(js|css|svg|html)$/;

/** Put a compressed copy beside each text, so that the gateway need not compress. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        for (const [name, part] of Object.entries(bundle)) {
          if (!worthPacking.test(name)) continue;
          const source = gzipSync(part.type === "chunk" ? part.code : part.source, { level: 9 });
          this.emitFile({ type: "asset", fileName: `${name}.gz`, source });
        }
      },
    },
  };
}

export default defineConfig({
  base: "/console/",
  plugins: [react(), packed()],
  resolve: {
    // The project's own client, from its sources; what that imports comes from here.
    alias: [
      { find: /^pytake-realtime-client\/react$/, replacement: client("react.ts") },
      { find: /^pytake-realtime-client$/, replacement: client("index.ts") },
    ],
    dedupe: ["react", "react-dom", "socket.io-client"],
  },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The Content-Security-Policy allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: {
    fs: { allow: [".", "../../client/src"] },
    proxy: {
      "/console/api": gateway,
      "/api": gateway,
      "/health": gateway,
      "/socket.io": { target: gateway, ws: true },
    },
  },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
