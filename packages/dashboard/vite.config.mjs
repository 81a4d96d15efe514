import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** Modules of other packages that speak to Node and that no page needs: their exports are never used here. */
const nodeOnly = /packages\/std\/dist\/(expect-text|socket-path)\.js$/;

export default defineConfig({
  root: fileURLToPath(new URL("./src/page", import.meta.url)),
  base: "/",
  plugins: [
    svelte({ configFile: false, compilerOptions: { runes: true } }),
    {
      name: "without-node",
      enforce: "pre",
      load: (id) => (nodeOnly.test(id) ? "export {};" : undefined),
    },
  ],
  build: {
    outDir: fileURLToPath(new URL("./dist/page", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    rolldownOptions: { treeshake: { moduleSideEffects: (id) => /\.(css|svelte)$|packages\/dashboard\/src\/page/.test(id) } },
  },
});
