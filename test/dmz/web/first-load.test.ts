import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** A chunk in Vite's manifest. */
interface Chunk {
  readonly file: string;
  readonly isEntry?: boolean;
  readonly imports?: readonly string[];
}

const root = fileURLToPath(new URL('../../../', import.meta.url));
const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
const buildMs = 120_000;

describe('the first load', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-first-load-'));
    await promisify(execFile)(
      process.execPath,
      [vite, 'build', '--config', 'dmz/web/vite.config.ts', '--outDir', folder, '--manifest'],
      { cwd: root },
    );
  }, buildMs);
  afterAll(() => rm(folder, { recursive: true }));

  it('is at most 60 KiB of JavaScript as sent, and one file of it', async () => {
    const manifest = JSON.parse(await readFile(join(folder, '.vite', 'manifest.json'), 'utf8')) as Record<
      string,
      Chunk
    >;
    const needed = new Set<string>();
    const need = (chunk: Chunk): void => {
      if (needed.has(chunk.file)) return;
      needed.add(chunk.file);
      for (const name of chunk.imports ?? []) if (manifest[name] !== undefined) need(manifest[name]);
    };
    for (const chunk of Object.values(manifest)) if (chunk.isEntry === true) need(chunk);
    expect(needed.size).toBe(1);
    let gzipBytes = 0;
    for (const file of needed) {
      const script = await readFile(join(folder, file));
      expect(script.includes('.tsx'), 'built as it is sent').toBe(false);
      gzipBytes += gzipSync(script).length;
    }
    expect(gzipBytes).toBeGreaterThan(10 * 1024);
    expect(gzipBytes).toBeLessThanOrEqual(60 * 1024);
  });

  it('has nothing in the page that its policy forbids: no script, no style, no handler of its own', async () => {
    const page = await readFile(join(folder, 'index.html'), 'utf8');
    expect(page).not.toMatch(/<script(?![^>]*\ssrc="\/)|<style|\sstyle=|\son\w+=|javascript:/i);
    // Where the door puts the name of the service.
    expect(page).toMatch(/<meta name="application-name" content="[^"]*"/);
    expect(page).toMatch(/<title>[^<]*<\/title>/);
  });
});
