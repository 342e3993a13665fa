import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '#main-agent/cli/run.ts';
import { runProgram } from '#test/harness/clients/process.ts';
import { buildPlayedTerminal } from '#test/harness/played-terminal.ts';

describe('completion in a real bash', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-completion-'));
    const terminal = buildPlayedTerminal();
    await runCommand(['completion', 'bash'], { terminal, folder, nowMs: 0, actor: 'eva' });
    writeFileSync(join(folder, 'sallyport.bash'), terminal.printed());
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What bash offers for the last of these words, by the function that the script registered for `sallyport`. */
  async function complete(...words: readonly string[]): Promise<string[]> {
    const script = `
      source "$1"; shift
      registered=$(complete -p sallyport)
      COMP_WORDS=(sallyport "$@"); COMP_CWORD=$#; COMP_LINE="sallyport $*"; COMP_POINT=\${#COMP_LINE}
      name=\${registered#*-F }; "\${name%% *}" sallyport "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const file = join(folder, 'sallyport.bash');
    const args = ['--noprofile', '--norc', '-uc', script, 'bash', file, ...words];
    const { status, stdout, stderr } = await runProgram('/bin/bash', args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout.split('\n').filter((word) => word !== '');
  }

  it('offers commands, and those that begin as what is typed', async () => {
    expect(await complete('')).toEqual(
      expect.arrayContaining(['users', 'groups', 'two-factor', 'audit', 'doctor', '--url', '--json']),
    );
    expect(await complete('tw')).toEqual(['two-factor']);
    expect(await complete('nothing-like-it')).toEqual([]);
  });

  it('offers the commands below one, and its options, after arguments too', async () => {
    expect(await complete('nodes', 're')).toEqual(['revoke']);
    expect(await complete('two-factor', 'un')).toEqual(['unlock']);
    expect(await complete('two-factor', 'bypass-code', 'alice', '--')).toEqual(
      expect.arrayContaining(['--reason', '--ttl', '--re-enrol']),
    );
    expect(await complete('two-factor', 'bypass-code', 'alice', '--re')).toEqual(['--reason', '--re-enrol']);
    expect(await complete('explain', 'login', '--pro')).toEqual(['--protocol']);
  });

  it('leaves the value of an option to its user, or to the names of files', async () => {
    expect(await complete('--config', '')).toEqual([]);
    expect(await complete('bans', 'add', '--for', '')).toEqual([]);
    expect(await complete('--token-file', '=', 'to')).toEqual([]);
  });

  it('finds the command behind global options, with and without a value', async () => {
    expect(await complete('--json', 'bans', 'a')).toEqual(['add']);
    expect(await complete('--config', '/etc/sallyport/main-agent.yaml', 'bans', 'a')).toEqual(['add']);
    expect(await complete('--config', '=', 'main-agent.yaml', 'bans', 'a')).toEqual(['add']);
    expect(await complete('bans', 'add', '--for', '10m', '--ad')).toEqual(['--address']);
  });
});

describe.each(['zsh', 'fish'] as const)('completion in a real %s', (shell) => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-completion-'));
    const terminal = buildPlayedTerminal();
    await runCommand(['completion', shell], { terminal, folder, nowMs: 0, actor: 'eva' });
    writeFileSync(join(folder, '_sallyport'), terminal.printed());
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What the script offers behind these words. zsh has no way to complete without a terminal, so its builtin is heard. */
  async function complete(...words: readonly string[]): Promise<string[]> {
    const file = join(folder, '_sallyport');
    const line = ['sallyport', ...words];
    const [program, args] =
      shell === 'fish'
        ? ['/usr/bin/fish', ['--no-config', '-c', `source ${file}; complete -C "${line.join(' ')}"`]]
        : [
            '/usr/bin/zsh',
            [
              '-fc',
              `compadd() { shift; print -l -- "$@"; }; _files() { print files; }
               words=("\${@:2}"); CURRENT=\${#words}; source "$1"`,
              'zsh',
              file,
              ...line,
            ],
          ];
    const { stdout, stderr } = await runProgram(program, args, { env: { HOME: folder } });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((word) => word !== '');
  }

  it('offers commands, those below one, and options after arguments too', async () => {
    expect(await complete('')).toEqual(expect.arrayContaining(['users', 'doctor', 'rollback']));
    expect(await complete('nodes', '')).toEqual(expect.arrayContaining(['enrol', 'revoke']));
    expect(await complete('two-factor', 'bypass-code', 'alice', '--')).toEqual(
      expect.arrayContaining(['--reason', '--ttl', '--re-enrol']),
    );
  });

  it('leaves the value of an option to its user, and finds the command behind it', async () => {
    expect(await complete('bans', 'add', '--for', '')).not.toContain('users');
    expect(await complete('--json', '--config', '/etc/main.yaml', 'bans', '')).toEqual(
      expect.arrayContaining(['add', 'remove']),
    );
  });
});
