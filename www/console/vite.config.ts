import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// The signer embeds what this writes and serves it from its own origin, under a strict
// content security policy: nothing inline, nothing from elsewhere.
export default defineConfig(({ mode }) => ({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "/",
  // `npm run dev:console`: the pages from here, the API from a running signer.
  server: { proxy: { "^/(admin|console/v1)/": { target: process.env.EDGESEAL_ADMIN ?? "https://localhost:8445", secure: false } } },
  oxc: { jsx: { runtime: "automatic", development: mode === "development" } },
  build: {
    outDir: fileURLToPath(new URL("dist", import.meta.url)),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    cssCodeSplit: false,
    reportCompressedSize: false,
    manifest: true,
    rolldownOptions: {
      onwarn(warning, warn) {
        // "use client" is for servers that render React, and there is none here.
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") warn(warning);
      },
    },
  },
}));
