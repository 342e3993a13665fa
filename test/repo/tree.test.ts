import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { version } from '#shared/version.ts';
import { listFiles, listSources, readText, root } from './source-tree.ts';

const manifest = z
  .object({
    version: z.string(),
    dependencies: z.record(z.string(), z.string()),
    devDependencies: z.record(z.string(), z.string()),
    optionalDependencies: z.record(z.string(), z.string()),
  })
  .parse(JSON.parse(readText('package.json')));

/** Shorter ones cost their reader more to open than they hold, and belong where they are used. */
const fileLinesMin = 12;
/** Short, and better alone. */
const shortFiles: Readonly<Record<string, string>> = {
  'dmz/cli/main.ts': 'what the operating system starts',
  'dmz/https/api/openapi.ts': 'what answers for the whole API belongs to none of its parts',
  'main-agent/cli/main.ts': 'what the operating system starts',
  'main-agent/files/wait.ts': 'a test puts a clock of its own in its place',
  'shared/command-line/exit-code.ts': 'scripts rely on it, whichever command they call',
  'shared/version.ts': 'a release changes it',
};

describe('the tree', () => {
  it('has the top level that people and packagers rely on', () => {
    const top = new Set(listFiles().map((file) => file.split('/')[0]));
    for (const name of ['dmz', 'main-agent', 'shared', 'configs', 'scripts', 'test', 'package.json'])
      expect(top, 'the top level is fixed').toContain(name);
    for (const name of [
      'README.md',
      'ARCHITECTURE.md',
      'SECURITY.md',
      'CONTRIBUTING.md',
      'CHANGELOG.md',
      'HELPDESK.md',
      'LICENSE',
    ])
      expect(top, 'a newcomer looks for these').toContain(name);
  });

  it('speaks of itself only', () => {
    const foreign = /(?<![\w.~@-])\/(?:work|home|Users)\/\w|\bissue #?\d/i;
    const wrong = listFiles().filter(
      (file) =>
        !file.startsWith('test/repo/') &&
        /\.(ts|tsx|md|yaml|sh|css|html|json)$/.test(file) &&
        file !== 'package-lock.json' &&
        foreign.test(readText(file)),
    );
    expect(
      wrong,
      'a folder of one machine and a number of a tracker say nothing to who has only this',
    ).toEqual([]);
  });

  it('holds no unfinished marks and no skipped or focused tests', () => {
    const marks = /\b(TODO|FIXME|XXX)\b/;
    const focus = /\b(it|test|describe)\.(skip|todo|only)\b/;
    const wrong = listFiles().filter(
      (file) =>
        /\.(ts|tsx)$/.test(file) &&
        !file.startsWith('test/repo/') &&
        (marks.test(readText(file)) || focus.test(readText(file))),
    );
    expect(wrong, 'unfinished work belongs in the tracker, a skipped test hides a fault').toEqual([]);
  });

  it('names files in kebab case', () => {
    const wrong = listFiles().filter(
      (file) =>
        /\.(ts|tsx)$/.test(file) &&
        !/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|d|config))?\.tsx?$/.test(file.split('/').at(-1) ?? ''),
    );
    expect(wrong).toEqual([]);
  });

  it('has no product file for one small thing, but limits and what is better alone', () => {
    const short = listSources('dmz', 'main-agent', 'shared').filter(
      (file) => !file.endsWith('/limits.ts') && readText(file).split('\n').length <= fileLinesMin,
    );
    expect(
      short.filter((file) => shortFiles[file] === undefined),
      'put it where it is used; where it is better alone, say why in this list',
    ).toEqual([]);
    expect(
      Object.keys(shortFiles).filter((file) => !short.includes(file)),
      'a reason that is no longer needed',
    ).toEqual([]);
  });

  it('has no file called after nothing in particular', () => {
    const vague = /(^|\/)(utils?|helpers?|common|misc|manager|index)\.tsx?$/;
    expect(
      listFiles().filter((file) => vague.test(file)),
      'name a file after what is in it',
    ).toEqual([]);
  });
});

describe('the package', () => {
  it('pins every dependency exactly', () => {
    const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
    const loose = Object.entries(all).filter(([, range]) => !/^\d+\.\d+\.\d+$/.test(range));
    expect(loose, 'a range is an update nobody reviewed').toEqual([]);
  });

  it('has a lock file that names no registry host', () => {
    expect(readText('package-lock.json')).not.toMatch(/"resolved": *"https?:/);
  });

  it('justifies each runtime dependency in ARCHITECTURE.md', () => {
    const text = readText('ARCHITECTURE.md');
    const missing = Object.keys(manifest.dependencies).filter((name) => !text.includes(`\`${name}\``));
    expect(missing, 'a dependency is a decision').toEqual([]);
  });

  it('says its version once', () => {
    expect(version).toBe(manifest.version);
  });
});

describe('documents', () => {
  it('link only to files and headings that exist', () => {
    const broken: string[] = [];
    for (const file of listFiles().filter((name) => name.endsWith('.md'))) {
      for (const [, target = '', heading] of readText(file).matchAll(/\]\(([^)#:\s]*)(?:#([^)]*))?\)/g)) {
        const path = target === '' ? file : normalize(join(dirname(file), target));
        if (!existsSync(join(root, path)) || (heading !== undefined && !headingsOf(path).has(heading)))
          broken.push(`${file} → ${target}#${heading ?? ''}`);
      }
    }
    expect(broken).toEqual([]);
  });

  it('every file that a document names is there', () => {
    const files = listFiles();
    const names = new Set(files.map((file) => file.slice(file.lastIndexOf('/') + 1)));
    const lost = files
      .filter((file) => file.endsWith('.md'))
      .flatMap((file) =>
        [...readText(file).matchAll(/`([\w.-]+(?:\/[\w.-]+)*)`/g)]
          .map(([, path = '']) => path)
          .filter((path) =>
            /^(dmz|main-agent|shared|test|scripts|configs)\//.test(path)
              ? !existsSync(join(root, path))
              : /[\w-]\.tsx?$/.test(path) && !names.has(path.slice(path.lastIndexOf('/') + 1)),
          )
          .map((path) => `${file}: ${path}`),
      );
    expect(lost, 'a way that leads nowhere is worse than none: name the file where the thing is now').toEqual(
      [],
    );
  });

  it('a block in docs/ without a language is of commands, each with the box it is typed on', () => {
    const others = listFiles()
      .filter((file) => /^docs\/.*\.md$/.test(file))
      .flatMap((file) =>
        [...readText(file).matchAll(/^```(\w*)\n(.*?)^```$/gms)]
          .flatMap(([, language, block = '']) => (language === '' ? block.split('\n') : []))
          .filter((line) => line !== '' && !/^[DEMN]# /.test(line))
          .map((line) => `${file}: ${line}`),
      );
    expect(others, 'tests run the pages by these prompts; what is no command names its language').toEqual([]);
  });

  it('SECURITY.md places every invariant in code and in tests that name it', () => {
    const text = readText('SECURITY.md');
    const titles = listFiles()
      .filter((file) => file.endsWith('.test.ts'))
      .map((file) => ({ file, source: readText(file) }));
    const problems: string[] = [];
    for (let number = 1; number <= 16; number += 1) {
      const id = `S-${String(number).padStart(2, '0')}`;
      const [, entry] = text.split(`\n**${id}** `);
      if (entry === undefined) {
        problems.push(`${id}: no entry`);
        continue;
      }
      const [row = ''] = entry.split(/\n(?:\*\*S-|## )/);
      for (const [, path] of row.matchAll(/`([a-z-]+\/[^`\s]+)`/g)) {
        if (path === undefined || !existsSync(join(root, path)))
          problems.push(`${id}: ${path} does not exist`);
        else if (
          path.endsWith('.test.ts') &&
          !titles.some(({ file, source }) => file === path && source.includes(id))
        )
          problems.push(`${id}: ${path} has no test that names it`);
      }
      if (!row.includes('.test.ts')) problems.push(`${id}: no test`);
    }
    expect(problems).toEqual([]);
  });

  it('the table of attacks has a row for each, whose tests are there', () => {
    const index = 'test/attacks/README.md';
    const text = readText(index);
    const rows = [...text.matchAll(/^\| (G-\d{2}) \| (.+) \| (.+) \|$/gm)];
    expect(
      rows.map(([, id]) => id),
      'a number stays, and none is left out',
    ).toEqual(rows.map((_, at) => `G-${String(at + 1).padStart(2, '0')}`));
    expect(rows.length).toBeGreaterThanOrEqual(64);
    const problems = rows.flatMap(([, id = '', , shown = '']) => {
      const tests = [...shown.matchAll(/`([^`]+)` “([^”]+)”/g)];
      if (tests.length !== shown.split(' · ').length || tests.length === 0) return [`${id}: ${shown}`];
      return tests
        .filter(
          ([, file = '', title = '']) => !existsSync(join(root, file)) || !readText(file).includes(title),
        )
        .map(([entry]) => `${id}: ${entry}`);
    });
    expect(problems, 'an attack nobody tries is one nobody withstands').toEqual([]);
    const unnamed = listFiles().filter(
      (file) => /^test\/(attacks\/.*\.test|drill\/.*-tries)\.ts$/.test(file) && !text.includes(`\`${file}\``),
    );
    expect(unnamed, `a test that ${index} does not name`).toEqual([]);
  });

  it('each mark of a decision leads to one decision, which says what was not taken', () => {
    const decided = [...readText('ARCHITECTURE.md').matchAll(/^(D-\d+) \*\*[^*]+\*\*(.*)$/gm)];
    const ids = decided.map(([, id]) => id);
    expect(
      ids.filter((id, index) => ids.indexOf(id) !== index),
      'a number means one decision',
    ).toEqual([]);
    expect(
      decided.filter(([, , text]) => !text?.includes('*Not taken:*')).map(([, id]) => id),
      'a decision without its alternative tells a newcomer nothing',
    ).toEqual([]);
    const lost = listFiles()
      .filter((file) => /\.(ts|tsx|md|yaml|sh|service|nft)$/.test(file))
      .flatMap((file) =>
        [...readText(file).matchAll(/\bD-\d{2,3}\b/g)]
          .filter(([id]) => !ids.includes(id))
          .map(([id]) => `${file}: ${id}`),
      );
    expect(lost, 'a mark leads to the paragraph of that number in ARCHITECTURE.md').toEqual([]);
  });
});

/** The headings of a document, as links call them. */
function headingsOf(file: string): Set<string> {
  const titles = [...readText(file).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title.toLowerCase());
  return new Set(titles.map((title) => title.replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')));
}
