import { spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';

const root = fileURLToPath(new URL('../../..', import.meta.url));

describe('a process under systemd', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-journal-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** What a program writes to both its outputs, which are what systemd names, or are not. */
  async function written(program: string, { isNamed = true } = {}): Promise<readonly string[]> {
    const file = join(folder, 'journal');
    const descriptor = openSync(file, 'a');
    const { dev, ino } = fstatSync(descriptor);
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      cwd: root,
      env: { ...process.env, JOURNAL_STREAM: `${dev}:${isNamed ? ino : ino + 1}` },
      stdio: ['ignore', descriptor, descriptor],
    });
    await once(child, 'exit');
    closeSync(descriptor);
    return readFileSync(file, 'utf8').split('\n').slice(0, -1);
  }

  const logging = `
    import { buildLog } from '#shared/log.ts';
    import { isJournal } from '#shared/process/journal.ts';
    const log = buildLog('trace', { node: 'dmz1' }, { toJournal: isJournal(process.env, 1) });
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) log[level](level);
    log.error({ err: new Error('two\\nlines') }, 'with a stack');
  `;

  it('says of each line how bad it is, and each record is a line, stacks too', async () => {
    const lines = await written(logging);
    const record = z.object({ msg: z.string() });
    const priorities = lines.map((line): [string, string] => [
      record.parse(JSON.parse(line.slice(3))).msg,
      line.slice(0, 3),
    ]);
    // `fatal` does not wait for the line that is being written, which may come after it.
    expect(Object.fromEntries(priorities)).toEqual({
      trace: '<7>',
      debug: '<7>',
      info: '<6>',
      warn: '<4>',
      error: '<3>',
      fatal: '<2>',
      'with a stack': '<3>',
    });
    expect(lines).toHaveLength(7);
    expect(JSON.parse(lines.find((line) => line.includes('with a stack'))?.slice(3) ?? '')).toMatchObject({
      msg: 'with a stack',
      err: { message: 'two\nlines', stack: expect.stringContaining('\n    at ') },
    });
  });

  it('whose output goes elsewhere writes JSON and nothing else', async () => {
    const lines = await written(logging, { isNamed: false });
    expect(lines).toHaveLength(7);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ node: 'dmz1' });
  });

  it.each([
    ['thrown', 'setImmediate(() => { throw new Error("broken\\u202e"); });'],
    ['a promise nobody waits for', 'void Promise.reject(new Error("broken\\u202e"));'],
  ])('that an error ends (%s) says so in one line with the stack', async (_title, failing) => {
    const lines = await written(`
      import { foldUncaught } from '#shared/process/journal.ts';
      foldUncaught('dmz');
      ${failing}
    `);
    expect(lines).toEqual([expect.stringMatching(/^<2>dmz: Error: broken\\u202e \| at .* \| at /)]);
  });

  it('tells each complaint in one line', async () => {
    const lines = await written(`
      import { complain } from '#shared/process/journal.ts';
      complain('dmz: the port is taken\\nhint: another one\\n');
    `);
    expect(lines).toEqual(['<3>dmz: the port is taken | hint: another one']);
  });
});
