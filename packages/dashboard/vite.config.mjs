import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** The index of std without the modules that speak to Node: nothing of theirs is used here. */
const stdForPages = {
  name: "std-for-pages",
  enforce: "pre",
  load(id) {
    if (!/packages\/std\/dist\/index\.js$/.test(id)) return undefined;
    return readFileSync(id, "utf8").replaceAll(/^export .* from "(\.\/[^"]+)";$/gm, (line, module) => (/from "node:/.test(readFileSync(join(dirname(id), module), "utf8")) ? "" : line));
  },
};

/** @param {string} id */
const moduleSideEffects = (id) => /\.(css|svelte)$|packages\/dashboard\/src\/page/.test(id);

export default defineConfig({
  root: fileURLToPath(new URL("./src/page", import.meta.url)),
  base: "./",
  plugins: [svelte({ configFile: false, compilerOptions: { runes: true } }), stdForPages],
  build: {
    outDir: fileURLToPath(new URL("./page/dist", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    rolldownOptions: { checks: { pluginTimings: false, bundlerTimings: false }, treeshake: { moduleSideEffects } },
  },
  worker: { format: "es", plugins: () => [stdForPages], rolldownOptions: { treeshake: { moduleSideEffects } } },
});
