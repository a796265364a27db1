import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The bundle is committed and shipped in the wheel: whoever installs voicelat needs no Node.
export default defineConfig({
  plugins: [react()],
  base: "/",
  build: {
    outDir: process.env.OUT_DIR ?? "../src/voicelat/console/page",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page allows no data: scripts or styles
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  server: { proxy: { "/api": process.env.CONSOLE ?? "http://127.0.0.1:8094" } },
});
