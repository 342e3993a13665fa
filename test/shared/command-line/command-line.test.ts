import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '#shared/command-line/exit-code.ts';
import { buildProcessTerminal } from '#shared/command-line/process-terminal.ts';
import { shellCommand } from '#shared/command-line/shell-words.ts';
import { printError } from '#shared/command-line/terminal.ts';
import { makePrivateFile, replaceFile } from '#shared/command-line/write-files.ts';
import { SallyportError } from '#shared/error.ts';

describe('exit codes', () => {
  it('tell scripts what kind of failure it was', () => {
    const codeOf = (...args: ConstructorParameters<typeof SallyportError>) =>
      exitCodeOf(new SallyportError(...args));
    expect([
      codeOf('internal', ''),
      codeOf('usage', ''),
      codeOf('not-found', ''),
      codeOf('not-allowed', ''),
      codeOf('precondition-failed', ''),
      exitCodeOf(new Error('unforeseen')),
    ]).toEqual([1, 2, 3, 4, 5, 1]);
  });
});

describe('errors', () => {
  it('say what failed, the facts and what to do, as text or JSON', () => {
    const error = new SallyportError('config', 'It does not fit', { detail: 'a\nb', hint: 'do c' });
    let text = '';
    const terminal = { err: (more: string) => void (text += more) };
    printError(terminal, error, false);
    expect(text).toBe('error: It does not fit\n  a\n  b\nhint: do c\n');
    text = '';
    printError(terminal, error, true);
    expect(JSON.parse(text)).toEqual({
      error: 'config',
      message: 'It does not fit',
      detail: 'a\nb',
      hint: 'do c',
    });
  });
});

describe('a process whose input is piped', () => {
  const terminalOf = (stdin: PassThrough) =>
    buildProcessTerminal({
      stdin,
      stdout: new PassThrough(),
      stderr: new PassThrough(),
    });

  it('gives a password without the line end that echo adds', async () => {
    for (const [input, password] of [
      ['secret\n', 'secret'],
      ['secret\r\n', 'secret'],
      ['two\nlines\n', 'two\nlines'],
      ['', ''],
    ] as const) {
      const read = await terminalOf(new PassThrough().end(input)).readSecretInput();
      expect(read.expose()).toBe(password);
    }
  });

  it('refuses input that can be no password, and questions that nobody can answer', async () => {
    const longest = await terminalOf(new PassThrough().end('x'.repeat(4096))).readSecretInput();
    expect(longest.expose()).toHaveLength(4096);
    await expect(terminalOf(new PassThrough().end('x'.repeat(4097))).readSecretInput()).rejects.toMatchObject(
      { code: 'usage' },
    );
    const terminal = terminalOf(new PassThrough());
    expect(terminal.isInteractive).toBe(false);
    await expect(terminal.ask('Sure? ')).rejects.toMatchObject({ code: 'usage' });
    await expect(terminal.askSecret('Password: ')).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('files that a command writes', () => {
  it('are whole, readable as asked whatever stood there, and never replaced by accident', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-files-'));
    const file = join(folder, 'keys', 'link.key');
    expect(makePrivateFile(file, () => 'one')).toBe(true);
    expect(makePrivateFile(file, () => 'two')).toBe(false);
    expect(readFileSync(file, 'utf8')).toBe('one');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'keys')).mode & 0o777).toBe(0o700);
    writeFileSync(`${file}.partial`, 'left by a crash', { mode: 0o666 });
    replaceFile(file, 'three', 0o600);
    expect(readFileSync(file, 'utf8')).toBe('three');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    rmSync(folder, { recursive: true });
  });
});

describe('a command to be pasted', () => {
  it('is to a shell the words it was made of, and plain where they are', () => {
    const words = [
      'x; id #',
      '$(id)',
      '`id`',
      "it's",
      '"',
      '\\',
      'a\nb',
      '',
      '~',
      '*',
      '!!',
      'a b',
      '\u001b[2J',
      'plain',
    ];
    const printed = execFileSync('sh', ['-c', shellCommand('printf', String.raw`%s\0`, ...words)]);
    expect(printed.toString().split('\0').slice(0, -1)).toEqual(words);
    expect(shellCommand('sallyport', 'users', 'passwd', 'ann+b@example.com')).toBe(
      'sallyport users passwd ann+b@example.com',
    );
  });
});
