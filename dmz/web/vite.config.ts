import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/**
 * Builds the browser code into `dist/`, which the https door serves as static files.
 *
 * The result must live under a policy without inline scripts, inline styles or `data:` scripts (security.md §4), so
 * nothing is inlined into the page and Vite's preload polyfill stays out.
 */

/** First load on a mid phone stays under a second; design/web-client.md. */
const firstLoadGzipBytesMax = 60 * 1024;

/** Prints what a first visit downloads in JavaScript, and fails the build when it is too much. */
function buildFirstLoadBudget(): Plugin {
  return {
    name: 'first-load-budget',
    generateBundle(_options, bundle) {
      const counted = new Set<string>();
      let gzipBytes = 0;
      const count = (fileName: string): void => {
        const chunk = bundle[fileName];
        if (chunk?.type !== 'chunk' || counted.has(fileName)) return;
        counted.add(fileName);
        gzipBytes += gzipSync(chunk.code).length;
        for (const imported of chunk.imports) count(imported);
      };
      for (const [fileName, chunk] of Object.entries(bundle))
        if (chunk.type === 'chunk' && chunk.isEntry) count(fileName);
      const summary = `first load: ${(gzipBytes / 1024).toFixed(1)} KiB of JavaScript (gzip), at most ${firstLoadGzipBytesMax / 1024}`;
      if (gzipBytes > firstLoadGzipBytesMax) this.error(summary);
      else this.info(summary);
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  base: '/',
  // Never for development, whatever NODE_ENV says: that puts every element's file and line into what is sent.
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
  plugins: [buildFirstLoadBudget()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Custom properties with light-dark() need these; older browsers are out of security support.
    target: ['chrome123', 'firefox120', 'safari17.5'],
  },
});
