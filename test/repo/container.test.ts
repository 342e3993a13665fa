import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readText } from './source-tree.ts';

/** configs/Containerfile, read as a builder reads it: nobody here may fetch its base image. */

interface Instruction {
  readonly name: string;
  readonly words: string;
}

/** Lines without comments, put together where they go on. */
function readInstructions(): Instruction[] {
  const lines = readText('configs/Containerfile')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.map((line) => {
    const [, name = '', words = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
    expect(name, line).toMatch(/^(FROM|ARG|COPY|RUN|USER|EXPOSE|ENV|VOLUME|ENTRYPOINT)$/);
    return { name, words };
  });
}

const stages = ((): ReadonlyMap<string, readonly Instruction[]> => {
  const found = new Map<string, Instruction[]>();
  let current: Instruction[] = [];
  for (const one of readInstructions()) {
    if (one.name === 'FROM') {
      current = [];
      const [, stage = ''] = / AS (\S+)$/.exec(one.words) ?? [];
      found.set(stage, current);
    }
    current.push(one);
  }
  return found;
})();

function wordsOf(stage: string, name: string): string[] {
  return (stages.get(stage) ?? []).filter((one) => one.name === name).map(({ words }) => words);
}

/** The command of a unit, with the configuration where a container has it. */
function commandOf(unit: string): string[] {
  const [, command = ''] = /^ExecStart=((?:.*\\\n)*.*)$/m.exec(readText(`configs/systemd/${unit}`)) ?? [];
  return command.replaceAll('\\\n', ' ').replaceAll('%d', '/etc/sallyport').split(/\s+/);
}

describe('the Containerfile', () => {
  it('has a stage for each node, all on the one base whose version is named', () => {
    expect([...stages.keys()]).toEqual(['unpacked', 'dmz', 'main-agent']);
    const bases = [...stages.keys()].map((stage) => wordsOf(stage, 'FROM')[0]?.replace(/ AS .*/, ''));
    expect(new Set(bases)).toEqual(new Set(['docker.io/library/debian:12-slim']));
  });

  it('fetches nothing: what runs while it is built only unpacks', () => {
    expect([...stages.keys()].map((stage) => wordsOf(stage, 'RUN').length)).toEqual([1, 0, 0]);
    expect(wordsOf('unpacked', 'RUN')[0]).not.toMatch(/apt|curl|wget|npm|https?:/);
  });

  it.each([
    ['dmz', 'dmz'],
    ['main-agent', 'main'],
  ])('%s runs the command of its unit, as nobody', (side, name) => {
    const [entrypoint = ''] = wordsOf(side, 'ENTRYPOINT');
    expect(z.array(z.string()).parse(JSON.parse(entrypoint))).toEqual(commandOf(`${side}.service`));
    expect(wordsOf(side, 'USER')).toEqual(['65532:65532']);
    expect(wordsOf(side, 'COPY')).toEqual([
      `--from=unpacked /unpacked/${name}/usr/lib/sallyport-${name} /opt/sallyport`,
    ]);
    const environment = readText(`configs/systemd/${side}.service`).match(/(?<=^Environment=).*/gm) ?? [];
    // In a container there is no systemd that would hand something over again.
    const own = environment.filter((word) => !word.startsWith('RENEWED_CREDENTIALS_DIRECTORY='));
    expect(wordsOf(side, 'ENV').join(' ')).toBe(own.join(' '));
  });
});
