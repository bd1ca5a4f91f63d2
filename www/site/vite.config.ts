import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// The npm package as it is built in this checkout, by the entry that a browser would get. Not a "file:" dependency:
// npm would then tend the package's own node_modules from here.
const npmPackage = new URL("../../edge-wasm/npm/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("package.json", npmPackage), "utf8")) as {
  exports: { ".": { browser: string } };
};
const edgeseal = fileURLToPath(new URL(manifest.exports["."].browser, npmPackage));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  appType: "mpa",
  resolve: { alias: [{ find: /^edgeseal$/, replacement: edgeseal }] },
  server: { fs: { allow: [fileURLToPath(new URL("../..", import.meta.url))] } },
  build: {
    // The Worker serves www/dist as it is, so the folders are the path: /.edgeseal/playground/.
    outDir: fileURLToPath(new URL("../dist/.edgeseal", import.meta.url)),
    // The landing page and the documentation are there already.
    emptyOutDir: false,
    assetsDir: "playground",
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    rolldownOptions: { input: fileURLToPath(new URL("playground/index.html", import.meta.url)) },
  },
});
